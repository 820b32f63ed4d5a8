"""What servers in a thread of a test's own have in common: they listen, and take connections side by side.

tests/faults.py and tests/proxies.py have such servers.
"""

import contextlib
import socketserver
import ssl
import threading
from typing import Self

# Connections that nobody has taken yet: the kernel lets those beyond wait for a second and more.
_WAITING_MAX = 128


class Listener:
    """Enter to start, leave to end. A subclass says what becomes of a connection's requests."""

    tls: ssl.SSLContext | None = None

    def pass_one(self, handler: socketserver.StreamRequestHandler) -> bool:
        """Read one request and answer it. False: the connection ends."""
        raise NotImplementedError

    @property
    def address(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        listener = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(OSError):
                    while listener.pass_one(self):
                        pass

        self._server = _Server(("127.0.0.1", 0), Handler)
        if self.tls is not None:
            self._server.socket = self.tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = _WAITING_MAX
