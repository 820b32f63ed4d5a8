"""Puts sessions at their mountpoints and takes them away, asking first what lies there. Called by mount.py.

Whatever a path leads to may hang: stale.py asks by a process of its own, and nothing that has not answered is touched.
"""

import logging
import os
from pathlib import Path

from engine.facts import about
from engine.message_ids import MOUNT_LEFT
from engine.spec import MountSpec
from mountctl.supervisor import mountinfo, stale
from mountctl.supervisor.session import AUTOFS, FSTYPE, Session, SessionError, must_be_free

_log = logging.getLogger(__name__)


async def check(mountpoint: str) -> None:
    """Whether a mount can be had there, as far as that is known before; touches nothing. Raises SessionError."""
    answer = await stale.probe(mountpoint)
    if answer is stale.Answer.ANSWERS:
        must_be_free(mountpoint)
        _must_be_a_directory(Path(mountpoint))
        return
    found = mountinfo.at(mountpoint)
    if answer is stale.Answer.DEAD and (found is None or found.fstype == FSTYPE):
        return  # it is cleared away by `attach`
    if found is None or found.fstype == AUTOFS:
        raise SessionError(f"cannot mount at {mountpoint}: the file system it is on does not answer")
    raise SessionError(f"{found.told} is already mounted at {mountpoint}: unmount that first")


def _must_be_a_directory(path: Path) -> None:
    """It is one, or can be made."""
    missing = False
    while not path.exists():
        path, missing = path.parent, True
    if not path.is_dir():
        raise SessionError(f"{path} is not a directory")
    if missing and not os.access(path, os.W_OK):
        raise SessionError(f"there is no directory, and none can be made in {path}")


async def attach(session: Session, dead: Session | None) -> None:
    """Put a new session at its mountpoint, or where a `dead` one of ours still is. Raises SessionError, OSError."""
    if dead is not None and (place := dead.place()) is not None:
        if await stale.probe(os.path.dirname(place)) is stale.Answer.SILENT:
            raise SessionError(f"cannot mount at {place}: the file system it is on does not answer")
        session.replace(dead)
    else:
        await stale.clear(session.mountpoint)
        session.attach()


async def replace(session: Session, old: Session) -> None:
    """Put a new session in the place of a served one, or elsewhere, and detach that. Raises SessionError, OSError.

    Files that are open on the old one go on with its engine.
    """
    await _must_answer(old.place())
    if session.mountpoint == old.mountpoint:
        session.replace(old)
        if old.attached:  # somebody else had unmounted it
            old.detach()
    else:
        await stale.clear(session.mountpoint)
        session.attach()
        old.detach()


async def move(session: Session, spec: MountSpec) -> None:
    """Have a session at another mountpoint; what is open on it stays so. Raises SessionError, OSError."""
    await _must_answer(session.place())
    await stale.clear(spec.mountpoint)
    session.move(spec)


async def _must_answer(place: str | None) -> None:
    if place is not None and await stale.probe(os.path.dirname(place)) is stale.Answer.SILENT:
        raise SessionError(f"the file system that {place} is on does not answer")


async def unmount(session: Session) -> str | None:
    """Take a session's mount away, lazily if files are open on it. Returns why it stays, if it does."""
    place, name = session.place(), session.spec.name
    if place is not None and await stale.probe(os.path.dirname(place)) is stale.Answer.SILENT:
        _log.error(
            "%s: %s is left mounted: the file system it is on does not answer", name, place, extra=about(MOUNT_LEFT)
        )
        return "the file system it is on does not answer"
    covered = session.covered()
    if session.detach():
        _log.warning(
            "%s: files were open on %s: it was unmounted lazily, and they fail with ENOTCONN from now on",
            name,
            session.mountpoint,
            extra=about(MOUNT_LEFT),
        )
    return covered
