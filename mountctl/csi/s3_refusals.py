"""What S3 and the credential chain say no with, as gRPC codes and sentences. Pure: knows botocore's errors by name.

Used by provisioner.py. Codes that tell external-provisioner that a volume may be on its way (UNAVAILABLE, ABORTED,
DEADLINE_EXCEEDED) make it ask again for the same volume; all others, too, but the claim may be deleted meanwhile.
"""

from collections.abc import Mapping
from typing import Any, Final

from grpc import StatusCode

from mountctl.config.words import one_line
from mountctl.csi.refusal import Refusal

# S3's error codes (API reference, "Error responses"; the last ones are STS's), and what is to be done about each.
_CODES: Final = {
    "NoSuchBucket": StatusCode.NOT_FOUND,
    "AccessDenied": StatusCode.PERMISSION_DENIED,
    "AllAccessDisabled": StatusCode.PERMISSION_DENIED,
    "AccountProblem": StatusCode.PERMISSION_DENIED,
    "InvalidAccessKeyId": StatusCode.UNAUTHENTICATED,
    "SignatureDoesNotMatch": StatusCode.UNAUTHENTICATED,
    "ExpiredToken": StatusCode.UNAUTHENTICATED,
    "InvalidToken": StatusCode.UNAUTHENTICATED,
    "TokenRefreshRequired": StatusCode.UNAUTHENTICATED,
    "RequestTimeTooSkewed": StatusCode.UNAUTHENTICATED,
    "PermanentRedirect": StatusCode.INVALID_ARGUMENT,
    "AuthorizationHeaderMalformed": StatusCode.INVALID_ARGUMENT,
    "IllegalLocationConstraintException": StatusCode.INVALID_ARGUMENT,
    "InvalidBucketName": StatusCode.INVALID_ARGUMENT,
    "BucketAlreadyExists": StatusCode.PERMISSION_DENIED,
    "OperationAborted": StatusCode.ABORTED,
    "ConditionalRequestConflict": StatusCode.ABORTED,
    "SlowDown": StatusCode.UNAVAILABLE,
    "Throttling": StatusCode.UNAVAILABLE,
    "RequestLimitExceeded": StatusCode.UNAVAILABLE,
    "RequestTimeout": StatusCode.UNAVAILABLE,
    "ServiceUnavailable": StatusCode.UNAVAILABLE,
    "InternalError": StatusCode.UNAVAILABLE,
    "ExpiredTokenException": StatusCode.UNAUTHENTICATED,
    "InvalidIdentityToken": StatusCode.UNAUTHENTICATED,
}
# For a code that is not known, or for none, as in the answer to a HEAD.
_BY_STATUS: Final = {
    401: StatusCode.UNAUTHENTICATED,
    403: StatusCode.PERMISSION_DENIED,
    429: StatusCode.UNAVAILABLE,
}
_SERVER_ERROR: Final = 500

_HINTS: Final = {
    "NoSuchBucket": 'make it, correct bucketName, or have it made by createBucket: "true"',
    "PermanentRedirect": "say the bucket's region in the StorageClass",
    "AuthorizationHeaderMalformed": "say the bucket's region in the StorageClass",
    "BucketAlreadyExists": "a bucket of this name is somebody else's: choose another",
    "RequestTimeTooSkewed": "the clock of the controller's node is wrong",
}

# botocore.exceptions, by the names of the classes: there are no keys, they are incomplete, or can't be had.
_NO_KEYS: Final = (
    "NoCredentialsError",
    "PartialCredentialsError",
    "CredentialRetrievalError",
    "NoAuthTokenError",
    "ProfileNotFound",
    "UnauthorizedSSOTokenError",
    "SSOTokenLoadError",
    "TokenRetrievalError",
    "MetadataRetrievalError",
)
# How a request that S3 does not know by its headers, or at all, is refused; by servers that are not Amazon's.
_NOT_KNOWN: Final = ("NotImplemented", "MethodNotAllowed")


class S3Said(Refusal):
    """S3 answered with an error, which some callers expect.

    Args:
        error_code: S3's own word for it.
        status: of HTTP; 0 if there was none.
    """

    def __init__(self, code: StatusCode, sentence: str, error_code: str, status: int) -> None:
        super().__init__(code, sentence)
        self.error_code = error_code
        self.status = status

    @property
    def absent(self) -> bool:
        """There is no such key."""
        return self.error_code in ("NoSuchKey", "404")

    @property
    def no_bucket(self) -> bool:
        """There is no such bucket."""
        return self.error_code == "NoSuchBucket"

    @property
    def conflict(self) -> bool:
        """What was to be written only if nothing, or the same, is there has met something else."""
        return self.error_code in ("PreconditionFailed", "ConditionalRequestConflict", "412")

    @property
    def not_known(self) -> bool:
        """This server has not got what was asked for at all."""
        return self.error_code in _NOT_KNOWN or self.status in (405, 501)


def refused(response: Mapping[str, Any], doing: str) -> S3Said:
    """S3 answered with an error. `doing` is what was tried: "write KEY"."""
    code = str(response.get("Error", {}).get("Code", ""))
    status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode") or 0)
    default = StatusCode.UNAVAILABLE if status >= _SERVER_ERROR else StatusCode.INTERNAL
    said = one_line(str(response.get("Error", {}).get("Message", ""))).rstrip(".")
    told = ": ".join(part for part in (code or f"HTTP {status}", said) if part)
    hint = f" ({_HINTS[code]})" if code in _HINTS else ""
    sentence = f"S3 would not {doing}: {told}{hint}"
    return S3Said(_CODES.get(code, _BY_STATUS.get(status, default)), sentence, code, status)


def unanswered(error: Exception, doing: str) -> Refusal:
    """There was no answer: the credential chain had no keys, or nobody is reached. `error` is one of botocore's."""
    names = {kind.__name__ for kind in type(error).__mro__}
    said = one_line(str(error)).rstrip(".")
    if names & set(_NO_KEYS):
        return Refusal(
            StatusCode.UNAUTHENTICATED,
            f"no credentials to {doing}: {said}: give the StorageClass a provisioner secret, or the controller a role",
        )
    if "ParamValidationError" in names:
        return Refusal(StatusCode.INVALID_ARGUMENT, f"could not {doing}: {said}")
    return Refusal(StatusCode.UNAVAILABLE, f"could not {doing}: {said}")
