"""Around each RPC: its errors as gRPC codes with a sentence, one line in the log, and how long it may take.

Nothing of a request is logged but its volume, target and pod: attributes may have been written by anybody, and what
kubelet adds to them are tokens.
"""

import functools
import logging
import time
import traceback
from collections.abc import Callable
from typing import Any, Final, TypeVar

import grpc

from engine.facts import about
from engine.message_ids import CSI_DONE, CSI_REFUSED, INTERNAL_ERROR
from mountctl.config.words import one_line
from mountctl.csi.codes import refusal

_log = logging.getLogger("mountctl.csi")

# kubelet gives an RPC two minutes. A caller that sets no limit gets the same, and a request never outlives its caller.
SECONDS_MAX: Final = 120.0
# Of that so much is kept to answer.
_ANSWER_SECONDS: Final = 0.5
# kubelet asks these all the time, of each volume; a success is worth a line to nobody.
_QUIET: Final = frozenset({"Probe", "NodeGetVolumeStats", "NodeGetCapabilities", "GetPluginInfo", "NodeGetInfo"})

_Service = TypeVar("_Service")
_Request = TypeVar("_Request")
_Response = TypeVar("_Response")


def called(
    method: Callable[[_Service, _Request, grpc.ServicerContext], _Response],
) -> Callable[[_Service, _Request, grpc.ServicerContext], _Response]:
    """Make an RPC of a method that raises what it likes."""

    @functools.wraps(method)
    def rpc(service: _Service, request: _Request, context: grpc.ServicerContext) -> _Response:
        began = time.monotonic()
        try:
            response = method(service, request, context)
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller gets a code and a sentence
            told = refusal(error)
            if told.code is grpc.StatusCode.INTERNAL:
                _log.error(
                    "%s: internal error: %s",
                    _what(method.__name__, request),
                    _where(error),
                    extra=about(INTERNAL_ERROR),
                )
            _log.warning("%s: %s: %s", _what(method.__name__, request), told.code.name, told, extra=about(CSI_REFUSED))
            context.abort(told.code, str(told))
        level = logging.DEBUG if method.__name__ in _QUIET else logging.INFO
        milliseconds = (time.monotonic() - began) * 1000
        _log.log(level, "%s: done in %.1f ms", _what(method.__name__, request), milliseconds, extra=about(CSI_DONE))
        return response

    return rpc


def seconds_left(context: grpc.ServicerContext) -> float:
    """How long the answer to an RPC may take from now on."""
    left = context.time_remaining()
    return SECONDS_MAX if left is None else max(min(left, SECONDS_MAX) - _ANSWER_SECONDS, 0.0)


def _where(error: Exception) -> str:
    """For a log: where it was, and not what it says, which may have a value of the request in it."""
    return "".join([f"{type(error).__name__}\n", *traceback.format_tb(error.__traceback__)])


def _what(name: str, request: Any) -> str:
    parts = [name]
    for label, field in (("volume", "volume_id"), ("target", "target_path"), ("path", "volume_path")):
        if value := getattr(request, field, ""):
            parts.append(f"{label} {value}")
    context = getattr(request, "volume_context", {})
    if pod := context.get("csi.storage.k8s.io/pod.name", ""):
        parts.append(f"pod {context.get('csi.storage.k8s.io/pod.namespace', '')}/{pod}")
    return one_line(" ".join(parts))
