"""The little of HTTP/1.1 that S3 needs: an answer's head, and bodies in chunks. Pure: bytes in, facts out.

Used by connection.py. Never reads from a socket; raises ValueError for what is not HTTP.
"""

import re
from dataclasses import dataclass
from typing import Final

END_OF_HEAD: Final = b"\r\n\r\n"
_LINE_END: Final = b"\r\n"

# S3's heads have 0.5-1 KiB; one with 2 KiB of user metadata in 30 headers still fits by far.
HEAD_BYTES_MAX: Final = 64 * 1024

# A chunk's size line: 16 hexadecimal digits, and room for an extension that we ignore.
CHUNK_LINE_BYTES_MAX: Final = 256

_CHUNK_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;|$)")

_NO_BODY: Final = (204, 304)


@dataclass(frozen=True, slots=True)
class Head:
    """An answer's status line and headers. `length` is None for a body in chunks or up to the connection's end."""

    status: int
    headers: dict[str, str]  # lower-case names
    keep_alive: bool
    length: int | None
    chunked: bool


def parse_head(text: str, method: str) -> Head:
    """Understand an answer's head (without its empty line). Raises ValueError if it is not one of HTTP/1."""
    first, *lines = text.split("\r\n")
    version, _, rest = first.partition(" ")
    if not version.startswith("HTTP/1."):
        raise ValueError(f"not an HTTP/1 answer: {first[:40]!r}")
    status = int(rest[:3])
    headers = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise ValueError(f"a header without a colon: {line[:40]!r}")
        headers[name.lower()] = value.strip()
    connection = headers.get("connection", "").lower()
    keep_alive = connection != "close" if version == "HTTP/1.1" else connection == "keep-alive"
    if method == "HEAD" or status in _NO_BODY or status < 200:
        return Head(status, headers, keep_alive, 0, chunked=False)
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return Head(status, headers, keep_alive, None, chunked=True)
    length = headers.get("content-length")
    if length is None:
        return Head(status, headers, keep_alive=False, length=None, chunked=False)
    if not length.isascii() or not length.isdigit():
        raise ValueError(f"Content-Length is {length[:40]!r}")
    return Head(status, headers, keep_alive, int(length), chunked=False)


class Chunks:
    """A body in chunks, put together. Feed until `done`; `rest` is then what came behind it."""

    def __init__(self) -> None:
        self.body = bytearray()
        self.done = False
        self.rest = b""
        self._input = b""
        self._left = 0  # bytes of the present chunk still to come, its line end not counted
        self._in_chunk = False

    def feed(self, data: bytes) -> None:
        """Take in what came. Raises ValueError if it is not a body in chunks."""
        self._input += data
        while not self.done and self._step():
            pass

    def _step(self) -> bool:
        """Take one piece off the input; False if more must come first."""
        if self._in_chunk:
            return self._take_chunk()
        end = self._input.find(_LINE_END)
        if end < 0:
            if len(self._input) > CHUNK_LINE_BYTES_MAX:
                raise ValueError("a chunk's size line does not end")
            return False
        told = _CHUNK_SIZE.match(self._input, 0, end)
        if told is None:
            raise ValueError(f"a chunk's size is {self._input[:20]!r}")
        size = int(told.group(1), 16)
        if size > 0:
            self._input = self._input[end + 2 :]
            self._left, self._in_chunk = size, True
            return True
        return self._take_trailer(end)

    def _take_chunk(self) -> bool:
        taken = self._input[: self._left]
        self.body += taken
        self._input = self._input[len(taken) :]
        self._left -= len(taken)
        if self._left or len(self._input) < len(_LINE_END):
            return False
        if not self._input.startswith(_LINE_END):
            raise ValueError("a chunk is longer than its size line says")
        self._input = self._input[2:]
        self._in_chunk = False
        return True

    def _take_trailer(self, end: int) -> bool:
        """Behind the last size line: trailers, which we ignore, and an empty line."""
        behind = self._input.find(END_OF_HEAD, end)
        if behind < 0:
            return False
        self.rest = self._input[behind + len(END_OF_HEAD) :]
        self.done = True
        return True
