"""HTTP for probes: /healthz, whether this process answers gRPC; /readyz, whether the supervisor answers too; /metrics.

A driver whose supervisor is away must not be restarted for it: that would help nobody. So they are two.
"""

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import grpc

from mountctl.csi.proto import csi_pb2, csi_pb2_grpc
from mountctl.errors import MountctlError

# Kubernetes' probes give five seconds in our manifests.
ANSWER_SECONDS_MAX: Final = 2.0


class AddressUnusable(MountctlError):
    """Nothing can listen at the address."""


def answers(path: Path) -> bool:
    """Whether a CSI driver answers at a socket, in time."""
    with grpc.insecure_channel(f"unix:{path}") as channel:
        try:
            csi_pb2_grpc.IdentityStub(channel).GetPluginInfo(
                csi_pb2.GetPluginInfoRequest(), timeout=ANSWER_SECONDS_MAX, wait_for_ready=True
            )
        except grpc.RpcError:
            return False
    return True


class HealthServer:
    """Serves from `start` to `stop`, in threads of its own.

    Args:
        address: `HOST:PORT`, or `:PORT` for all addresses; a port of 0 is any.
        checks: what is asked at each path.
        pages: what is told at further paths: the type of the content, and the text.
    """

    def __init__(
        self,
        address: str,
        checks: dict[str, Callable[[], bool]],
        pages: dict[str, Callable[[], tuple[str, str]]] | None = None,
    ) -> None:
        host, colon, port = address.rpartition(":")
        if not colon or not port.isdigit() or int(port) > 65535:
            raise AddressUnusable(f"--healthz {address!r} must be HOST:PORT or :PORT")
        handler = type("_Handler", (_Handler,), {"checks": checks, "pages": pages or {}})
        try:
            self._server = _Server((host.strip("[]"), int(port)), handler)
        except OSError as error:
            raise AddressUnusable(f"--healthz {address}: {error.strerror or error}") from error
        self._thread = threading.Thread(target=self._server.serve_forever, name="healthz", daemon=True)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """End."""
        if self._thread.is_alive():
            self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        import socket

        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, handler)


class _Handler(BaseHTTPRequestHandler):
    checks: dict[str, Callable[[], bool]]
    pages: dict[str, Callable[[], tuple[str, str]]]
    # A peer that sends nothing.
    timeout = 5

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        check = self.checks.get(path)
        if path in self.pages:
            self._answer(200, *reversed(self.pages[path]()))
        elif check is None:
            self._answer(404, "there are " + ", ".join((*self.checks, *self.pages)))
        elif check():
            self._answer(200, "ok")
        else:
            self._answer(503, "no answer")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Probes are asked for all the time."""

    def _answer(self, status: int, text: str, kind: str = "text/plain") -> None:
        body = (text if text.endswith("\n") else f"{text}\n").encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
