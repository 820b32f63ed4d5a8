"""One mount in another's place: the new one is made beside the old one, takes its place when S3 has answered, and the
old one goes on for those who have files open on it. Called by supervisor.py; the exchange itself is mount.py's.
"""

from collections.abc import Awaitable, Callable
from typing import Final

import trio

from mountctl.supervisor.mount import Mount

# How long who has files open on a mount that was replaced may go on with them. Its engine is sent no newer keys, and
# those that the broker gives are good for ten minutes at least (botocore's mandatory refresh).
DRAIN_SECONDS_MAX: Final = 600.0
# Longer than an engine may take to start (watch.START_TIMEOUT_SECONDS).
READY_SECONDS_MAX: Final = 60.0


class Replacing:
    """The mounts that are beside the supervisor's own."""

    def __init__(self) -> None:
        self.beside: set[Mount] = set()  # those that are to replace one, and those that were replaced and drain

    async def replace(
        self, old: Mount, new: Mount, nursery: trio.Nursery, run: Callable[[Mount], Awaitable[None]]
    ) -> str | None:
        """Have `new` take the place of `old`. Returns why it could not; then `old` goes on, and `new` is gone.

        Args:
            old: it; `given_way` tells whether it was replaced.
            new: made to be `instead_of` it.
            nursery: for what outlives this call.
            run: what `new` is run by.
        """
        self.beside.add(new)
        nursery.start_soon(run, new)
        with trio.move_on_after(READY_SECONDS_MAX):
            await new.settled()
        self.beside.remove(new)
        reason = new.reason or f"it did not come up within {READY_SECONDS_MAX:.0f} s"
        if old.given_way:
            self.beside.add(old)
            nursery.start_soon(self._drain, old)
            return None
        await new.stop()
        old.watch_access()
        return reason

    async def _drain(self, old: Mount) -> None:
        await old.stop(DRAIN_SECONDS_MAX)
        self.beside.remove(old)
