"""The volumes that a supervisor finds at its start: by the state file, or, if that says nothing, by the kernel.

Called by supervisor.py, before it makes anything so. A target whose directory is gone is nobody's any more.
"""

import logging
import os
from collections.abc import Collection, Iterable, Mapping
from typing import Final

import trio

from engine.facts import about
from engine.message_ids import VOLUME
from mountctl.supervisor import mountinfo, stale
from mountctl.supervisor.session import FSTYPE, Session
from mountctl.supervisor.volumes import targets
from mountctl.supervisor.volumes.causes import CannotApply
from mountctl.supervisor.volumes.model import Bound, KeptVolume, Request, Volume
from mountctl.volume import Consumer

# Each asks by a process of its own.
_AT_ONCE: Final = 8

_log = logging.getLogger(__name__)


def known(
    kept: Mapping[str, KeptVolume] | None, sessions: Iterable[Session], sources: str, taken: Collection[str]
) -> list[Volume]:
    """All of them, with targets that nobody has looked at yet.

    Args:
        kept: what the state file says; None: it can't be read.
        sessions: those that are adopted.
        sources: the directory where volumes are mounted.
        taken: names of the configuration's mounts.
    """
    if kept is None:
        table = mountinfo.entries()
        volumes = [_of_kernel(each, table) for each in sessions if os.path.dirname(each.mountpoint) == sources]
    else:
        volumes = [_of_file(name, each) for name, each in kept.items()]
    for volume in volumes:
        if volume.name in taken:
            _log.error(
                "%s: the configuration has a mount of that name now: the volume is forgotten",
                volume.name,
                extra=about(VOLUME),
            )
    return [volume for volume in volumes if volume.name not in taken]


async def look_at(bounds: Iterable[Bound]) -> None:
    """Find where targets are. One that is gone has no place then."""
    limit = trio.CapacityLimiter(_AT_ONCE)

    async def look(bound: Bound) -> None:
        async with limit:
            bound.place = await _place(bound.place)

    async with trio.open_nursery() as nursery:
        for each in bounds:
            nursery.start_soon(look, each)


async def _place(target: str) -> str:
    """Where a target is; empty if it is gone. One that can't be looked at now is where it was."""
    parent, name = os.path.split(target)
    if await stale.probe(parent) is not stale.Answer.ANSWERS:
        return target
    place = os.path.join(os.path.realpath(parent), name)  # noqa: ASYNC240 - it has just answered
    return place if mountinfo.at(place) is not None or os.path.isdir(place) else ""  # noqa: ASYNC240 - likewise


def _of_file(name: str, kept: KeptVolume) -> Volume:
    volume = Volume(name, kept.request, kept.spec)
    for consumer in kept.consumers:
        try:
            target = targets.normal(consumer.target)
        except CannotApply as error:
            _log.warning("%s: %s", name, error, extra=about(VOLUME))
        else:
            volume.consumers[target] = Bound(consumer, target)
    return volume


def _of_kernel(session: Session, table: Iterable[mountinfo.MountEntry]) -> Volume:
    """What the kernel knows of one: where it is bound, and how. The rest is told when it is asked for again."""
    spec = session.spec
    options = spec.model_dump(mode="json", by_alias=True, exclude={"name", "mountpoint"})
    volume = Volume(spec.name, Request(options=options), spec, from_kernel=True)
    for entry in table:
        if entry.is_of(session.minor, FSTYPE) and entry.mount_id != session.mount_id:
            consumer = Consumer(target=entry.mountpoint, read_only=entry.read_only, volume="")
            volume.consumers[entry.mountpoint] = Bound(consumer, entry.mountpoint, session.minor)
    _log.warning(
        "%s: found at %d targets, and nobody knows whose", spec.name, len(volume.consumers), extra=about(VOLUME)
    )
    return volume
