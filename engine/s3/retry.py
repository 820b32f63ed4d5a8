"""What to make of a failure: which error an answer is, whether to try again, and how long to wait. Pure.

Applied by client.py, which does the waiting.
"""

import random
from collections.abc import Mapping
from typing import Final

from engine.errors import (
    AccessDenied,
    AlreadyExists,
    ArchivedObject,
    BadResponse,
    EntityTooLarge,
    KeyTooLong,
    NoSuchBucket,
    NoSuchKey,
    NoSuchUpload,
    PreconditionFailed,
    RangeNotSatisfiable,
    S3Error,
    Throttled,
    Unreachable,
    WrongRegion,
)
from engine.s3.documents import ErrorDocument
from engine.s3.pool import CERTIFICATE_REFUSED
from engine.spec import KiB

# Together with the delays below: about 20 s of trouble are ridden out (45 s at most) before a program sees EIO.
ATTEMPTS_MAX: Final = 10

# With every attempt waiting for its own limit, ten would keep a program for minutes: after this long none is begun.
RETRYING_SECONDS_MAX: Final = 60.0

# A body's time on the slowest of lines is not held against it: at 64 KiB/s 8 MiB take two minutes.
BODY_BYTES_PER_SECOND: Final = 64 * KiB

# A probe is there to tell soon that S3 is away, not to ride it out.
PROBE_ATTEMPTS_MAX: Final = 2

# The first retry is soon, since most failures are one front end's; the last ones leave S3 time to scale up.
DELAY_SECONDS: Final = 0.1
DELAY_SECONDS_MAX: Final = 20.0

# Other servers than Amazon's to a header that they do not know.
NOT_IMPLEMENTED: Final = 501

_TRANSIENT_STATUS: Final = frozenset({408, 429, 500, 502, 503, 504})
_TRANSIENT_CODES: Final = frozenset(
    {
        "RequestTimeout",
        "InternalError",
        "ServiceUnavailable",
        "SlowDown",
        "OperationAborted",
        "ConditionalRequestConflict",  # another request for the key was on its way: the answer is known afterwards
        "IncompleteBody",  # somebody on the way cut it
    }
)
_THROTTLED_CODES: Final = frozenset(
    {"SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequests"}
)

# The keys are no longer good, whatever the request was.
_KEYS_REFUSED: Final = frozenset({"ExpiredToken", "InvalidToken", "InvalidAccessKeyId", "TokenRefreshRequired"})

_NOT_ALLOWED: Final = _KEYS_REFUSED | {
    "AccessDenied",
    "SignatureDoesNotMatch",
    "RequestTimeTooSkewed",
    "RequestExpired",
}
_ELSEWHERE: Final = frozenset({"PermanentRedirect", "TemporaryRedirect", "Redirect"})
_ELSEWHERE_STATUS: Final = frozenset({301, 302, 307, 308})

_BY_CODE: Final[dict[str, type[S3Error]]] = {
    "NoSuchKey": NoSuchKey,
    "NoSuchBucket": NoSuchBucket,
    "NoSuchUpload": NoSuchUpload,
    "PreconditionFailed": PreconditionFailed,
    "InvalidObjectState": ArchivedObject,
    "InvalidRange": RangeNotSatisfiable,
    "EntityTooLarge": EntityTooLarge,
    "KeyTooLongError": KeyTooLong,
    **dict.fromkeys(_THROTTLED_CODES, Throttled),
    **dict.fromkeys(_NOT_ALLOWED, AccessDenied),
}
_BY_STATUS: Final[dict[int, type[S3Error]]] = {
    401: AccessDenied,
    403: AccessDenied,
    412: PreconditionFailed,
    416: RangeNotSatisfiable,
    429: Throttled,
    503: Throttled,
}
_OF_OBJECTS: Final = frozenset({"GetObject", "HeadObject"})
_OF_UPLOADS: Final = frozenset({"UploadPart", "CompleteMultipartUpload", "AbortMultipartUpload"})
_MAKING_OBJECTS: Final = frozenset({"PutObject", "CompleteMultipartUpload"})  # their one condition: If-None-Match

_SENTENCES: Final[dict[type[S3Error], str]] = {
    NoSuchKey: "S3 has no such object",
    NoSuchBucket: "S3 has no such bucket",
    NoSuchUpload: "the upload is not in progress any more",
    PreconditionFailed: "the object was replaced in S3",
    AlreadyExists: "there is such an object already",
    ArchivedObject: "the object is archived and must be restored before it can be read (`mountctl restore PATH`)",
    RangeNotSatisfiable: "the object is shorter than it was",
    EntityTooLarge: "S3 takes no object or part of that size",
    KeyTooLong: "the key is too long for S3",
    Throttled: "S3 asks to slow down",
    AccessDenied: "S3 denies access",
}


def error_of(
    operation: str, subject: str, status: int, headers: Mapping[str, str], document: ErrorDocument, region: str = ""
) -> S3Error:
    """The error that an answer is (any answer which is not what was asked for).

    Args:
        operation: S3's name of the request.
        subject: key or listed prefix.
        status: the HTTP status.
        headers: the answer's, names in lower case.
        document: what its body said; empty for HEAD.
        region: the one that was signed for.
    """
    code = document.code
    ids = {
        "request_id": headers.get("x-amz-request-id", "") or document.request_id,
        "host_id": headers.get("x-amz-id-2", "") or document.host_id,
    }
    elsewhere = headers.get("x-amz-bucket-region", "") or document.region
    if _is_elsewhere(status, code, elsewhere, region):
        where = f"in region {elsewhere}" if elsewhere else "in another region"
        sentence = f"the bucket is {where}, not in {region or 'this one'}"
        return WrongRegion(sentence, region=elsewhere, code=code, status=status, key=subject, **ids)
    kind = _BY_CODE.get(code) or _of_status(operation, status)
    if kind is PreconditionFailed and operation in _MAKING_OBJECTS:
        kind = AlreadyExists
    sentence = _SENTENCES.get(kind, f"{operation} failed in S3")
    if code == "RequestTimeTooSkewed":
        sentence = "S3 denies access because this machine's clock is off by more than 15 minutes: set it (NTP)"
    elif document.message and kind in (S3Error, AccessDenied):
        sentence = f"{sentence}: {document.message}"
    return kind(sentence, code=code, status=status, key=subject, **ids)


def is_away(status: int) -> bool:
    """Whoever answered so can't be S3, or S3 that works. What S3 does not implement it has understood."""
    return status >= 500 and status != NOT_IMPLEMENTED


def is_transient(error: S3Error) -> bool:
    """Is the same request worth another attempt?"""
    if isinstance(error, Unreachable):
        return error.code != CERTIFICATE_REFUSED
    if isinstance(error, BadResponse | Throttled):
        return True
    return error.status in _TRANSIENT_STATUS or error.code in _TRANSIENT_CODES


def is_worth_another(error: S3Error, *, failures: int, attempts_max: int, seconds: float, body_bytes: int = 0) -> bool:
    """Shall the request, with a body of so many bytes, be tried again, after so many failures in so many seconds?"""
    seconds_max = RETRYING_SECONDS_MAX + body_bytes / BODY_BYTES_PER_SECOND
    return failures < attempts_max and seconds < seconds_max and is_transient(error)


def are_keys_refused(error: S3Error, *, keys_worked: bool) -> bool:
    """Would new keys help? `keys_worked`: S3 has taken these keys before, so a bad signature means that they changed.

    HEAD's errors have no code; S3 answers a HEAD with 400 for expired tokens and hardly for anything else.
    """
    if not isinstance(error, AccessDenied):
        return error.status == 400 and not error.code and keys_worked
    return error.code in _KEYS_REFUSED or (error.code == "SignatureDoesNotMatch" and keys_worked)


def delay(failures: int, draw: float) -> float:
    """Seconds to wait after so many failures in a row (full jitter: many clients shall not come back together).

    Args:
        failures: at least 1.
        draw: a random number in [0, 1).
    """
    return draw * float(min(DELAY_SECONDS_MAX, DELAY_SECONDS * 2.0 ** (failures - 1)))


def pause(failure: S3Error, failures: int, draw: float) -> float:
    """Seconds to wait after this failure, which was the last of so many.

    None after a first one that was the connection's: S3 closes those that it has had enough of, and front ends come
    and go. Another connection is as good as a first one.
    """
    return 0.0 if failures == 1 and failure.cut else delay(failures, draw)


def random_pause(failure: S3Error, failures: int) -> float:
    """`pause` with a draw of its own."""
    return pause(failure, failures, random.random())


def _is_elsewhere(status: int, code: str, elsewhere: str, region: str) -> bool:
    if status in _ELSEWHERE_STATUS or code in _ELSEWHERE:
        return True
    return status == 400 and elsewhere not in ("", region) and code in ("", "AuthorizationHeaderMalformed")


def _of_status(operation: str, status: int) -> type[S3Error]:
    if status == 404 and operation in _OF_UPLOADS:
        return NoSuchUpload
    if status == 404:
        return NoSuchKey if operation in _OF_OBJECTS else NoSuchBucket
    return _BY_STATUS.get(status, S3Error)
