"""When it is known how a mount is, and whether its first engine serves at once or waits for the others of a reload.

Owned by mount.py. Whoever starts a mount waits here; so does a reload, which begins nothing before S3 has answered the
engines of all mounts that are new or changed (steps.py).
"""

from collections.abc import Callable
from typing import Final

import trio

from engine.link import TakeOver
from mountctl.supervisor.engine import Engine


class Settling:
    """That of one mount.

    Args:
        serving: the engine that serves, or comes up.
        waits: an engine that S3 has answered waits for `begin`.
    """

    def __init__(self, serving: Callable[[], Engine | None], *, waits: bool) -> None:
        self.waits = waits
        self._serving: Final = serving
        self._prepared: Engine | None = None
        self._settled = trio.Event()

    @property
    def prepared(self) -> bool:
        """S3 has answered its engine, and all that it lacks is `begin`."""
        return self._prepared is not None and self._prepared is self._serving()

    async def wait(self) -> None:
        """Until nothing will change by waiting a moment: see state.SETTLED; or until it is prepared."""
        while not (settled := self._settled).is_set():
            await settled.wait()

    def settle(self) -> None:
        """It is known how it is."""
        self._settled.set()

    def again(self) -> None:
        """It is about to change. Whoever waits goes on waiting."""
        before, self._settled = self._settled, trio.Event()
        before.set()

    def engine_is_prepared(self, engine: Engine) -> None:
        """S3 has answered an engine that waits."""
        self._prepared = engine
        if self.waits:
            self.settle()
        else:
            _begin(engine)

    def begin(self) -> None:
        """Have its engine serve, and those after it as soon as they can."""
        self.waits = False
        if self._prepared is not None and self.prepared:
            self.again()
            _begin(self._prepared)


def _begin(engine: Engine) -> None:
    engine.post(TakeOver(resend=False))  # of a session that nobody has served
