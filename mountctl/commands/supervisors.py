"""The supervisors on this host that run the same installation as this command does. Called by upgrade.py.

Found by the kernel's word in /proc, as anybody may have started them anywhere: mount(8) for a line of fstab, a unit
of a user's, a shell. Needs root to see all.
"""

import contextlib
import os
import sys
from pathlib import Path
from typing import Final

from mountctl.supervisor.runtime import LOCK_NAME, SOCKET_NAME

_PROC: Final = Path("/proc")


def runtime_dirs(program: str = sys.executable) -> list[Path]:
    """Where each of them has its control socket.

    Args:
        program: the interpreter, by the path that it was called by: of a virtual environment it is its own.
    """
    found: set[Path] = set()
    for process in _PROC.iterdir():
        if process.name.isdigit():
            with contextlib.suppress(OSError):  # it has just ended
                if _runs(process, os.fsencode(program)):
                    found |= _held(process)
    return sorted(found)


def _runs(process: Path, program: bytes) -> bool:
    """Whether it is of that installation. In a container the same path is another one."""
    called = (process / "cmdline").read_bytes().split(b"\0", 1)[0]
    return called == program and os.path.samestat((process / "root").stat(), Path("/").stat())


def _held(process: Path) -> set[Path]:
    """The runtime directories that it holds: one, if it is a supervisor."""
    found: set[Path] = set()
    for descriptor in (process / "fd").iterdir():
        with contextlib.suppress(OSError):  # it has just closed it
            file = descriptor.readlink()
            if file.name == LOCK_NAME and (file.parent / SOCKET_NAME).is_socket():
                found.add(file.parent)
    return found
