"""The mounts of volumes: started by the first who asks, ended when nobody has them any more. Owned by volumes.py."""

import logging
from typing import Final

import trio

from engine.spec import MountSpec
from mountctl.supervisor import steps
from mountctl.supervisor.changes import Changes
from mountctl.supervisor.mount import Mount
from mountctl.supervisor.results import CannotAdd
from mountctl.supervisor.state import SERVED, MountState
from mountctl.supervisor.volumes import at_targets
from mountctl.supervisor.volumes.causes import CannotApply
from mountctl.supervisor.volumes.model import Volume
from mountctl.supervisor.volumes.roster import Host, Roster
from mountctl.volume import Cause

# Until it is tried again, by itself after a while or because somebody wants it.
_WAITING: Final = frozenset({MountState.BACKOFF, MountState.FAILED})

_GOING: Final = frozenset({MountState.DRAINING, MountState.STOPPED})

_log = logging.getLogger(__name__)


class Mounting:
    """Those of all volumes. One at a time starts or ends that of one volume.

    Args:
        host: the supervisor.
        roster: the volumes.
        changes: of the host's mounts.
    """

    def __init__(self, host: Host, roster: Roster, changes: Changes) -> None:
        self._changes: Final = changes
        self._host: Final = host
        self._roster: Final = roster
        self._nursery: trio.Nursery | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """End them in time, until cancelled."""
        async with trio.open_nursery() as self._nursery:
            for volume in list(self._roster.by_name.values()):
                self.end_if_idle(volume)
            task_status.started()
            await trio.sleep_forever()

    async def mounted(self, volume: Volume) -> None:
        """Have its mount so that programs can have it; started if there is none, by one for all. Raises CannotApply."""
        failed_before = volume.attempts
        async with volume.changing:
            mount = self._roster.mount(volume)
            nobody_has_it = not volume.consumers and volume.claims == 1
            if mount is not None and nobody_has_it and self._is_another(volume, mount):
                await self._host.let_go(mount)
                mount = None
            if mount is None or mount.state in _WAITING:
                if volume.attempts > failed_before and volume.failure is not None:
                    raise volume.failure
                try:
                    await (self._start(volume) if mount is None else self._try_again(mount))
                except CannotApply as failure:
                    volume.attempts, volume.failure = volume.attempts + 1, failure
                    raise
        await self.had(volume)

    async def had(self, volume: Volume) -> Mount:
        """Its mount, when programs can have it. Raises CannotApply when it is known that they can't."""
        while True:
            seen, mount = self._changes.count, self._roster.mount(volume)
            if mount is not None and mount.state in _WAITING:
                raise at_targets.why_not(mount)
            # A reload may put another in its place; that one is waited for.
            if mount is not None and mount.state not in _GOING and mount.session is not None and mount.session.attached:
                return mount
            await self._changes.after(seen)

    async def _start(self, volume: Volume) -> None:
        """Have it mounted. Raises CannotApply; then nothing is left of it."""

        def make() -> MountSpec:
            volume.spec = self._roster.composed(volume)
            return volume.spec

        self._roster.make_sources()
        try:
            mount = await self._host.begin(make, transient=False)
        except CannotAdd as error:
            raise CannotApply(Cause.CONFLICT, str(error)) from error
        try:
            await self.had(volume)
        except BaseException:
            with trio.CancelScope(shield=True):
                await self._host.let_go(self._roster.mount(volume) or mount)
            raise

    async def _try_again(self, mount: Mount) -> None:
        """Have one that waits tried now, which others have consumers of. Raises CannotApply."""
        await mount.try_again()
        if mount.state in _WAITING:
            raise at_targets.why_not(mount)

    def _is_another(self, volume: Volume, mount: Mount) -> bool:
        """A mount that nobody uses is not as it would be made now, or is not served."""
        if mount.state not in SERVED:
            return True
        try:
            return self._roster.composed(volume) != mount.spec
        except CannotApply:
            return False

    def end_if_idle(self, volume: Volume) -> bool:
        """If nobody has it, have it end, after a while perhaps. Returns whether it does."""
        if volume.in_use or self._roster.by_name.get(volume.name) is not volume:
            return False
        assert self._nursery is not None
        volume.idle_since = trio.current_time()
        linger = 0 if self._roster.mount(volume) is None else self._host.config.csi.linger
        self._nursery.start_soon(self._end_told, volume, float(linger))
        return True

    async def _end_told(self, volume: Volume, linger: float) -> None:
        try:
            await self._end(volume, linger)
        except Exception:  # noqa: BLE001 - one volume's trouble, even a bug of ours, is no other's
            _log.exception("%s: internal error; it may be left mounted", volume.name)

    async def _end(self, volume: Volume, linger: float) -> None:
        since = volume.idle_since
        await trio.sleep(linger)
        mount = self._roster.mount(volume)
        if mount is not None and not volume.in_use:
            # Files that programs have closed may be on their way to S3 still.
            await steps.written(mount, steps.WRITTEN_SECONDS_MAX)
        async with volume.changing:
            if volume.in_use or volume.idle_since != since or volume.ended.is_set():
                return  # somebody has come, and perhaps gone again
            if (mount := self._roster.mount(volume)) is not None:
                await self._host.let_go(mount)
            if volume.in_use:  # somebody waits for us: it is mounted anew
                return
            if self._roster.by_name.get(volume.name) is volume:
                del self._roster.by_name[volume.name]
            volume.ended.set()
