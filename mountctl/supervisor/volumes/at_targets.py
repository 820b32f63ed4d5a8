"""What is done at a target: found, bound, let go of. Called by volumes.py; the kernel's part is binds.py's.

Touches no path that has not answered a process of its own (stale.py).
"""

import os
from collections.abc import Iterable
from pathlib import PurePosixPath

import trio

from mountctl.supervisor import mountinfo, stale
from mountctl.supervisor.mount import Mount
from mountctl.supervisor.mountinfo import MountEntry
from mountctl.supervisor.session import FSTYPE, SessionError
from mountctl.supervisor.volumes import binds, targets
from mountctl.supervisor.volumes.causes import CannotApply, of_end
from mountctl.supervisor.volumes.model import Bound
from mountctl.volume import Cause


async def place_of(target: str, directory: str | None) -> str:
    """Where a target is, without symbolic links; nowhere in a mount of ours, whose engines we would wait for.

    Raises CannotApply.

    Args:
        target: in its normal form.
        directory: all must be below; None: anywhere.
    """
    _must_be_outside(target, target)
    if await stale.probe(os.path.dirname(target)) is not stale.Answer.ANSWERS:
        raise CannotApply(Cause.NODE, f"target {target}: the file system that it is on does not answer")
    place = targets.found(target, directory)
    _must_be_outside(target, place)
    return place


def _must_be_outside(target: str, place: str) -> None:
    table = mountinfo.lately(trio.current_time())
    for parent in PurePosixPath(place).parents:
        if (entry := table.at(str(parent))) is not None and entry.fstype == FSTYPE:
            raise CannotApply(Cause.INVALID, f"target {target}: it is inside {entry.told}, mounted at {parent}")


def replaceable(target: str, place: str, mounts: Iterable[Mount]) -> MountEntry | None:
    """What is mounted at a target and may be replaced by a bind: another bind of ours. None: nothing is.

    Raises CannotApply if it may not be.
    """
    top = mountinfo.at(place)
    if top is not None and (top.fstype != FSTYPE or top.mount_id in _ids(mounts)):
        raise CannotApply(Cause.CONFLICT, f"target {target}: {top.told} is mounted there: unmount that first")
    return top


def _ids(mounts: Iterable[Mount]) -> set[int]:
    return {mount.session.mount_id for mount in mounts if mount.session is not None}


async def release(target: str, bound: Bound) -> None:
    """Let go of a consumer's target, wherever targets may be by now. Raises CannotApply."""
    try:
        place = await place_of(target, None)
    except CannotApply as error:
        if error.cause is not Cause.INVALID:
            raise
        place = bound.place  # the directory that it was in is gone
    take_away(place)


def bind(mount: Mount, bound: Bound) -> bool:
    """Have the session that a mount has now seen at a target. Returns whether it was not. Raises CannotApply."""
    if (session := mount.session) is None or not session.attached:
        raise why_not(mount)
    try:
        if missing := not binds.is_bound(bound.place, session):
            binds.bind(session, bound.place, read_only=bound.consumer.read_only)
    except SessionError as error:
        raise CannotApply(Cause.NODE, str(error)) from error
    bound.minor = session.minor
    return missing


def take_away(place: str, *, directory: bool = True) -> None:
    """Have nothing of ours bound there, and no directory, unless that is to stay. Raises CannotApply."""
    try:
        binds.unbind(place)
        if directory:
            binds.remove(place)
    except SessionError as error:
        raise CannotApply(Cause.NODE, str(error)) from error


async def release_unknown(target: str, directory: str | None, mounts: Iterable[Mount]) -> None:
    """Let go of one that nobody has asked for, as far as is known; a place of the `mounts` is not touched.

    Raises CannotApply.
    """
    targets.judge(target, directory)
    try:
        place = await place_of(target, directory)
    except CannotApply as error:
        if error.cause is Cause.INVALID:  # not even the directory above is there
            return
        raise
    top = mountinfo.at(place)
    if top is None:
        _remove_empty(place)
    elif top.fstype == FSTYPE and top.mount_id not in _ids(mounts):
        take_away(place)


def _remove_empty(place: str) -> None:
    if os.path.isdir(place) and not os.path.islink(place):
        take_away(place)


def why_not(mount: Mount) -> CannotApply:
    """Why a mount can't be had."""
    return CannotApply(of_end(mount.gone, mount.access.error), mount.reason or f"{mount.spec.name} is {mount.state}")
