"""What ends an RPC: a gRPC code and a sentence, which is what `kubectl describe pod` shows."""

import grpc

from mountctl.config.words import one_line


class Refusal(Exception):
    """An RPC fails.

    Args:
        code: CSI says what each means to kubelet.
        sentence: what, where, how to mend it; made one line. Never a secret.
    """

    def __init__(self, code: grpc.StatusCode, sentence: str) -> None:
        super().__init__(one_line(sentence))
        self.code = code


class InvalidArgument(Refusal):
    """The request can't be right, now or later."""

    def __init__(self, sentence: str) -> None:
        super().__init__(grpc.StatusCode.INVALID_ARGUMENT, sentence)
