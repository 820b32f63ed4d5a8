"""A mount's log file: opened here, by root, and handed to its engine, which may not open files. Called by mount.py, and
by background.py for a supervisor whose own log it is too.

Opened anew whenever the configuration is reloaded, so that a log that was renamed is let go of.
"""

import contextlib
import io
import os
import stat
from pathlib import Path
from typing import Final

import trio

# A local disk opens a file in a millisecond; a network's may be away, and the engine has keys to wait for.
OPEN_SECONDS_MAX: Final = 5.0
_DIRECTORY_MODE: Final = 0o750
_FILE_MODE: Final = 0o640
# No symbolic link is followed, no pipe waited for: root writes here.
_FLAGS: Final = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class LogFileUnusable(Exception):
    """A mount's log file can't be had; the message says why."""


def path_of(directory: str, name: str) -> Path:
    """Where the log of a mount of this name is."""
    return Path(directory) / f"mountctl-{name}.log"


async def opened(directory: str, name: str) -> io.FileIO:
    """The log file of a mount, for appending; makes it, and its directory. Raises LogFileUnusable."""
    path = path_of(directory, name)
    with trio.move_on_after(OPEN_SECONDS_MAX):
        try:
            return await trio.to_thread.run_sync(_open, path, abandon_on_cancel=True)
        except OSError as error:
            raise LogFileUnusable(f"cannot open {path}: {error.strerror or error}") from error
    raise LogFileUnusable(f"cannot open {path}: no answer within {OPEN_SECONDS_MAX:.0f} s")


def create(path: Path) -> int:
    """The file at `path`, for appending; makes it, and its directory. Blocks. Raises OSError."""
    with contextlib.suppress(FileExistsError):
        path.parent.mkdir(_DIRECTORY_MODE)
    fd = _create(path)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(0, "it is not a regular file")
    return fd


def _open(path: Path) -> io.FileIO:
    return io.FileIO(create(path), "w")


def _create(path: Path) -> int:
    """The mode of a file that is there already is its owner's choice; that of a new one depends on no umask."""
    try:
        fd = os.open(path, _FLAGS | os.O_EXCL, _FILE_MODE)
    except FileExistsError:
        return os.open(path, _FLAGS)
    os.fchmod(fd, _FILE_MODE)
    return fd
