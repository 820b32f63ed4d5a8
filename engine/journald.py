"""journald's native protocol: records with fields, as datagrams. Never waits for journald.

systemd's "Native Journal Protocol": a field is NAME=VALUE and a newline, or, if the value has newlines, NAME, a
newline, its length in 64 bits (little endian), the value and a newline. What is too long for a datagram goes in a
sealed memfd that is sent instead. The socket is opened by root (zygote.py, the supervisor); an engine has no more than
that.
"""

import contextlib
import errno
import fcntl
import os
import socket
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Final

SOCKET: Final = Path("/run/systemd/journal/socket")
# There is room for it in no datagram (or in none now): sd_journal_sendv does the same.
_TOO_LONG: Final = (errno.EMSGSIZE, errno.ENOBUFS)
_SEALS: Final = fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL
_STDERR: Final = 2


def is_stderr() -> bool:
    """Whether this process's standard error is journald's. systemd.exec(5), "JOURNAL_STREAM": it may be inherited by a
    process whose stderr is another.
    """
    try:
        found = os.fstat(_STDERR)
    except OSError:
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


def packed(fields: Iterable[tuple[str, str]]) -> bytes:
    """A record as the protocol has it."""
    parts = []
    for name, value in fields:
        data = value.encode(errors="backslashreplace")
        if b"\n" in data:
            parts.append(b"%b\n%b%b\n" % (name.encode(), struct.pack("<Q", len(data)), data))
        else:
            parts.append(b"%b=%b\n" % (name.encode(), data))
    return b"".join(parts)


class Journal:
    """A way to journald.

    Args:
        path: of its socket.
        again: it may be opened again, when journald has made another. Not for an engine, which may open nothing.
        fd: the way, opened by somebody else (`connected`); it is ours from now on.

    Raises OSError: there is none.
    """

    def __init__(self, path: Path = SOCKET, *, again: bool = False, fd: int | None = None) -> None:
        self._path = path
        self._again = again
        # A number, not a socket: in a child, where it may long be another's, nothing must close it or write to it.
        self._fd = connected(path) if fd is None else fd
        self._process = os.getpid()
        self._lost = 0

    def send(self, fields: Iterable[tuple[str, str]]) -> None:
        """Send a record. One that journald has no room for is left out, and their number is told when it has.

        Raises OSError: journald can't be reached.
        """
        if self._lost:
            told = f"({self._lost} lines of this process are missing here: the journal had no room for them)"
            if not self._send(packed([("MESSAGE", told), ("PRIORITY", "4"), ("SYSLOG_IDENTIFIER", "mountctl")])):
                self._lost += 1
                return
            self._lost = 0
        if not self._send(packed(fields)):
            self._lost += 1

    def close(self) -> None:
        """Let go of it."""
        if self._process == os.getpid():
            os.close(self._fd)
        self._process = 0

    def _send(self, packet: bytes) -> bool:
        """False if there is no room for it now. Raises OSError."""
        if self._process != os.getpid():
            raise OSError(errno.EBADF, "it is another process's")
        try:
            return _delivered(self._fd, packet)
        except OSError:
            if not self._again:
                raise
        fresh = connected(self._path)
        os.close(self._fd)
        self._fd = fresh
        return _delivered(self._fd, packet)


def connected(path: Path = SOCKET) -> int:
    """A descriptor that leads to journald. Raises OSError."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.connect(str(path))
        return sock.detach()


def _delivered(fd: int, packet: bytes) -> bool:
    try:
        os.write(fd, packet)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _TOO_LONG:
            raise
        return _delivered_by_memory(fd, packet)
    return True


def _delivered_by_memory(fd: int, packet: bytes) -> bool:
    """Journald takes files that nobody can change any more."""
    try:
        memory = os.memfd_create("journal-entry", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    except OSError:  # no memory, no descriptor: this line is lost, the way is not
        return False
    with contextlib.closing(os.fdopen(memory, "wb", buffering=0)) as file:
        try:
            file.write(packet)
            fcntl.fcntl(file, *_SEALS)
            with socket.socket(fileno=os.dup(fd)) as sock:
                socket.send_fds(sock, [b""], [file.fileno()])
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno in (*_TOO_LONG, errno.ENOSPC, errno.ETOOMANYREFS, errno.EMFILE):
                return False
            raise
    return True
