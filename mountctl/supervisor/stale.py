"""Clears away dead mounts of ours that a supervisor before us left at a mountpoint. Called by mount.py."""

import logging
import os
import signal
import subprocess
from typing import Final

import trio

from mountctl.supervisor import mount_api, mountinfo
from mountctl.supervisor.session import FSTYPE

# A dead mount answers at once (ENOTCONN); one that has not answered by then has somebody behind it.
_PROBE_SECONDS: Final = 2.0
# Each supervisor that died could leave one; more at one path is somebody's loop.
_STACK_MAX: Final = 16
_DEAD: Final = b"Transport endpoint is not connected"

_log = logging.getLogger(__name__)


async def clear(mountpoint: str) -> None:
    """Detach mounts of ours at `mountpoint` that nobody serves any more. Leaves all others alone."""
    for _ in range(_STACK_MAX):
        found = mountinfo.at(mountpoint)
        if found is None or found.fstype != FSTYPE or not await _is_dead(mountpoint):
            return
        _log.warning("%s: detaching a dead mount of %s that was left there", mountpoint, found.source)
        mount_api.umount(mountpoint, lazily=True)


async def _is_dead(mountpoint: str) -> bool:
    """Ask by a process of its own, which may hang as it likes: nobody waits for it longer than _PROBE_SECONDS."""
    process = subprocess.Popen(  # noqa: ASYNC220 - trio's would wait for its end, even for ever
        ["stat", "--file-system", "--format=%T", mountpoint],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "LC_ALL": "C"},
    )
    pidfd = os.pidfd_open(process.pid)
    assert process.stderr is not None
    try:
        with trio.move_on_after(_PROBE_SECONDS):
            await trio.lowlevel.wait_readable(pidfd)
            return _DEAD in process.stderr.read()
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        with trio.move_on_after(_PROBE_SECONDS):  # in the kernel's hands it may never end: then it is left to it
            await trio.lowlevel.wait_readable(pidfd)
        return False
    finally:
        process.stderr.close()
        process.poll()
        os.close(pidfd)
