"""A journald that only listens: takes datagrams and sealed memfds, and gives back what was in them."""

import contextlib
import fcntl
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

_DATAGRAM_BYTES_MAX = 1 << 20


class FakeJournal:
    """A socket at `path`, which is not read before `entries` is called."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.by_memory = 0
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.setblocking(False)

    def entries(self) -> list[dict[str, str]]:
        """All that has come since the last call."""
        found = []
        with contextlib.suppress(BlockingIOError):
            while True:
                found.append(parsed(self._next()))
        return found

    def close(self) -> None:
        self._socket.close()
        self.path.unlink()

    def _next(self) -> bytes:
        data, fds, _, _ = socket.recv_fds(self._socket, _DATAGRAM_BYTES_MAX, 1)
        for fd in fds:
            with os.fdopen(fd, "rb") as file:
                seals = fcntl.fcntl(file, fcntl.F_GET_SEALS)
                assert seals & fcntl.F_SEAL_WRITE, "journald takes no file that can change"
                self.by_memory += 1
                assert not data
                file.seek(0)
                return file.read()
        return data


@contextlib.contextmanager
def fake_journal(path: Path) -> Iterator[FakeJournal]:
    journal = FakeJournal(path)
    try:
        yield journal
    finally:
        journal.close()


def parsed(data: bytes) -> dict[str, str]:
    """The fields of one entry, as journald reads them."""
    fields = {}
    while data:
        line, _, rest = data.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if not equals:
            (size,) = struct.unpack("<Q", rest[:8])
            value, end, rest = rest[8 : 8 + size], rest[8 + size : 9 + size], rest[9 + size :]
            assert end == b"\n"
        assert name.decode() not in fields
        fields[name.decode()] = value.decode()
        data = rest
    return fields
