"""All volumes of a supervisor, by name and by target: what they are to be, what is kept and what is told of them.

Owned by volumes.py; the supervisor asks it what a configuration means for them.
"""

import contextlib
import logging
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Final, Protocol

import trio

from engine.facts import about
from engine.message_ids import VOLUME
from engine.spec import MountSpec
from mountctl.config.diff import diff
from mountctl.config.model import Config
from mountctl.supervisor.events import Events, Kind
from mountctl.supervisor.mount import Mount
from mountctl.supervisor.session import Session
from mountctl.supervisor.steps import RECOVER_SECONDS_MAX
from mountctl.supervisor.volumes import composing, found
from mountctl.supervisor.volumes.causes import CannotApply
from mountctl.supervisor.volumes.kept import VolumesFile
from mountctl.supervisor.volumes.model import Bound, KeptVolume, Volume
from mountctl.supervisor.wanted import Planned, Refusal
from mountctl.volume import Cause, VolumeStatus

_log = logging.getLogger(__name__)

# Who may enter a volume is decided at its targets.
_SOURCES_MODE: Final = 0o700


class Host(Protocol):
    """The supervisor, as far as volumes concern it."""

    mounts: dict[str, Mount]
    config: Config
    events: Events

    async def begin(self, make: Callable[[], MountSpec], *, transient: bool) -> Mount:
        """Start a mount that no file declares. Raises CannotAdd, and what `make` raises."""
        ...

    async def let_go(self, mount: Mount) -> None:
        """Unmount one that no file declares, and forget it; returns when all is gone."""
        ...


class Roster:
    """All of them.

    Args:
        host: the supervisor.
        file: where they are kept for the next one.
    """

    def __init__(self, host: Host, file: VolumesFile) -> None:
        self.by_name: Final[dict[str, Volume]] = {}
        self.by_target: Final[dict[str, Volume]] = {}
        self._host: Final = host
        self._file: Final = file

    def source(self, name: str) -> str:
        """Where a volume's mount is."""
        return str(self._file.sources / name)

    def make_sources(self) -> None:
        """Have the directory where volumes are mounted, which nobody else enters: targets are where they are seen.

        Raises CannotApply.
        """
        try:
            self._file.sources.mkdir(mode=_SOURCES_MODE, exist_ok=True)
        except OSError as error:
            told = f"cannot make {self._file.sources}: {error.strerror or error}"
            raise CannotApply(Cause.NODE, told) from error

    def remove_sources(self) -> None:
        """Have it no more, unless something is in it still."""
        with contextlib.suppress(OSError):
            self._file.sources.rmdir()

    def mount(self, volume: Volume) -> Mount | None:
        """Its mount, if there is one."""
        return self._host.mounts.get(volume.name)

    def composed(self, volume: Volume) -> MountSpec:
        """What its mount would be if it were made now. Raises CannotApply."""
        return composing.composed(volume.name, self.source(volume.name), volume.request, self._host.config)

    def add(self, volume: Volume, target: str, bound: Bound) -> None:
        """It has a consumer."""
        volume.consumers[target] = bound
        self.by_target[target] = volume

    def drop(self, volume: Volume, target: str) -> None:
        """It has that no more."""
        del volume.consumers[target], self.by_target[target]

    def tell(self, volume: Volume, text: str) -> None:
        """Something happened at one of its targets."""
        _log.info("%s: %s", volume.name, text, extra=about(VOLUME))
        self._host.events.note(Kind.VOLUME, text, mount=volume.name)

    def wanted(self, config: Config) -> dict[str, MountSpec]:
        """What their mounts are to be by this configuration, by name: as far as consumers allow, or as they run."""
        specs = {}
        for name, volume in self.by_name.items():
            running = self._host.mounts.get(name)
            if running is None and not volume.consumers:
                continue  # it is about to be there, or to be gone
            try:
                spec = composing.composed(name, self.source(name), volume.request, config)
            except CannotApply:
                spec = volume.spec if running is None else running.spec
            specs[name] = spec if running is None else composing.held_back(spec, running.spec)[0]
        return specs

    @property
    def others(self) -> dict[str, Mount]:
        """The supervisor's mounts that are no volumes."""
        return {name: mount for name, mount in self._host.mounts.items() if name not in self.by_name}

    @property
    def running(self) -> dict[str, MountSpec]:
        """Their mounts as they run."""
        return {name: mount.spec for name, mount in self._host.mounts.items() if name in self.by_name}

    def check(self, only: Collection[str]) -> None:
        """Whether a reload can be about these mounts alone. Raises Refusal."""
        if named := sorted(set(only) & self.by_name.keys()):
            told = "is a volume, which changes with the templates that it uses: reload without --only"
            raise Refusal([f"{name}: {told}" for name in named])

    async def join(self, planned: Planned, only: Collection[str]) -> Planned:
        """What a configuration means for them beside what it means for its mounts. Raises Refusal.

        Args:
            planned: what it means for its mounts.
            only: the mounts that it is about; none: all, and volumes.
        """
        if taken := sorted(planned.config.mounts.keys() & self.by_name.keys()):
            raise Refusal([f"{name}: a volume has that name, which is in use: choose another" for name in taken])
        if only:
            return planned
        # One that is about to be served would be made anew, under the hands of who has asked for it.
        with trio.move_on_after(RECOVER_SECONDS_MAX):
            for mount in [self._host.mounts[name] for name in self.by_name.keys() & self._host.mounts.keys()]:
                await mount.settling.wait()
        running = self.running
        known = {name: spec for name, spec in self.wanted(planned.config).items() if name in running}
        return replace(planned, changes=dict(sorted((planned.changes | diff(running, known)).items())))

    def load(self, sessions: Collection[Session]) -> None:
        """What the supervisor before has left; `sessions`: those that are adopted. Blocks as long as the disk takes."""
        for volume in found.known(self._file.read(), sessions, str(self._file.sources), self._host.config.mounts):
            self.by_name[volume.name] = volume
            for target in volume.consumers:
                self.by_target[target] = volume

    async def look(self) -> None:
        """Find where the targets of those are; who has none any more is no consumer."""
        await found.look_at(bound for volume in self.by_name.values() for bound in volume.consumers.values())
        for volume in self.by_name.values():
            for target, bound in list(volume.consumers.items()):
                if not bound.place:
                    _log.info("%s: %s is gone, and with it a consumer", volume.name, target, extra=about(VOLUME))
                    self.drop(volume, target)

    def waiting(self, name: str, config: Config) -> tuple[str, ...]:
        """The keys of a volume that would wait by this configuration. Raises CannotApply."""
        volume, mount = self.by_name.get(name), self._host.mounts.get(name)
        if volume is None or mount is None:
            return ()
        spec = composing.composed(name, self.source(name), volume.request, config)
        return composing.held_back(spec, mount.spec)[1]

    def status(self, mount: Mount) -> VolumeStatus | None:
        """What `status` adds for a mount that is a volume; None for one that is not."""
        if (volume := self.by_name.get(mount.spec.name)) is None:
            return None
        waiting: tuple[str, ...] = ()
        trouble = None
        try:
            waiting = self.waiting(volume.name, self._host.config)
        except CannotApply as error:
            trouble = str(error)
        return volume.status(waiting, trouble)

    async def write(self) -> None:
        """Have what there is now in the file. Raises CannotApply."""
        try:
            await self._file.write(self._kept)
        except OSError as error:
            told = f"cannot write down who uses the volume: {error.strerror or error}"
            raise CannotApply(Cause.NODE, told) from error

    def _kept(self) -> dict[str, KeptVolume]:
        mounts = self._host.mounts
        return {
            name: volume.kept(mounts[name].spec if name in mounts else None)
            for name, volume in self.by_name.items()
            if volume.consumers
        }
