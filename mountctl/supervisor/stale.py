"""Asks what lies at a mountpoint before anything is mounted there, and clears away dead mounts of ours.

A path may lead into a file system that hangs (NFS, another FUSE mount): so a process of its own is sent ahead, and the
supervisor touches no path that has not answered. Called by mount.py.
"""

import logging
import os
import signal
import subprocess
from enum import Enum, auto
from pathlib import Path
from typing import Final

import trio

from engine.facts import about
from engine.message_ids import MOUNT_LEFT
from mountctl.supervisor import mount_api, mountinfo
from mountctl.supervisor.hangs import STARVED_SECONDS
from mountctl.supervisor.session import AUTOFS, FSTYPE, SessionError

# A dead mount answers at once (ENOTCONN); one that has not answered by then has somebody behind it, or nobody.
_PROBE_SECONDS: Final = 2.0
# Each supervisor that died could leave one; more at one path is somebody's loop.
_STACK_MAX: Final = 16
_DEAD: Final = b"Transport endpoint is not connected"

_log = logging.getLogger(__name__)


class Answer(Enum):
    """What a path says."""

    ANSWERS = auto()  # also that there is nothing
    DEAD = auto()  # a FUSE mount whose connection is closed
    SILENT = auto()  # who touches it hangs


async def clear(mountpoint: str) -> None:
    """Detach mounts of ours at `mountpoint`, or where it links to, that nobody serves. Leaves all others alone.

    Raises SessionError if the file system that it is on does not answer: then nothing there may be touched.
    """
    for _ in range(_STACK_MAX):
        answer = await probe(mountpoint)
        if answer is Answer.SILENT:
            found = mountinfo.at(mountpoint)
            if found is None or found.fstype == AUTOFS:
                raise SessionError(f"cannot mount at {mountpoint}: the file system it is on does not answer")
            return  # whoever mounts will name it
        place = os.path.realpath(mountpoint)  # noqa: ASYNC240 - it has just answered
        found = mountinfo.at(place)
        if answer is not Answer.DEAD or found is None or found.fstype != FSTYPE:
            return
        _log.warning(
            "%s: detaching a dead mount of %s that was left there", mountpoint, found.source, extra=about(MOUNT_LEFT)
        )
        mount_api.umount(place, lazily=True)


async def probe(path: str) -> Answer:
    """Ask by a process of its own, which may hang as it likes: nobody waits for one that sleeps over it.

    One that is ready to run and gets no CPU has not been told anything yet: it is waited for longer.
    """
    process = subprocess.Popen(  # noqa: ASYNC220 - trio's would wait for its end, even for ever
        ["stat", "--file-system", "--format=%T", "--", path],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "LC_ALL": "C"},
    )
    pidfd = os.pidfd_open(process.pid)
    assert process.stderr is not None
    try:
        limit = trio.current_time() + STARVED_SECONDS
        while True:
            with trio.move_on_after(_PROBE_SECONDS):
                await trio.lowlevel.wait_readable(pidfd)
                return Answer.DEAD if _DEAD in process.stderr.read() else Answer.ANSWERS
            if trio.current_time() >= limit or not _wants_to_run(process.pid):
                break
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        with trio.move_on_after(_PROBE_SECONDS):  # in the kernel's hands it may never end: then it is left to it
            await trio.lowlevel.wait_readable(pidfd)
        return Answer.SILENT
    finally:
        process.stderr.close()
        process.poll()
        os.close(pidfd)


def _wants_to_run(pid: int) -> bool:
    """Whether a process waits for nothing but the CPU, or has ended just now: states R and Z of proc_pid_stat(5)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in ("R", "Z")
    except (FileNotFoundError, ProcessLookupError):
        return True
