"""What an engine had read and not answered when it died: who ends it. Called by mount.py before a successor is forked.

Where the kernel sends it again (Linux 6.9), the successor asks for that and there is nothing to do. Else it is swept
(sweep.py): programs get EINTR, and most ask again. Never touches the mount itself.
"""

import logging
import os
import subprocess
from typing import Final

import trio

from engine.facts import about
from engine.message_ids import MOUNT_LEFT
from mountctl.interpreter import PYTHON
from mountctl.supervisor.session import Session

# The start of an interpreter on a busy machine, the wait for a request, the sweep.
_SWEEP_SECONDS_MAX: Final = 20.0
_ANSWER_BYTES_MAX: Final = 64

_log = logging.getLogger(__name__)


async def settle(session: Session) -> bool:
    """Have nothing wait for an answer that no engine will give. False if that can't be had on this session."""
    if not session.attached or session.has_resend:
        return True
    place = session.place()
    if place is None:  # unmounted just now: nobody can ask, and what was asked ends with it
        return True
    told = await _swept(session.fuse_fd, place, session.swept)
    if not told:
        _log.error(
            "%s: requests in flight can't be ended alone: their session is", session.spec.name, extra=about(MOUNT_LEFT)
        )
        return False
    session.swept, found = map(int, told.split())
    if found > 1:  # one is the sweep's own
        _log.info(
            "%s: %d requests in flight end with EINTR: this kernel does not resend",
            session.spec.name,
            found,
            extra=about(MOUNT_LEFT),
        )
    return True


async def _swept(fuse_fd: int, place: str, floor: int) -> bytes:
    """What the sweep tells; nothing if it fails or hangs."""
    process = subprocess.Popen(  # noqa: ASYNC220 - trio's would wait for its end, even for ever
        [*PYTHON, "-m", "mountctl.supervisor.sweep", str(fuse_fd), place, str(floor)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        pass_fds=[fuse_fd],
    )
    assert process.stdout is not None
    pidfd = os.pidfd_open(process.pid)
    try:
        with trio.move_on_after(_SWEEP_SECONDS_MAX):
            await trio.lowlevel.wait_readable(pidfd)
            return os.read(process.stdout.fileno(), _ANSWER_BYTES_MAX) if process.wait() == 0 else b""
        return b""
    finally:
        if process.poll() is None:
            process.kill()
        process.stdout.close()
        os.close(pidfd)
