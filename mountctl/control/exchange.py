"""One request and its answer over a Unix socket, as the control socket speaks HTTP/1.1. Called by client.py.

The standard library's HTTP client knows TLS, proxies and mail headers, and takes longer to import than `status` takes
for everything else. Reads whole answers and endless ones (a line at a time). Knows nothing of what is in them.
"""

import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

# An answer's head is a line and a few headers.
_HEAD_BYTES_MAX: Final = 64 * 1024
_RECEIVE_BYTES: Final = 64 * 1024
_END_OF_LINE: Final = b"\r\n"
# A month, for whoever wants to wait for ever: what a socket takes has an end.
_WAIT_SECONDS_MAX: Final = 30 * 86400.0


class NoAnswer(Exception):
    """What came is no answer, or not all of one."""


class Exchange:
    """A connection for one request. A context manager, which closes it.

    Args:
        path: of the socket.
        seconds: how long the answer may take as a whole, unless `wait_until` says otherwise.

    Raises OSError as connect(2) does.
    """

    def __init__(self, path: Path, seconds: float) -> None:
        self._until = time.monotonic() + seconds
        self._received = b""
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._sock.settimeout(min(seconds, _WAIT_SECONDS_MAX))
            self._sock.connect(str(path))
        except BaseException:
            self._sock.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._sock.close()

    def wait_until(self, moment: float) -> None:
        """What comes may come until then, on time.monotonic()'s clock; after that TimeoutError is raised."""
        self._until = moment

    def ask(self, method: str, target: str, body: bytes | None = None) -> tuple[int, Iterator[bytes]]:
        """Send a request. Returns the status of the answer, and its body as it comes.

        Raises NoAnswer and OSError, now and while the body is read; TimeoutError when it takes too long.
        """
        length = "" if body is None else f"Content-Length: {len(body)}\r\n"
        head = f"{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{length}\r\n"
        # Who is refused may find the door closed while still asking; the answer is there all the same.
        with suppress(BrokenPipeError):
            self._sock.sendall(head.encode("ascii") + (body or b""))
        status_line = self._line()
        fields = status_line.split(b" ", 2)
        if len(fields) < 2 or not fields[0].startswith(b"HTTP/1.") or not fields[1].isdigit():
            raise NoAnswer(f"{status_line[:40]!r} is not HTTP/1.1")
        headers: dict[bytes, bytes] = {}
        while line := self._line():
            name, _, value = line.partition(b":")
            headers[name.strip().lower()] = value.strip()
        return int(fields[1]), self._body(headers)

    def _body(self, headers: dict[bytes, bytes]) -> Iterator[bytes]:
        if headers.get(b"transfer-encoding", b"").lower() == b"chunked":
            while size := _number(self._line().partition(b";")[0], 16):
                yield self._take(size)
                self._take(len(_END_OF_LINE))
            return
        yield self._take(_number(headers.get(b"content-length", b""), 10))

    def _line(self) -> bytes:
        while _END_OF_LINE not in self._received:
            if len(self._received) > _HEAD_BYTES_MAX:
                raise NoAnswer("its head has no end")
            self._receive()
        line, _, self._received = self._received.partition(_END_OF_LINE)
        return line

    def _take(self, size: int) -> bytes:
        parts, lacking = [self._received], size - len(self._received)
        self._received = b""
        while lacking > 0:
            self._receive()
            parts.append(self._received)
            lacking -= len(self._received)
            self._received = b""
        whole = b"".join(parts)
        self._received = whole[size:]
        return whole[:size]

    def _receive(self) -> None:
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._sock.settimeout(min(left, _WAIT_SECONDS_MAX))
        data = self._sock.recv(_RECEIVE_BYTES)
        if not data:
            raise NoAnswer("it ended in the middle")
        self._received += data


def lines(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The lines of a body, each as soon as it is whole, without their ends."""
    rest = b""
    for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        yield from whole


def _number(digits: bytes, base: int) -> int:
    try:
        number = int(digits, base)
    except ValueError:
        number = -1
    if number < 0:
        raise NoAnswer(f"{digits[:40]!r} is not a length")
    return number
