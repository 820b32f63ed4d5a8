"""Collects and ends what children of ours left behind, such as a credential_process whose broker was killed.

The supervisor is a subreaper, so they become its children, and nobody else waits for them. Run by supervisor.py.
Knows no process of ours by name: each of those has an owner, which collects it the moment it ends.
"""

import contextlib
import logging
import os
import select
import signal
from collections.abc import Collection
from pathlib import Path
from typing import Final

import trio

# Owners wait on a pidfd and collect at once; only an order to fork may take its time until its child has an owner.
UNCLAIMED_SECONDS: Final = 30.0
# A child that is killed hands its own children on to us: a few generations, then it is somebody's fork bomb.
_GENERATIONS_MAX: Final = 16
# A process that is killed ends in milliseconds, unless it waits in the kernel for a file system that hangs.
_END_SECONDS: Final = 1.0

_log = logging.getLogger(__name__)


async def collect() -> None:
    """Until cancelled, take away the zombies that have been nobody's for UNCLAIMED_SECONDS, twice that at most."""
    before: frozenset[int] = frozenset()
    while True:
        await trio.sleep(UNCLAIMED_SECONDS)
        now = frozenset(pid for pid in _children() if _is_zombie(pid))
        for pid in before & now:
            _collect(pid)
        before = now - before


def end_all(spare: Collection[int] = ()) -> None:
    """Kill and collect every child that is left, but for those to spare. Only for the very end, when all others have
    been collected.
    """
    tried = set(spare)
    for _ in range(_GENERATIONS_MAX):
        left = [pid for pid in _children() if pid not in tried]
        for pid in left:
            tried.add(pid)
            _log.info("ending process %d, which a child of ours left behind", pid)
            _end(pid)


def _end(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)  # not collected yet, so the number is surely its own
    pidfd = os.pidfd_open(pid)
    try:
        select.select([pidfd], [], [], _END_SECONDS)
    finally:
        os.close(pidfd)
    _collect(pid)


def _children() -> list[int]:
    """This process's children. None without CONFIG_PROC_CHILDREN, which all distributions' kernels have."""
    pids: list[int] = []
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(FileNotFoundError):  # a thread that ends while we look
            pids += map(int, (task / "children").read_text().split())
    return pids


def _is_zombie(pid: int) -> bool:
    with contextlib.suppress(ChildProcessError):
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    return False


def _collect(pid: int) -> None:
    with contextlib.suppress(ChildProcessError):  # its owner was only late
        os.waitpid(pid, os.WNOHANG)
        _log.debug("collected process %d, which a child of ours left behind", pid)
