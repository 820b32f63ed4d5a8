"""The runtime directory: where the control socket lives, held by one supervisor at a time. Called by daemon.py."""

import contextlib
import fcntl
import os
from pathlib import Path
from typing import Final, Self

from mountctl.errors import MountctlError

LOCK_NAME: Final = "lock"
SOCKET_NAME: Final = "control.sock"


class RuntimeDirectoryHeld(MountctlError):
    """Another supervisor runs on this runtime directory; the message says which."""

    exit_code = 1


class RuntimeDirectoryUnusable(MountctlError):
    """The runtime directory can't be made or written."""

    exit_code = 1


class RuntimeDirectory:
    """A held runtime directory; a context manager. At the end nothing of ours is left in it."""

    def __init__(self, path: Path) -> None:
        self.path: Final = path
        self.socket_path: Final = path / SOCKET_NAME
        self._lock_path = path / LOCK_NAME
        self._fd = -1
        self._made = False

    def __enter__(self) -> Self:
        try:
            self._made = not self.path.is_dir()
            self.path.mkdir(mode=0o755, parents=True, exist_ok=True)
            self._fd = self._lock()
        except OSError as error:
            raise RuntimeDirectoryUnusable(f"cannot use the runtime directory {self.path}: {error.strerror}") from error
        with contextlib.suppress(OSError):  # /run is full: it is held all the same, and nobody is told by whom
            os.ftruncate(self._fd, 0)
            os.write(self._fd, f"{os.getpid()}\n".encode())
        return self

    def __exit__(self, *exc: object) -> None:
        self.socket_path.unlink(missing_ok=True)
        self._lock_path.unlink(missing_ok=True)
        os.close(self._fd)
        if self._made:
            with contextlib.suppress(OSError):  # somebody else put something there
                self.path.rmdir()

    def _lock(self) -> int:
        while True:
            fd = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.pread(fd, 32, 0).decode().strip() or "unknown"
                os.close(fd)
                raise RuntimeDirectoryHeld(
                    f"another supervisor, pid {holder}, holds the runtime directory {self.path}: "
                    "stop it, or give this one another --runtime-dir"
                ) from None
            # The file may have been removed by its holder between our open and our lock.
            with contextlib.suppress(FileNotFoundError):
                if os.fstat(fd).st_ino == self._lock_path.stat().st_ino:
                    return fd
            os.close(fd)
