"""What a supervisor offers over the control socket: the `Control` that server.py asks. Made by daemon.py.

Each takes a few lines: whether there is such a mount, who asks, and how the answer is written; what is done, and how,
is supervisor/'s.
"""

import pwd
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import trio

from engine.logged import Level
from engine.restores import AskRestore, RestoreTold
from engine.spec import MountSpec
from mountctl.control.protocol import ReloadResult, RestartResult, UsersResult
from mountctl.notify import Notifier
from mountctl.plan import Plan
from mountctl.status import MetricsStatus, Status
from mountctl.supervisor import by_hand, planning, report
from mountctl.supervisor.changes import Changes
from mountctl.supervisor.events import Events
from mountctl.supervisor.log_lines import LogLines
from mountctl.supervisor.remembered import Remembered
from mountctl.supervisor.supervisor import Supervisor
from mountctl.supervisor.wanted import Wish
from mountctl.volume import Applied, Apply, Release, Released

# A reload by a signal: all mounts, and nothing that only an operator may ask for.
_UNASKED: Final = Wish()


class Offered:
    """What one supervisor offers.

    Args:
        supervisor: it.
        found: has what its mounts cost, and what S3 restores of them.
        changes: of what `status` tells.
        notifier: tells systemd of reloads.
        changed: to be called when something of that has changed of which the supervisor does not tell.
        watching: how changes of the configuration are heard of; None: they are not.
        metrics: where they are told; None: nowhere.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        found: Remembered,
        changes: Changes,
        notifier: Notifier,
        *,
        changed: Callable[[], None],
        watching: Callable[[], str | None],
        metrics: Callable[[], MetricsStatus | None],
    ) -> None:
        self.changes: Final = changes
        self._supervisor = supervisor
        self._spending, self._restoring = found.spending, found.restoring
        self._notifier = notifier
        self._changed = changed
        self._watching = watching
        self._metrics = metrics

    def status(self, names: Sequence[str]) -> Status:
        """The control socket's `status`."""
        return self._report(names)

    def present(self, names: Sequence[str], *, at_first: bool) -> Status:
        """The control socket's `status` while it is watched."""
        if at_first:
            report.known(self._supervisor, names)
        return self._report(names, present_only=True)

    def _report(self, names: Sequence[str], *, present_only: bool = False) -> Status:
        return report.status(
            self._supervisor,
            names,
            self._watching(),
            present_only=present_only,
            cost=partial(self._spending.told, self._supervisor.config.supervisor.prices),
            metrics=self._metrics(),
            restores=self._restoring.told,
        )

    @property
    def events(self) -> Events:
        """The control socket's `events`."""
        return self._supervisor.events

    def log_lines(self, name: str) -> LogLines:
        """The control socket's `logs`."""
        report.known(self._supervisor, [name])
        return self._supervisor.logs.of(name)

    async def plan(self) -> Plan:
        """The control socket's `plan`."""
        return await planning.plan(self._supervisor)

    async def reload(self, wish: Wish = _UNASKED) -> ReloadResult:
        """The control socket's and SIGHUP's reload."""
        self._notifier.reloading()
        try:
            done = await self._supervisor.reload(wish)
            by_hand.use_log_form(self._supervisor)
            if done.ok:
                by_hand.log_as_configured(self._supervisor)
        finally:
            self._notifier.ready(report.summary(self._supervisor))
        return ReloadResult(ok=done.ok, errors=list(done.errors), mounts=done.mounts)

    async def stop(self, names: Sequence[str], uid: int, seconds: float) -> RestartResult:
        """The control socket's `stop`."""
        report.declared(self._supervisor, names)
        who = await trio.to_thread.run_sync(_user, uid)
        return RestartResult(mounts=await by_hand.stop(self._supervisor, names, who, seconds))

    async def start(self, names: Sequence[str]) -> RestartResult:
        """The control socket's `start`."""
        report.declared(self._supervisor, names)
        return RestartResult(mounts=await by_hand.start(self._supervisor, names))

    async def set_log_level(self, name: str, level: Level | None, seconds: float | None, uid: int) -> str:
        """The control socket's `log-level`."""
        report.known(self._supervisor, [name])
        who = await trio.to_thread.run_sync(_user, uid)
        return by_hand.set_log_level(self._supervisor, name, level, seconds, who)

    async def users(self, name: str) -> UsersResult:
        """The control socket's `users`."""
        return UsersResult(users=await by_hand.users(report.chosen(self._supervisor, [name])[0]))

    async def restore(self, name: str, asked: AskRestore) -> RestoreTold:
        """The control socket's `restore`."""
        return await self._restoring.ask(report.chosen(self._supervisor, [name])[0], asked)

    async def confirm(self) -> None:
        """The control socket's `confirm`."""
        await self._supervisor.confirm()

    async def restart(self, names: Sequence[str]) -> RestartResult:
        """The control socket's `restart`."""
        return RestartResult(mounts=await by_hand.restart(report.chosen(self._supervisor, names)))

    async def upgrade(self) -> ReloadResult:
        """The control socket's `upgrade`."""
        done = await by_hand.upgrade(self._supervisor)
        self._changed()
        return ReloadResult(ok=done.ok, errors=list(done.errors), mounts=done.mounts)

    async def add(self, spec: MountSpec) -> None:
        """The control socket's `add`."""
        await by_hand.add(self._supervisor, spec)

    async def apply(self, asked: Apply) -> Applied:
        """The control socket's `apply`."""
        return await self._supervisor.volumes.apply(asked)

    async def release(self, asked: Release) -> Released:
        """The control socket's `release`."""
        return await self._supervisor.volumes.release(asked)


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
