"""The supervisor: one task a mount, the broker, and reloads. Composes; decides little itself.

Run by daemon.py. Started from a function that loads the configuration, so that `mountctl run` (a file) and
`mountctl mount` (the command line) are the same from here on. Touches no mountpoint itself.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from typing import Final

import trio

from engine.spec import MountSpec
from mountctl.config.classes import ChangeClass
from mountctl.config.diff import clashes, diff, names_of
from mountctl.config.load import Config
from mountctl.errors import ConfigError
from mountctl.supervisor import adoption, applying, beginning, old_mounts, orphans, steps, wanted
from mountctl.supervisor.access import AccessHub
from mountctl.supervisor.adoption import Left
from mountctl.supervisor.engine import Engine
from mountctl.supervisor.fdstore import FdStore
from mountctl.supervisor.leftovers import Leftovers
from mountctl.supervisor.log_lines import Logs
from mountctl.supervisor.mount import Mount
from mountctl.supervisor.remembered import Remembered
from mountctl.supervisor.replacing import Beside
from mountctl.supervisor.results import CannotAdd, Reload, ended, refused, step
from mountctl.supervisor.services import Services
from mountctl.supervisor.session import Session
from mountctl.supervisor.slices.slices import Slices
from mountctl.supervisor.trial import Trial
from mountctl.supervisor.uids import EngineUids
from mountctl.supervisor.vital import vital
from mountctl.supervisor.volumes.volumes import Volumes
from mountctl.supervisor.zygote import Zygote

# A mount's task that failed by a bug of ours is started again; not at once, to keep the log readable.
_BUG_DELAY_SECONDS: Final = 10.0
_ALL: Final = wanted.Wish()

_log = logging.getLogger(__name__)


class Supervisor:
    """Keeps the configured mounts mounted.

    Args:
        load: gives the configuration; raises ConfigError.
        fds: keeps what the supervisor that comes after this one goes on with.
        remembered: the state directory.
        changed: called whenever something that `status` shows has changed.
        transient: the configuration's mounts are no file's either: each is over when somebody unmounts it.
    """

    def __init__(
        self,
        load: Callable[[], Config],
        fds: FdStore,
        remembered: Remembered,
        changed: Callable[[], None] = lambda: None,
        *,
        transient: bool = False,
    ) -> None:
        self._transient = transient
        self.all_unmounted = trio.Event()  # the last of the mounts that no file declares is over, and there is no other
        self._last_good, self.holds = remembered.last_good, remembered.holds
        self.config, self.last_reload, self._trying = beginning.begin(load, remembered)
        self.generation = 1
        self.mounts: dict[str, Mount] = {}
        self._beside = Beside()
        self.trial = Trial(remembered.trials, None if self._trying is None else self._trying.until)
        self.events, self.logs, self.slices = remembered.events, Logs(), Slices()
        self.beginning = True  # not all that the configuration declares was begun with yet
        self.stopped = trio.Event()  # all is unmounted, after `run` was cancelled
        self._load = load
        self.volumes = Volumes(self, remembered.volumes)
        self._changed = self.slices.hear(self.volumes.hear(changed))
        self._uids = EngineUids()
        self.reloading = trio.Lock()
        self.fds: Final = fds
        self._noted = remembered.noted
        self._leftovers = Leftovers(remembered.uploads, self._sessions, self._specs)
        self._leaving = False
        self._nursery: trio.Nursery | None = None
        self.running = trio.Event()  # what was left is known, and mounts may be started
        self._services: Services | None = None
        self.left_engines: set[int] = set()  # processes that go on for the supervisor that comes after this one

    async def leave(self) -> bool:
        """Whether another supervisor comes after this one: then at the end of `run` what is mounted stays for it."""
        self._leaving = await self.fds.leaves()
        return self._leaving

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled, then unmount all. Reports started when each mount is up, or is known not to be."""
        try:
            await self._serve(task_status)
        finally:
            await self._leftovers.aclose()
            with trio.CancelScope(shield=True):
                if self._leaving:
                    await self.fds.settle()
                else:
                    await self.volumes.finish()
                    await self.fds.finish()
                    await self.slices.finish()
                    self._noted.finish()
            self.stopped.set()

    async def _serve(self, task_status: trio.TaskStatus[None]) -> None:
        async with Zygote() as zygote, trio.open_nursery() as outer:
            access = AccessHub(zygote, self.logs)
            outer.start_soon(vital(access.run))
            outer.start_soon(vital(orphans.collect))
            self._services = Services(
                zygote=zygote,
                access=access,
                fds=self.fds,
                noted=self._noted,
                leftovers=self._leftovers,
                changed=self._changed,
                leaving=lambda: self._leaving,
                left=self.left_engines,
                events=self.events,
                logs=self.logs,
                slices=self.slices,
            )
            async with trio.open_nursery() as self._nursery:
                self._adopt(await adoption.find(self.fds))
                self._nursery.start_soon(vital(self.volumes.run))
                outer.start_soon(vital(self.fds.run))
                outer.start_soon(vital(self._leftovers.run))
                outer.start_soon(vital(self.slices.run), lambda: (*self._beside.mounts, *self.mounts.values()))
                await old_mounts.clear(self._noted.noted(), self.mounts.values())
                outer.start_soon(vital(old_mounts.clear_dead), self.mounts.values(), self.volumes.are_seen_at)
                self.running.set()
                await self._make_it_so(self.config)
                self.beginning = False
                if (trying := self._trying) is not None:
                    self.trial.go_on(trying.seconds, partial(self._go_back, trying.before), self._nursery)
                task_status.started()
                await trio.sleep_forever()

    async def reload(self, wish: wanted.Wish = _ALL) -> Reload:
        """Read the configuration again and make it so. An error in it, or a risk not asked for, changes nothing.

        Goes on to its end even if the caller does not wait for it.
        """
        await self.running.wait()  # a reload may be asked for before the first mount is started
        assert self._nursery is not None
        done = trio.Event()
        results: list[Reload] = []

        async def reload_then_tell() -> None:
            async with self.reloading:
                results.append(await self._reload(wish))
            done.set()

        self._nursery.start_soon(vital(reload_then_tell))
        await done.wait()
        return results[0]

    async def begin(self, make: Callable[[], MountSpec], *, transient: bool) -> Mount:
        """Start a mount that no file declares. Raises CannotAdd, and what `make` raises.

        Args:
            make: says what, by the configuration that is in force then.
            transient: it is over when somebody unmounts it.
        """
        await self.running.wait()
        assert self._nursery is not None
        async with self.reloading:
            spec = make()
            if (clash := clashes(spec, [mount.spec for mount in self.mounts.values()])) is not None:
                raise CannotAdd(clash)
            mount = self._new_mount(spec, transient=transient)
            self._nursery.start_soon(self._run_mount, mount)
        return mount

    async def let_go(self, mount: Mount) -> None:
        """Unmount one that no file declares, and forget it; returns when all is gone. A reload need not wait for it."""
        async with self.reloading:
            if self.mounts.get(mount.spec.name) is not mount:
                return
            del self.mounts[mount.spec.name]
            self._beside.mounts.add(mount)
        self._changed()
        await mount.stop()
        self._beside.mounts.discard(mount)

    async def confirm(self) -> None:
        """Keep the configuration that is on trial. Raises trial.NothingOnTrial."""
        self.trial.confirm()
        await self._stay()
        step(self.events, f"confirmed: generation {self.generation} stays")
        self._changed()

    async def _stay(self) -> None:
        """What is in force is good, also for the next start."""
        if self._last_good is not None:
            await trio.to_thread.run_sync(self._last_good.note, self.config)
        await self.trial.forget()

    async def _go_back(self, before: Config, seconds: float) -> None:
        """Nobody has confirmed what is on trial."""
        async with self.reloading:
            running = self._declared() | self.volumes.roster.running
            results = await applying.apply(
                diff(running, self.holds.without(before.mounts) | self.volumes.roster.wanted(before)), self
            )
            self.config = before
            error = beginning.nobody_confirmed(seconds)
            self.last_reload = Reload(ok=False, errors=(error,), mounts=results)
            ended(self.events, error, results, level=logging.WARNING)
        self._changed()

    async def _reload(self, wish: wanted.Wish) -> Reload:
        for engine in filter(None, [mount.engine for mount in self.mounts.values()]):
            engine.reopen_log()  # whatever is in the file: it may have been rotated
        try:
            if self.trial.until is not None:
                raise wanted.Refusal(["the last reload waits for `mountctl confirm`"])
            planned = await self.planned(wish.only)
            if planned.risks and not wish.yes:
                raise wanted.Refusal([f"{risk}: only with --yes" for risk in planned.risks])
        except wanted.Refusal as refusal:
            self.last_reload = Reload(ok=False, errors=tuple(refusal.problems))
            refused(self.events, refusal.problems)
            self._changed()
            return self.last_reload
        step(self.events, "a reload begins")
        if wish.confirm is not None:
            await self.trial.announce(planned.file, wish.confirm)
        apply = applying.apply_all_or_none if wish.atomic else applying.apply
        try:
            results = await apply(planned.changes, self)
        except applying.WentBack as back:
            await self.trial.forget()
            self.last_reload = Reload(ok=False, errors=(str(back),), mounts=back.results)
            ended(self.events, str(back), back.results, level=logging.WARNING)
            self._changed()
            return self.last_reload
        before, self.config = self.config, planned.config
        if wish.confirm is not None:
            assert self._nursery is not None
            self.trial.begin(wish.confirm, partial(self._go_back, before), self._nursery)
        else:
            await self._stay()
        self.generation += 1
        self.last_reload = Reload(ok=True, mounts=results)
        ended(self.events, "reloaded", results)
        self._changed()
        return self.last_reload

    async def planned(self, only: Collection[str] = ()) -> wanted.Planned:
        """Read the configuration again, and say what a reload would do; touches nothing. Raises wanted.Refusal."""
        self.volumes.roster.check(only)
        try:
            config = await trio.to_thread.run_sync(self._load)
        except ConfigError as error:
            raise wanted.Refusal.of(error) from error
        planned = wanted.planned(config, self.volumes.roster.others, self._declared(), only, self.holds.of(self.config))
        return await self.volumes.roster.join(planned, only)

    def _declared(self) -> dict[str, MountSpec]:
        return wanted.declared(self.volumes.roster.others, self.config)

    async def renew(self) -> str | None:
        """Have the code that is installed now for all that is started from now on; its version. Raises ForkError."""
        await self.running.wait()
        assert self._services is not None
        await self._services.zygote.renew()
        self._services.access.renew()
        return self._services.zygote.version

    async def start(self, specs: Iterable[MountSpec]) -> None:
        """Start mounts and wait a bounded while until it is known how each is."""
        assert self._nursery is not None
        started = [self._new_mount(spec, transient=self._transient) for spec in specs]
        for mount in started:
            self._nursery.start_soon(self._run_mount, mount)
        await self._settle(started)

    async def _settle(self, mounts: Iterable[Mount]) -> None:
        with trio.move_on_after(steps.SETTLE_SECONDS):
            for mount in mounts:
                await mount.settling.wait()

    def _sessions(self) -> list[Session]:
        mounts = (*self.mounts.values(), *self._beside.mounts)
        return [mount.session for mount in mounts if mount.session is not None]

    def _specs(self) -> list[MountSpec]:
        return [*self.config.mounts.values(), *(mount.spec for mount in self.mounts.values())]

    def _adopt(self, found: Mapping[str, Left]) -> None:
        """Go on with what a supervisor before has left, as it was made."""
        assert self._nursery is not None
        self.volumes.roster.load([left.session for left in found.values() if left.session is not None])
        # Those with a living engine first: their users must be given to nobody else.
        for name, left in sorted(found.items(), key=lambda each: each[1].engine is None):
            assert left.session is not None
            self._noted.note(left.session)
            transient = self._transient if name in self.config.mounts else left.session.transient
            mount = self._new_mount(left.session.spec, transient=transient, left=left)
            self._nursery.start_soon(self._run_mount, mount)

    async def _make_it_so(self, config: Config) -> None:
        """From what was adopted to what is wanted: as a reload would, and waiting as long."""
        mounts = self.holds.without(config.mounts) | self.volumes.roster.wanted(config)
        # A supervisor of one mount knows nothing of the others that it may find.
        keep = {name for name, mount in self.mounts.items() if mount.transient or self._transient} - mounts.keys()
        adopted = {name: mount.spec for name, mount in self.mounts.items() if name not in keep}
        changes = diff(adopted, mounts)
        for name in names_of(changes, ChangeClass.REMOVE):
            _log.info("%s: the mount of the supervisor before is no longer wanted", name)
        same, new = names_of(changes, ChangeClass.NOTHING), names_of(changes, ChangeClass.ADD)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._settle, [self.mounts[name] for name in same])
            if len(same) + len(new) < len(changes):
                async with self.reloading:
                    await self._settle([self.mounts[name] for name in mounts.keys() & adopted.keys() - set(same)])
                    await applying.apply(changes, self)
            else:
                await self.start(mounts[name] for name in new)

    def _new_mount(self, spec: MountSpec, *, transient: bool, left: Left | None = None) -> Mount:
        assert self._services is not None
        uid, session, engine = None, None, None
        if left is not None and (session := left.session) is not None:
            if left.engine is None:
                session.next_generation()
            else:
                engine = Engine(left.engine, spec, generation=left.generation, adopted=True)
                uid = session.uid if session.uid is not None and self._uids.claim(session.uid) else None
        mount = Mount(
            spec,
            self._uids.take() if uid is None else uid,
            self._services,
            transient=transient,
            session=session,
            engine=engine,
        )
        self.mounts[spec.name] = mount
        return mount

    async def _run_mount(self, mount: Mount) -> None:
        while True:
            try:
                await mount.run()
            except Exception:  # noqa: BLE001 - one mount's trouble, even a bug of ours, is no other mount's
                _log.exception("%s: internal error; the mount is started again", mount.spec.name)
            finally:
                self._uids.give_back(mount.uid)
            if mount.unmounted:
                self._unmounted(mount)
                return
            if not mount.stopping:
                await trio.sleep(_BUG_DELAY_SECONDS)
            if mount.stopping or self.mounts.get(mount.spec.name) is not mount:
                return
            mount = self._new_mount(mount.spec, transient=mount.transient)

    def _unmounted(self, mount: Mount) -> None:
        if self.mounts.get(mount.spec.name) is mount:
            del self.mounts[mount.spec.name]
        if not self.mounts:
            self.all_unmounted.set()
        self._changed()

    def stage(self, spec: MountSpec, *, beside: bool, instead_of: Mount | None = None) -> Mount:
        """Start a mount that asks S3 and then waits for `begin`; `beside` the one of its name, or as that."""
        assert self._nursery is not None
        assert self._services is not None
        mount = Mount(
            spec, self._uids.take(), self._services, transient=self._transient, instead_of=instead_of, waits=True
        )
        if beside:
            self._beside.mounts.add(mount)
        else:
            self.mounts[spec.name] = mount
        self._nursery.start_soon(self._run_mount, mount)
        return mount

    def put_in_place(self, mount: Mount, *, drained: Mount | None = None) -> None:
        """One that was beside is its name's mount now; `drained` goes on for those who have files open on it."""
        self._beside.mounts.discard(mount)
        self.mounts[mount.spec.name] = mount
        if drained is not None and self._nursery is not None:
            self._beside.drain(drained, self._nursery)

    async def remove(self, mount: Mount) -> None:
        """Unmount one, wherever it is, and forget it; returns when all is gone."""
        await mount.stop()
        self._beside.mounts.discard(mount)
        if self.mounts.get(mount.spec.name) is mount:  # not unmounted by somebody meanwhile, and forgotten by that
            del self.mounts[mount.spec.name]
        self._changed()
