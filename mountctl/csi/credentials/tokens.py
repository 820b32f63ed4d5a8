"""Tokens of a pod's service account, as kubelet hands them to a driver that asks (tokenRequests). Pure.

No error shows any of what was given.
"""

import json
import re
from collections.abc import Mapping
from typing import Final

# Of the CSIDriver's tokenRequests: what AWS's services accept.
STS_AUDIENCE: Final = "sts.amazonaws.com"
POD_IDENTITY_AUDIENCE: Final = "pods.eks.amazonaws.com"
# A JSON Web Token: three parts of base64. A service account's has one to two thousand characters.
_TOKEN: Final = re.compile(r"^[A-Za-z0-9_.=-]{1,16384}$")


class BadTokens(ValueError):
    """What was given are no tokens. The text says so."""


def by_audience(text: str) -> Mapping[str, str]:
    """`{"AUDIENCE": {"token": ..., "expirationTimestamp": ...}}` to the tokens. Empty for no text. Raises BadTokens."""
    if not text:
        return {}
    try:
        read = json.loads(text)
        tokens = {str(audience): entry["token"] for audience, entry in read.items()}
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
        raise BadTokens("csi.storage.k8s.io/serviceAccount.tokens is not as kubelet writes it") from None
    if not all(isinstance(token, str) and _TOKEN.fullmatch(token) for token in tokens.values()):
        raise BadTokens("csi.storage.k8s.io/serviceAccount.tokens has something else than tokens")
    return tokens
