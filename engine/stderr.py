"""The standard error of our processes, where their logs go: writing to it never waits.

Whoever should read it (a pipe's reader, journald, a terminal that is held with ^S) may have stopped to; then lines are
left out and counted, as a supervisor or an engine that waited would be a hang of all mounts. Called once at the start
of the supervisor and of the zygote, whose children inherit it. Never called by commands that only ask and print.
"""

import contextlib
import io
import os
import stat
import sys
from typing import Any, Final

STDERR_FD: Final = 2


def unblock() -> None:
    """Have neither Python nor C code of this process, or its children, wait for who reads stderr."""
    with contextlib.suppress(OSError):  # no /proc, or a reader that has gone: what is written fails or goes as before
        _unblock(os.fstat(STDERR_FD).st_mode)
    raw: Any = _Lines()
    sys.stderr = io.TextIOWrapper(raw, encoding="utf-8", errors="backslashreplace", write_through=True)


def _unblock(mode: int) -> None:
    if stat.S_ISSOCK(mode):
        # It can't be opened a second time. systemd gives each service a socket of its own, so it is nobody else's.
        os.set_blocking(STDERR_FD, False)
    elif stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):
        # Opened a second time: of what we were given, others have copies, and not to wait would be news to them.
        own = os.open(f"/proc/self/fd/{STDERR_FD}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        os.dup2(own, STDERR_FD)
        os.close(own)


class _Lines(io.FileIO):
    """Takes lines, one a write. What there is no room for is left out, and told when there is room again."""

    def __init__(self) -> None:
        super().__init__(STDERR_FD, "w", closefd=False)
        self._lost = 0

    def write(self, data: Any) -> int:
        """Always takes all of it. Raises OSError for other reasons than a lack of room."""
        size = memoryview(data).nbytes
        if self._lost:
            told = f"({self._lost} lines of this process are missing here: nobody read them)\n".encode()
            if super().write(told) is None:
                self._lost += 1
                return size
            self._lost = 0
        written: int | None = super().write(data)
        if written is None or written < size:
            self._lost += 1
        return size
