"""What looks like a secret: an AWS key, a private key, a token; or the name of one. Pure.

Used by words.py, references.py, origins.py and mountctl/plan.py (what looks secret is shown nowhere) and by advice.py
(which warns of secrets in the file). It goes by looks and so is no proof of anything: it may only hide and warn, never
refuse. What is sent away (doctor --bundle) goes through `redacted`. No other module of the control plane knows what a
secret looks like.
"""

import re
from collections.abc import Iterable
from typing import Final

# IAM user guide, "Unique identifiers": long-lived keys begin with AKIA, temporary ones with ASIA.
ACCESS_KEY_ID: Final = "(?:AKIA|ASIA)[A-Z0-9]{16}"
PRIVATE_KEY: Final = r"-----BEGIN [A-Z ]*PRIVATE KEY-----"
# Header and claims of a JSON Web Token, each base64 of `{"`. A run of such characters is tried once, from its start,
# and given up as a whole: a file of nothing but starts would take hours.
_RUN: Final = "[A-Za-z0-9_-]"
WEB_TOKEN: Final = rf"(?<!{_RUN})eyJ{_RUN}{{10,}}+\.eyJ{_RUN}{{10,}}+"
# A secret access key is 40 characters of base64, of all kinds, and a word of its own: not a part of an ARN, a path or a
# longer run. A path of that length has its slashes at regular places; a random one has hardly ever four (1 in 250).
_SECRET_KEY: Final = re.compile(
    r"(?<![\w/+:.-])(?=[^a-z]{0,39}[a-z])(?=[^A-Z]{0,39}[A-Z])(?=[^0-9]{0,39}[0-9])(?!(?:[A-Za-z0-9+]{0,39}/){4})"
    r"[A-Za-z0-9/+]{39}[A-Za-z0-9+](?![\w/+=.-])"
)
# One with its name before it, however that is written; in any case of letters.
KEY_WITH_NAME: Final = r"(?<![a-z])secret[-_ ]?(?:access[-_ ]?)?key[\"']?\s*[=:]\s*[\"']?[A-Za-z0-9/+]{40}\b"
_MARKED: Final = re.compile(f"{ACCESS_KEY_ID}|{PRIVATE_KEY}|{WEB_TOKEN}")
_SPOKEN: Final = re.compile(r"secret|passw|token", re.IGNORECASE)
_NAME: Final = re.compile(r"secret|token|passw|credential|private|(?:api|access)[-_.]?key", re.IGNORECASE)
# What a whole text may hold, of which everything else is to be shown: logs, events, errors of other programs.
_PRIVATE_KEY_BLOCK: Final = re.compile(f"{PRIVATE_KEY}.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\\Z)", re.DOTALL)
# A value behind a name that says what it is, as in `aws_session_token = ...`, `X-Amz-Signature=...`.
_NAMED: Final = re.compile(
    r"((?:secret|token|passw[a-z]{0,8}|signature|authorization)(?:[-_ ]?(?:access[-_ ]?)?key)?"
    r"[\"']?[ \t]*[=:][ \t]*[\"']?)"
    r"(?:(?:basic|bearer) )?[^\s\"',;&)]{4,}",
    re.IGNORECASE,
)
# The id of keys as this program's own sentences have it. Those of other servers than Amazon's look like any word.
_KEY_ID: Final = re.compile(r"(?<=[(\s]key )[^\s()'\"]+(?=\))|(?<=\Akey )\S+\Z")
_USER_IN_URL: Final = re.compile(r"(?<=://)[^/\s@\"']{1,512}@")
# Session tokens are base64 of some hundred characters; paths have other characters, or slashes at short distance.
_LONG: Final = re.compile(r"(?<![\w+/=-])(?=[^A-Z]{0,200}[A-Z])(?=[^0-9]{0,200}[0-9])[\w+/-]{100,}={0,2}")
# Amazon's account numbers: nothing secret, and nobody else's business.
_ACCOUNT: Final = re.compile(r"(?<![\w.])[0-9]{12}(?![\w.])")
_GONE: Final = "(hidden)"


def redacted(text: str, known: Iterable[str] = ()) -> str:
    """A text without what looks like a secret, without Amazon's account numbers, and without what is known to be one.

    Args:
        text: of any length.
        known: secrets that may be in it, whatever they look like.
    """
    for secret in sorted(known, key=len, reverse=True):
        text = text.replace(secret, _GONE)
    text = _PRIVATE_KEY_BLOCK.sub(_GONE, text)
    text = _USER_IN_URL.sub(f"{_GONE}@", text)
    text = _NAMED.sub(rf"\1{_GONE}", text)
    for pattern in (_KEY_ID, _MARKED, _SECRET_KEY, _LONG, _ACCOUNT):
        text = pattern.sub(_GONE, text)
    return text


def looks_secret(text: str) -> bool:
    """Whether a value looks like one that only few may see, or has one in it."""
    return _MARKED.search(text) is not None or _SECRET_KEY.search(text) is not None


def name_looks_secret(name: str) -> bool:
    """Whether what is behind such a name (a variable's, a file's path) is likely to be one."""
    return _NAME.search(name) is not None


def speaks_of_secret(text: str) -> bool:
    """Whether a value says itself that it is one: for what others see than who has written it."""
    return _SPOKEN.search(text) is not None
