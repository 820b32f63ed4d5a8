"""Tells many tasks that something has changed, without a queue for any of them: events, mounts, what status shows.

Each remembers the count that it has seen, and looks itself at what there is now: who is slow misses what was in
between, and costs nothing.
"""

from collections.abc import Callable

import trio


class Changes:
    """A count that can be waited for."""

    def __init__(self) -> None:
        self.count = 0
        self._next = trio.Event()

    def tell(self) -> None:
        """Something has changed."""
        self.count += 1
        told, self._next = self._next, trio.Event()
        told.set()

    async def after(self, seen: int) -> None:
        """Wait until more has changed than was seen."""
        while self.count <= seen:
            await self._next.wait()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until it holds, which only what is told of here makes true."""
        while not holds():
            await self.after(self.count)
