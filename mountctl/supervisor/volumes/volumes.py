"""The volumes of a supervisor: who asks for one has it mounted and bound, and it goes with its last consumer.

Owned by supervisor.py. What is asked comes in here, one at a time for each target; mounting.py starts and ends mounts,
at_targets.py binds, rebinding.py does so again, and roster.py knows what there is.
"""

import logging
from collections.abc import Callable
from typing import Final

import trio

from engine.facts import about
from engine.message_ids import VOLUME
from mountctl.supervisor import mountinfo
from mountctl.supervisor.changes import Changes
from mountctl.supervisor.session import FSTYPE
from mountctl.supervisor.volumes import at_targets, composing, targets
from mountctl.supervisor.volumes.causes import CannotApply
from mountctl.supervisor.volumes.kept import VolumesFile
from mountctl.supervisor.volumes.model import Bound, Request, Volume
from mountctl.supervisor.volumes.mounting import Mounting
from mountctl.supervisor.volumes.rebinding import Rebinding
from mountctl.supervisor.volumes.roster import Host, Roster
from mountctl.supervisor.volumes.turns import Turns
from mountctl.volume import Applied, Apply, Cause, Consumer, Release, Released

# Longer than an engine may take to start (watch.START_TIMEOUT_SECONDS); whoever asked asks again.
APPLY_SECONDS_MAX: Final = 60.0
# How long a release waits for the end of the mount that nobody uses any more; it ends in any case.
END_SECONDS_MAX: Final = 10.0

_log = logging.getLogger(__name__)


class Volumes:
    """All of them.

    Args:
        host: the supervisor.
        file: where they are kept for the next one.
    """

    def __init__(self, host: Host, file: VolumesFile) -> None:
        self.roster: Final = Roster(host, file)
        self._host: Final = host
        self._changes: Final = Changes()  # of the host's mounts
        self._turns: Final = Turns()  # of targets
        self._mounting: Final = Mounting(host, self.roster, self._changes)
        self._rebinding: Final = Rebinding(host, self.roster, self._turns, self._changes)
        self._ready: Final = trio.Event()  # what the supervisor before has left is known

    def hear(self, changed: Callable[[], None]) -> Callable[[], None]:
        """What the supervisor is to call when a mount has changed, instead of this."""

        def tell() -> None:
            self._changes.tell()
            changed()

        return tell

    async def run(self) -> None:
        """End what nobody uses, and keep targets bound, until cancelled."""
        await self.roster.look()
        async with trio.open_nursery() as nursery:
            await nursery.start(self._mounting.run)
            nursery.start_soon(self._rebinding.run)
            self._ready.set()

    def are_seen_at(self, place: str) -> bool:
        """Whether one of them is, or is to be, bound there: what is dead there gets the new session on it."""
        return any(bound.place == place for each in self.roster.by_name.values() for bound in each.consumers.values())

    @property
    def _target_directory(self) -> str | None:
        return self._host.config.csi.target_directory

    # What is asked

    async def apply(self, asked: Apply) -> Applied:
        """Have a volume bound at a target; returns when it is. Raises CannotApply; then nothing new is left."""
        await self._ready.wait()
        target = targets.normal(asked.consumer.target)
        if (applied := self._already(asked, target)) is not None:
            return applied
        with trio.move_on_after(APPLY_SECONDS_MAX):
            async with self._turns.of(target):
                return self._already(asked, target) or await self._apply(asked, target)
        raise CannotApply(Cause.STARTING, f"{asked.name} was not ready within {APPLY_SECONDS_MAX:.0f} s: ask again")

    async def release(self, asked: Release) -> Released:
        """Have a target gone, and the volume if nobody else has it. Raises CannotApply."""
        await self._ready.wait()
        target = targets.normal(asked.target)
        async with self._turns.of(target):
            if (volume := self.roster.by_target.get(target)) is None:
                await at_targets.release_unknown(target, self._target_directory, self._host.mounts.values())
                return Released()
            await at_targets.release(target, volume.consumers[target])
            self.roster.drop(volume, target)
            was_last = not volume.in_use
            try:
                await self.roster.write()
            except CannotApply as error:  # the target is gone, which the next supervisor will see
                _log.warning("%s: %s", volume.name, error, extra=about(VOLUME))
            self.roster.tell(volume, f"released {target}")
        if not was_last or not self._mounting.end_if_idle(volume):
            return Released(name=volume.name)
        with trio.move_on_after(0 if self._host.config.csi.linger else END_SECONDS_MAX):
            await volume.ended.wait()
        return Released(name=volume.name, gone=volume.ended.is_set())

    def _already(self, asked: Apply, target: str) -> Applied | None:
        """The answer for a target that is bound, from memory and the kernel's list. Raises CannotApply."""
        if (volume := self.roster.by_target.get(target)) is None:
            return None
        bound = volume.consumers[target]
        if volume.name != asked.name:
            raise CannotApply(Cause.CONFLICT, f"target {target}: {volume.name} is bound there: release that first")
        if bound.consumer.read_only != asked.consumer.read_only:
            how = "read-only" if bound.consumer.read_only else "for writing"
            raise CannotApply(
                Cause.CONFLICT, f"target {target}: {volume.name} is bound there {how}: release that first"
            )
        entry = mountinfo.lately(trio.current_time()).at(bound.place)
        if entry is None or entry.fstype != FSTYPE or volume.from_kernel:
            return None
        bound.consumer = asked.consumer  # a supervisor that lost its file learns whose it is
        return self._applied(volume, fresh=False)

    def _applied(self, volume: Volume, *, fresh: bool) -> Applied:
        mount = self.roster.mount(volume)
        if mount is None:
            return Applied(name=volume.name, state="starting", reason="it is about to be mounted", fresh=fresh)
        return Applied(name=volume.name, state=mount.state.value, reason=mount.reason, fresh=fresh)

    async def _apply(self, asked: Apply, target: str) -> Applied:
        targets.judge(target, self._target_directory)
        place = await at_targets.place_of(target, self._target_directory)
        top = at_targets.replaceable(target, place, self._host.mounts.values())
        volume = self._volume(asked)
        volume.claims += 1
        self.roster.by_name[volume.name] = volume
        try:
            await self._mounting.mounted(volume)
            before = volume.consumers.get(target)
            bound = Bound(asked.consumer, place)
            self.roster.add(volume, target, bound)
            try:
                await self.roster.write()  # before it is bound: no supervisor finds a bind that it knows nothing of
                at_targets.bind(await self._mounting.had(volume), bound)  # a reload may have made another meanwhile
            except BaseException:
                if before is None:
                    self.roster.drop(volume, target)
                with trio.CancelScope(shield=True):
                    await self.roster.write()
                raise
            volume.from_kernel = False
        finally:
            volume.claims -= 1
            self._mounting.end_if_idle(volume)
        self.roster.tell(volume, f"bound at {target}{_of(asked.consumer)}")
        return self._applied(volume, fresh=before is None or top is None)

    def _volume(self, asked: Apply) -> Volume:
        """The one of that name, or a new one. Raises CannotApply."""
        request = Request.of(asked)
        volume = self.roster.by_name.get(asked.name)
        if volume is None or (volume.request != request and (volume.from_kernel or not volume.in_use)):
            spec = composing.composed(asked.name, self.roster.source(asked.name), request, self._host.config)
            if volume is None:
                return Volume(asked.name, request, spec)
            volume.request = request
        elif volume.request != request:
            told = f"{asked.name} is there with other options: ask by another name, or release all its targets first"
            raise CannotApply(Cause.CONFLICT, told)
        return volume

    async def finish(self) -> None:
        """The supervisor unmounts all: have nothing bound. Who uses what stays known for the next one."""
        for volume in self.roster.by_name.values():
            for bound in volume.consumers.values():
                try:
                    place = await at_targets.place_of(bound.consumer.target, self._target_directory)
                    at_targets.take_away(place, directory=False)
                except CannotApply as error:
                    _log.warning("%s: %s", volume.name, error, extra=about(VOLUME))
        self.roster.remove_sources()


def _of(consumer: Consumer) -> str:
    return "" if consumer.pod is None else f" for pod {consumer.pod.namespace}/{consumer.pod.name}"
