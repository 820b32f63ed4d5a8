"""What the supervisor offers over the control socket. server.py asks it, offered.py is it."""

from collections.abc import Sequence
from typing import Protocol

from engine.logged import Level
from engine.restores import AskRestore, RestoreTold
from engine.spec import MountSpec
from mountctl.control.protocol import ReloadResult, RestartResult, UsersResult
from mountctl.plan import Plan
from mountctl.status import Status
from mountctl.supervisor.changes import Changes
from mountctl.supervisor.events import Events
from mountctl.supervisor.log_lines import LogLines
from mountctl.supervisor.wanted import Wish
from mountctl.volume import Applied, Apply, Release, Released


class Control(Protocol):
    """What the supervisor offers over the socket."""

    @property
    def changes(self) -> Changes:
        """Of what `status` tells."""
        ...

    @property
    def events(self) -> Events:
        """What has happened."""
        ...

    def log_lines(self, name: str) -> LogLines:
        """The last lines of a mount's log. Raises UnknownMount."""
        ...

    def present(self, names: Sequence[str], *, at_first: bool) -> Status:
        """The status of all mounts, or of those of these that there are.

        Raises UnknownMount `at_first`, for one that there never was.
        """
        ...

    def status(self, names: Sequence[str]) -> Status:
        """The status of all mounts, or of these. Raises UnknownMount."""
        ...

    async def plan(self) -> Plan:
        """What a reload would do now; a configuration with errors is a result, not an exception."""
        ...

    async def reload(self, wish: Wish) -> ReloadResult:
        """Read the configuration again and make it so, as wished; an error in it is a result, not an exception."""
        ...

    async def stop(self, names: Sequence[str], uid: int, seconds: float) -> RestartResult:
        """Unmount these and hold them for this user, after `seconds` for what is being written. Raises UnknownMount."""
        ...

    async def start(self, names: Sequence[str]) -> RestartResult:
        """Mount these again. Raises UnknownMount."""
        ...

    async def set_log_level(self, name: str, level: Level | None, seconds: float | None, uid: int) -> str:
        """Have a mount log from this level on, or (None) as the file says. Returns what is so then.

        Raises UnknownMount; MountctlError if it logs nothing.
        """
        ...

    async def users(self, name: str) -> UsersResult:
        """Who has this mount open. Raises UnknownMount."""
        ...

    async def restore(self, name: str, asked: AskRestore) -> RestoreTold:
        """Have S3 restore archived objects of this mount. Raises UnknownMount; MountctlError when it can't be asked."""
        ...

    async def confirm(self) -> None:
        """Keep what a reload has put on trial. Raises MountctlError when there is nothing."""
        ...

    async def restart(self, names: Sequence[str]) -> RestartResult:
        """Have other engines serve these mounts; returns when it is known how each is. Raises UnknownMount."""
        ...

    async def upgrade(self) -> ReloadResult:
        """Have all mounts served by the engine that is installed now; a failure is a result, not an exception."""
        ...

    async def add(self, spec: MountSpec) -> None:
        """Have a mount that no file declares. Returns when it can be used; raises MountctlError when it can't."""
        ...

    async def apply(self, asked: Apply) -> Applied:
        """Have a volume bound at a target; returns when it is. Raises volumes.CannotApply."""
        ...

    async def release(self, asked: Release) -> Released:
        """Have a target gone; returns when it is. Raises volumes.CannotApply."""
        ...
