"""Puts sessions at their mountpoints and takes them away, asking first what lies there. Called by mount.py.

Whatever a path leads to may hang: stale.py asks by a process of its own, and nothing that has not answered is touched.
"""

import logging
import os

from mountctl.supervisor import stale
from mountctl.supervisor.session import Session, SessionError

_log = logging.getLogger(__name__)


async def attach(session: Session, dead: Session | None) -> None:
    """Put a new session at its mountpoint, or where a `dead` one of ours still is. Raises SessionError, OSError."""
    if dead is not None and (place := dead.place()) is not None:
        if await stale.probe(os.path.dirname(place)) is stale.Answer.SILENT:
            raise SessionError(f"cannot mount at {place}: the file system it is on does not answer")
        session.replace(dead)
    else:
        await stale.clear(session.mountpoint)
        session.attach()


async def unmount(session: Session) -> None:
    """Take a session's mount away, lazily if files are open on it; the log says so."""
    place, name = session.place(), session.spec.name
    if place is not None and await stale.probe(os.path.dirname(place)) is stale.Answer.SILENT:
        _log.error("%s: %s is left mounted: the file system it is on does not answer", name, place)
    elif session.detach():
        _log.warning(
            "%s: files were open on %s: it was unmounted lazily, and they fail with ENOTCONN from now on",
            name,
            session.mountpoint,
        )
