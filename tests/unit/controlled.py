"""A control socket with a supervisor behind it that only pretends, for tests of the socket and of the commands."""

import functools
import os
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import trio

from engine.logged import Level
from engine.spec import MountSpec
from mountctl.control import server
from mountctl.control.protocol import ReloadResult, RestartResult, UsersResult
from mountctl.errors import UnknownMount
from mountctl.plan import MountPlan, Plan
from mountctl.status import ConfigStatus, LastReload, MountStatus, State, Status, SupervisorStatus, health
from mountctl.supervisor.changes import Changes
from mountctl.supervisor.events import Events
from mountctl.supervisor.log_lines import LogLines, Logs
from mountctl.supervisor.wanted import Wish


class Supervisor:
    """A `Control` with two mounts. `reload` waits until it is let go."""

    def __init__(self) -> None:
        self.changes = Changes()
        self.events = Events()
        self.logs = Logs()
        self.gone: set[str] = set()
        self.reloads = 0
        self.wishes: list[Wish] = []
        self.added: list[MountSpec] = []
        self.levels: list[tuple[str, Level | None, float | None, int]] = []
        self.reload_may_end = trio.Event()
        self.reload_may_end.set()
        self.error: Exception | None = None
        self.state: State = "ready"
        self.planned = Plan(mounts=[MountPlan(name="one", action="nothing", notice="nothing: it is not touched")])
        self.result = ReloadResult(ok=True, mounts={"one": "unchanged", "two": "added, backoff: no such bucket"})

    def status(self, names: Sequence[str]) -> Status:
        if self.error is not None:
            raise self.error
        now = datetime.now(UTC)
        for name in names:
            if name not in ("one", "zwei ü"):
                raise UnknownMount(f"no mount is named {name!r}; there is: one, zwei ü")
        mounts = [
            MountStatus(name=name, mountpoint=f"/mnt/{name}", source="s3://b/", state=self.state, since=now)
            for name in names or ("one", "zwei ü")
        ]
        config = ConfigStatus(path="/etc/x.toml", last_reload=LastReload(ok=True, at=now))
        supervisor = SupervisorStatus(pid=os.getpid(), version="1", generation=1, config=config)
        return Status(
            schema_version=1, health=health(mount.state for mount in mounts), supervisor=supervisor, mounts=mounts
        )

    def present(self, names: Sequence[str], *, at_first: bool) -> Status:
        there = [name for name in names or ("one", "zwei ü") if at_first or name not in self.gone]
        return self.status(there) if there else self.status(["one"]).model_copy(update={"mounts": []})

    def log_lines(self, name: str) -> LogLines:
        self.status([name])
        return self.logs.of(name)

    async def set_log_level(self, name: str, level: Level | None, seconds: float | None, uid: int) -> str:
        await trio.lowlevel.checkpoint()
        self.status([name])
        self.levels.append((name, level, seconds, uid))
        return f"{level} for {seconds}"

    async def add(self, spec: MountSpec) -> None:
        await trio.lowlevel.checkpoint()
        if self.error is not None:
            raise self.error
        self.added.append(spec)

    async def restart(self, names: Sequence[str]) -> RestartResult:
        await trio.lowlevel.checkpoint()
        self.status(names)
        return RestartResult(mounts={name: "restarted" if name == "one" else "restarted, failed: x" for name in names})

    async def stop(self, names: Sequence[str], uid: int, seconds: float) -> RestartResult:
        await trio.lowlevel.checkpoint()
        self.status(names)
        return RestartResult(mounts=dict.fromkeys(names, f"stopped for {uid}, {seconds}"))

    async def start(self, names: Sequence[str]) -> RestartResult:
        await trio.lowlevel.checkpoint()
        self.status(names)
        return RestartResult(mounts=dict.fromkeys(names, "started"))

    async def users(self, name: str) -> UsersResult:
        await trio.lowlevel.checkpoint()
        self.status([name])
        return UsersResult(users=["cat (1)"])

    async def confirm(self) -> None:
        await trio.lowlevel.checkpoint()
        if self.error is not None:
            raise self.error

    async def plan(self) -> Plan:
        await trio.lowlevel.checkpoint()
        return self.planned

    async def reload(self, wish: Wish) -> ReloadResult:
        self.reloads += 1
        self.wishes.append(wish)
        await self.reload_may_end.wait()
        return self.result

    async def upgrade(self) -> ReloadResult:
        await self.reload_may_end.wait()
        return self.result


Body = Callable[[Path, Supervisor], Awaitable[None]]


def serving(tmp_path: Path, body: Body, *, group: str | None = None, clock: Any = None) -> Path:
    """Run `body(runtime_dir, supervisor)` while the server serves; returns the socket's path."""
    path = tmp_path / "control.sock"

    async def main() -> None:
        supervisor = Supervisor()
        async with trio.open_nursery() as nursery:
            await nursery.start(functools.partial(server.serve, path, supervisor, group=group))
            await body(tmp_path, supervisor)
            nursery.cancel_scope.cancel()

    trio.run(main, clock=clock)
    return path
