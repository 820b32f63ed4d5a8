"""One at a time for each of many things that have a name, such as targets; nothing is left of one that nobody wants."""

import contextlib
from collections.abc import AsyncIterator

import trio


class Turns:
    """Locks by name, that there are for as long as somebody has or wants them."""

    def __init__(self) -> None:
        self._locks: dict[str, tuple[trio.Lock, int]] = {}

    @contextlib.asynccontextmanager
    async def of(self, name: str) -> AsyncIterator[None]:
        """Within this nobody else has this name's turn."""
        lock, count = self._locks.get(name, (trio.Lock(), 0))
        self._locks[name] = lock, count + 1
        try:
            async with lock:
                yield
        finally:
            lock, count = self._locks.pop(name)
            if count > 1:
                self._locks[name] = lock, count - 1
