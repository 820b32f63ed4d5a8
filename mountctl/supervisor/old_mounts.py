"""Finds mounts of ours that supervisors before have left and that nobody can go on with, and takes them away.

Called by supervisor.py at its start, when what can be adopted is adopted. A mount of mountctl in the kernel's list is
taken away if the state file says that a supervisor on this runtime directory made it, whether an engine still serves it
or not, or if its connection is dead, whoever made it. Another supervisor's that answers, or may only be slow, is not;
nor is anything that is not mountctl's.
"""

import logging
import os
from collections.abc import Callable, Collection, Sequence
from typing import Final

import trio

from engine.facts import about
from engine.message_ids import MOUNT_LEFT
from mountctl.supervisor import claims, fusectl, mount_api, mountinfo, recognition, stale
from mountctl.supervisor.mount import Mount
from mountctl.supervisor.mountinfo import MountEntry
from mountctl.supervisor.mounts_file import Noted
from mountctl.supervisor.session import FSTYPE

# Each asks by a process of its own.
_AT_ONCE: Final = 8

_log = logging.getLogger(__name__)


async def clear(noted: Sequence[Noted], mounts: Collection[Mount]) -> None:
    """Take away what supervisors on this runtime directory have made.

    Args:
        noted: the state file's.
        mounts: those that go on.
    """
    here = recognition.namespace()
    async with trio.open_nursery() as nursery:
        for entry in mountinfo.entries():
            found = [each for each in noted if each.is_at(entry, here)]
            if _is_one_of(mounts, entry):  # a volume's, unless a supervisor died while it moved this one
                found = [each for each in found if each.mountpoint == entry.mountpoint]
            if found and not any(_is_where(mount, entry) for mount in mounts):
                nursery.start_soon(_take_away, entry, not _is_one_of(mounts, entry))


async def clear_dead(mounts: Collection[Mount], is_wanted: Callable[[str], bool]) -> None:
    """Take away what is dead, whoever made it, unless a supervisor that lives keeps it (claims.py).

    May take its time, if there are others' mounts that do not answer.

    Args:
        mounts: this supervisor's, always as they are now.
        is_wanted: whether something is to be mounted on what is dead at a path.
    """
    limit = trio.CapacityLimiter(_AT_ONCE)

    async def look_at(entry: MountEntry) -> None:
        async with limit:
            dead = await stale.probe(entry.mountpoint) is stale.Answer.DEAD
            if dead and not _is_one_of(mounts, entry) and not claims.is_claimed(entry.minor):
                await _take_away(entry, ends=True)

    async with trio.open_nursery() as nursery:
        for entry in mountinfo.entries():
            if entry.fstype == FSTYPE and not _is_one_of(mounts, entry) and not is_wanted(entry.mountpoint):
                nursery.start_soon(look_at, entry)


def _is_one_of(mounts: Collection[Mount], entry: MountEntry) -> bool:
    return any(mount.session is not None and mount.session.minor == entry.minor for mount in mounts)


def _is_where(mount: Mount, entry: MountEntry) -> bool:
    return mount.session is not None and mount.session.mount_id == entry.mount_id


async def _take_away(entry: MountEntry, ends: bool) -> None:  # noqa: FBT001 - trio passes no keywords
    """Detach it. `ends`: and end its connection; not so of where a mount was that a supervisor died while moving."""
    place, source = entry.mountpoint, entry.source
    answer = await stale.probe(os.path.dirname(place))
    # Not before: while it was asked, somebody may have mounted something over it, which an unmount would take away.
    top = mountinfo.at(place)
    if top is None:  # somebody has taken it away
        return
    if top.mount_id != entry.mount_id:
        _log.warning(
            "%s: the old mount of %s stays: %s is mounted over it", place, source, top.source, extra=about(MOUNT_LEFT)
        )
    elif answer is stale.Answer.SILENT:
        _log.warning(
            "%s: the old mount of %s stays: the file system it is on does not answer",
            place,
            source,
            extra=about(MOUNT_LEFT),
        )
    else:
        _log.warning(
            "%s: detaching the mount of %s that a supervisor before has left", place, source, extra=about(MOUNT_LEFT)
        )
        if ends:
            fusectl.abort(entry.minor)  # programs that wait for an engine get an error
        try:
            mount_api.umount(place, lazily=True)
        except OSError as error:  # somebody was quicker
            _log.warning(
                "%s: the old mount of %s can't be detached: %s", place, source, error.strerror, extra=about(MOUNT_LEFT)
            )
