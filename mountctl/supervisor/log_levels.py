"""Log levels that an operator has given to mounts while they run, instead of those of the file.

Kept for engines that start later, too; engines that run are told by a message. A reload ends them, or their time.
In memory only: a supervisor that comes after this one sends the engines that it adopts the file's level.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import trio

from engine.logged import Level
from engine.spec import MountSpec
from mountctl.supervisor.changes import Changes

# A day: what is wanted for longer belongs into the file.
SECONDS_MAX: Final = 86400.0


@dataclass(frozen=True, slots=True)
class Given:
    """A level that a mount was given.

    Args:
        level: it.
        until: when it ends, in seconds since the epoch; infinity: with the next reload.
    """

    level: Level
    until: float = math.inf


class LogLevels:
    """Those of all mounts.

    Args:
        clock: seconds since the epoch.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.everywhere: Level | None = None  # SIGUSR2's
        self._clock = clock
        self._given: dict[str, Given] = {}
        self._changes = Changes()

    def give(self, name: str, level: Level, seconds: float | None = None) -> None:
        """A mount logs from this level on, for so long, or until a reload."""
        self._given[name] = Given(level, math.inf if seconds is None else self._clock() + seconds)
        self._changes.tell()

    def take_back(self, name: str) -> None:
        """A mount logs as the file says."""
        self._given.pop(name, None)

    def end(self) -> bool:
        """All mounts log as the file says. Returns whether any did not."""
        were = bool(self._given) or self.everywhere is not None
        self._given.clear()
        self.everywhere = None
        return were

    def given(self, name: str) -> Given | None:
        """What a mount was given; None: nothing, or its time is over."""
        found = self._given.get(name)
        if found is not None and found.until <= self._clock():
            return None
        return found or (None if self.everywhere is None else Given(self.everywhere))

    def of(self, spec: MountSpec) -> Level:
        """The level of a mount."""
        found = self.given(spec.name)
        return spec.log_level if found is None else found.level

    async def run(self, over: Callable[[str], None]) -> None:
        """Call `over` with the name of each mount whose time is over. Until cancelled."""
        while True:
            seen, now = self._changes.count, self._clock()
            for name in [name for name, each in self._given.items() if each.until <= now]:
                del self._given[name]
                over(name)
            until = min((each.until for each in self._given.values()), default=math.inf)
            with trio.move_on_after(until - now):
                await self._changes.after(seen)
