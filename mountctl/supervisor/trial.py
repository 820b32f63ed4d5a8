"""A configuration in force on trial: unless somebody confirms it in time, what was in force before comes back.

Called by supervisor.py, for `reload --confirm`: whoever has locked himself out need do nothing. It goes on when the
supervisor is restarted (trial_file.py).
"""

import time
from collections.abc import Awaitable, Callable

import trio

from mountctl.config.load import Config
from mountctl.errors import MountctlError
from mountctl.supervisor.trial_file import TrialFile
from mountctl.supervisor.vital import vital


class NothingOnTrial(MountctlError):
    """There is nothing to confirm."""

    exit_code = 1


GoBack = Callable[[float], Awaitable[None]]


class Trial:
    """One at a time.

    Args:
        file: where the next supervisor finds it; None: nowhere.
        until: when one ends that a supervisor before has begun (`go_on` comes later); None: there is none.
    """

    def __init__(self, file: TrialFile | None = None, until: float | None = None) -> None:
        self._file = file
        self.until = until  # when it ends, in seconds since the epoch; None: there is none
        self._confirmed = trio.Event()

    async def announce(self, config: Config, seconds: float) -> None:
        """This is to be on trial: from here on a supervisor after this one knows of it. Before anything is changed."""
        if self._file is not None:
            await trio.to_thread.run_sync(self._file.write, config, seconds)

    async def forget(self) -> None:
        """What is in force stays, also after a restart."""
        if self._file is not None:
            await trio.to_thread.run_sync(self._file.remove)

    def begin(self, seconds: float, go_back: GoBack, nursery: trio.Nursery) -> None:
        """Begin one.

        Args:
            seconds: how long it is waited for `confirm`.
            go_back: called with them when nobody has; the trial is over when it returns.
            nursery: outlives the trial.
        """
        self.until = time.time() + seconds
        self._confirmed = trio.Event()
        nursery.start_soon(vital(self._wait), seconds, seconds, go_back)

    def go_on(self, seconds: float, go_back: GoBack, nursery: trio.Nursery) -> None:
        """Go on with one that a supervisor before has begun, which was to last so long. As `begin`."""
        if self.until is not None:  # nobody has confirmed it meanwhile
            nursery.start_soon(vital(self._wait), max(0.0, self.until - time.time()), seconds, go_back)

    def confirm(self) -> None:
        """Keep what is on trial. Raises NothingOnTrial."""
        if self.until is None:
            raise NothingOnTrial("there is nothing to confirm: no reload with --confirm waits for it")
        self.until = None
        self._confirmed.set()

    async def _wait(self, left: float, seconds: float, go_back: GoBack) -> None:
        with trio.move_on_after(left):
            await self._confirmed.wait()
        if self.until is not None:  # whoever confirms from now on is too late, and is told so
            self.until = None
            await go_back(seconds)
