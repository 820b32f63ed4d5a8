"""An HTTP proxy for tests: passes on connections (CONNECT) and requests (absolute-form), and counts them."""

import base64
import contextlib
import http.client
import select
import socket
import socketserver
from urllib.parse import urlsplit

from tests.listening import Listener

_HEAD_BYTES_MAX = 64 * 1024


class ForwardProxy(Listener):
    """Enter to start, leave to end. `connects` has HOST:PORT of each CONNECT, `requests` the URL of each request.

    Args:
        user: `USER:PASSWORD` that it wants; None: nobody is asked.
        refuses: the status that it answers to CONNECT instead of connecting.
    """

    def __init__(self, user: str | None = None, *, refuses: int | None = None) -> None:
        self.connects: list[str] = []
        self.requests: list[str] = []
        self._wanted = None if user is None else f"Basic {base64.b64encode(user.encode()).decode()}"
        self._refuses = refuses

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def pass_one(self, handler: socketserver.StreamRequestHandler) -> bool:
        first = handler.rfile.readline(_HEAD_BYTES_MAX).decode().split()
        if not first:
            return False
        headers = http.client.parse_headers(handler.rfile)
        body = handler.rfile.read(int(headers.get("Content-Length", "0")))
        if self._wanted is not None and headers.get("Proxy-Authorization") != self._wanted:
            handler.wfile.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            return True
        method, target = first[0], first[1]
        if method == "CONNECT":
            self.connects.append(target)
            return self._connect(handler, target)
        self.requests.append(target)
        del headers["Proxy-Authorization"]
        parts = urlsplit(target)
        with contextlib.closing(http.client.HTTPConnection(parts.netloc)) as upstream:
            path = f"{parts.path}?{parts.query}" if parts.query else parts.path
            upstream.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in headers.items():
                upstream.putheader(name, value)
            upstream.endheaders(body)
            answer = upstream.getresponse()
            data = answer.read()
            hop = {"connection", "transfer-encoding"} | (set() if method == "HEAD" else {"content-length"})
            lines = [f"{name}: {value}\r\n" for name, value in answer.getheaders() if name.lower() not in hop]
            if method != "HEAD":
                lines.append(f"Content-Length: {len(data)}\r\n")
            handler.wfile.write(f"HTTP/1.1 {answer.status} X\r\n{''.join(lines)}\r\n".encode() + data)
        return True

    def _connect(self, handler: socketserver.StreamRequestHandler, target: str) -> bool:
        if self._refuses is not None:
            handler.wfile.write(f"HTTP/1.1 {self._refuses} No\r\nContent-Length: 0\r\n\r\n".encode())
            return False
        host, _, port = target.rpartition(":")
        with socket.create_connection((host.strip("[]"), int(port))) as upstream:
            handler.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            ends = {handler.connection: upstream, upstream: handler.connection}
            while True:
                for readable in select.select(list(ends), [], [])[0]:
                    if not (data := readable.recv(65536)):
                        return False
                    ends[readable].sendall(data)
