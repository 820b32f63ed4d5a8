"""RPCs of CSI that this driver has no use for: UNIMPLEMENTED, with a sentence why."""

from collections.abc import Callable
from typing import NoReturn

import grpc

from mountctl.csi.proto import csi_pb2


def not_served(sentence: str) -> Callable[[object, csi_pb2.NotServedRequest, grpc.ServicerContext], NoReturn]:
    """A method that answers so."""

    def method(_service: object, _request: csi_pb2.NotServedRequest, context: grpc.ServicerContext) -> NoReturn:
        context.abort(grpc.StatusCode.UNIMPLEMENTED, sentence)

    return method
