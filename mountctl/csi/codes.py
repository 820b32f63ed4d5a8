"""What becomes of a failure: its gRPC code, by which kubelet and people tell one trouble from another. Pure."""

from types import MappingProxyType
from typing import Final

import grpc

from mountctl.csi.credentials_interface import CredentialsError
from mountctl.csi.refusal import Refusal
from mountctl.errors import MountctlError, Refused, SupervisorNotRunning, SupervisorSilent, UnknownMount
from mountctl.volume import Cause

_Code = grpc.StatusCode

CODES: Final = MappingProxyType(
    {
        Cause.INVALID: _Code.INVALID_ARGUMENT,
        Cause.NOT_ALLOWED: _Code.PERMISSION_DENIED,
        Cause.CONFLICT: _Code.ALREADY_EXISTS,
        Cause.BUCKET_MISSING: _Code.NOT_FOUND,
        Cause.ACCESS_DENIED: _Code.PERMISSION_DENIED,
        Cause.CREDENTIALS: _Code.UNAUTHENTICATED,
        Cause.UNREACHABLE: _Code.UNAVAILABLE,
        Cause.NODE: _Code.FAILED_PRECONDITION,
        Cause.BUSY: _Code.RESOURCE_EXHAUSTED,
        Cause.STARTING: _Code.DEADLINE_EXCEEDED,
        Cause.INTERNAL: _Code.INTERNAL,
    }
)


def refusal(error: Exception) -> Refusal:
    """How an RPC ends for an error of ours. What nobody has thought of is INTERNAL, and named by its kind alone."""
    match error:
        case Refusal():
            return error
        case CredentialsError():
            return Refusal(CODES[error.cause], str(error))
        case Refused():
            return Refusal(CODES[error.cause or Cause.INTERNAL], str(error))
        case UnknownMount():
            return Refusal(_Code.NOT_FOUND, str(error))
        case SupervisorNotRunning():
            return Refusal(_Code.UNAVAILABLE, f"{error}; is the supervisor's pod of this node ready?")
        case SupervisorSilent():
            return Refusal(_Code.DEADLINE_EXCEEDED, str(error))
        case MountctlError():
            return Refusal(_Code.FAILED_PRECONDITION, str(error))
        case _:
            return Refusal(
                _Code.INTERNAL, f"unexpected {type(error).__name__}: this is a bug; the driver's log has more"
            )
