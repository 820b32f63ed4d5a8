"""Why a volume can't be had: what a mount, S3 or the kernel says, as one of the contract's causes. Pure."""

from typing import Final

from engine.link import Unavailable
from mountctl.errors import MountctlError
from mountctl.supervisor.endings import Gone
from mountctl.volume import Cause

# S3's codes for keys that it does not know, or no more; other codes with 403 mean that the keys may not.
_OF_KEYS: Final = frozenset(
    {
        "AccessKeyIdNotFound",
        "ExpiredToken",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidToken",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
        "TokenRefreshRequired",
    }
)


class CannotApply(MountctlError):
    """A volume can't be had, or a target not be let go of; the message says why, in a sentence."""

    def __init__(self, cause: Cause, sentence: str) -> None:
        super().__init__(sentence)
        self.cause = cause


def of_unavailable(told: Unavailable) -> Cause:
    """What an engine's last word means. One without a status never had an answer of S3."""
    if told.code in _OF_KEYS or told.status == 401:
        return Cause.CREDENTIALS
    match told.status:
        case 403:
            return Cause.ACCESS_DENIED
        case 404:
            return Cause.BUCKET_MISSING
        case 301 | 307 | 400:  # another region, a request that S3 does not understand
            return Cause.INVALID
        case _:
            return Cause.UNREACHABLE


def of_end(gone: Gone | None, access_error: str | None) -> Cause:
    """Why a mount is not served.

    Args:
        gone: how its last engine ended; None: there could be none.
        access_error: why there are no keys for it, if there are none.
    """
    if gone is None:
        return Cause.NODE
    if gone.cause in (None, Cause.UNREACHABLE) and access_error is not None:
        return Cause.CREDENTIALS
    return gone.cause or Cause.INTERNAL
