"""A configuration in force on trial: unless somebody confirms it in time, what was in force before comes back.

Called by supervisor.py, for `reload --confirm`: whoever has locked himself out need do nothing.
"""

import time
from collections.abc import Awaitable, Callable

import trio

from mountctl.errors import MountctlError
from mountctl.supervisor.vital import vital


class NothingOnTrial(MountctlError):
    """There is nothing to confirm."""

    exit_code = 1


class Trial:
    """One at a time."""

    def __init__(self) -> None:
        self.until: float | None = None  # when it ends, in seconds since the epoch; None: there is none
        self._confirmed = trio.Event()

    def begin(self, seconds: float, go_back: Callable[[float], Awaitable[None]], nursery: trio.Nursery) -> None:
        """Begin one.

        Args:
            seconds: how long it is waited for `confirm`.
            go_back: called with them when nobody has; the trial is over when it returns.
            nursery: outlives the trial.
        """
        self.until = time.time() + seconds
        self._confirmed = trio.Event()
        nursery.start_soon(vital(self._wait), seconds, go_back)

    def confirm(self) -> None:
        """Keep what is on trial. Raises NothingOnTrial."""
        if self.until is None:
            raise NothingOnTrial("there is nothing to confirm: no reload with --confirm waits for it")
        self.until = None
        self._confirmed.set()

    async def _wait(self, seconds: float, go_back: Callable[[float], Awaitable[None]]) -> None:
        with trio.move_on_after(seconds):
            await self._confirmed.wait()
        if self.until is not None:  # whoever confirms from now on is too late, and is told so
            self.until = None
            await go_back(seconds)
