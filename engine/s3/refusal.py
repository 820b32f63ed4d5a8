"""What S3's refusal of a mount's keys means, and how to mend it: sentences for a person. Pure.

Used by client.py (what `status` tells of a mount that serves) and preflight.py (of one that can't be had). Codes for
AccessDenied of good keys are not here: that is a permission, of one object or of the bucket.
"""

from typing import Final

_EXPIRED: Final = "the credentials have expired"
_RENEW: Final = "have them renewed where they come from"

# S3's codes for keys that are wrong or old: what is wrong, and what to do about it.
_KEYS: Final = {
    "ExpiredToken": (_EXPIRED, _RENEW),
    "TokenRefreshRequired": (_EXPIRED, _RENEW),
    "RequestExpired": (_EXPIRED, _RENEW),
    "InvalidToken": ("the session token is not valid", "give the keys together with the token that belongs to them"),
    "InvalidAccessKeyId": ("S3 does not know the access key", "it was deleted or switched off: give the mount another"),
    "SignatureDoesNotMatch": ("the secret key does not fit the access key", "give the secret that belongs to it"),
    "RequestTimeTooSkewed": ("this machine's clock is wrong", "it is off by more than 15 minutes: set it (NTP)"),
}


def of_keys(code: str, access_key: str) -> str | None:
    """Why S3 refuses these keys, whatever the request was, and how to mend it. None: it is not the keys."""
    found = _KEYS.get(code)
    return None if found is None else f"{found[0]} ({code}, key {access_key}): {found[1]}"
