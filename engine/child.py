"""What a process that was just forked does to itself. Called in children of the zygote, and of engines (engine/fetch).

Nothing here may need a thread, a lock or an event loop.
"""

import ctypes
import os
import resource
import signal
from collections.abc import Collection
from typing import Final

# prctl(2)
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_NAME: Final = 15
_PR_SET_NO_NEW_PRIVS: Final = 38
# The kernel's bound on a process name, its NUL not counted.
NAME_BYTES_MAX: Final = 15

_libc = ctypes.CDLL(None, use_errno=True)


def close_others(keep: Collection[int]) -> None:
    """Close all file descriptors but stdin, stdout, stderr and these."""
    low = 3
    for fd in sorted(keep):
        os.closerange(low, fd)
        low = fd + 1
    os.closerange(low, resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def name_process(name: str) -> None:
    """Be called so by ps and top: the first NAME_BYTES_MAX bytes."""
    _libc.prctl(_PR_SET_NAME, name.encode()[:NAME_BYTES_MAX], 0, 0, 0)


def end_with_parent(parent: int) -> bool:
    """Be killed when the parent ends. False if it has ended already.

    A change of uid or gid takes that back, so it comes last.
    """
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    return os.getppid() == parent


def drop_privileges(uid: int, gid: int) -> None:
    """Become this user for good: no groups, no capabilities, and no way to get any by exec. Raises OSError."""
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)  # leaving uid 0 drops all capabilities: capabilities(7)
    if _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_NO_NEW_PRIVS)")
