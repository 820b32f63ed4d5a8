"""One at a time for each key, and a wait with an end. Used by node.py's threads."""

import threading
from collections.abc import Hashable, Iterator
from contextlib import contextmanager


class StillHeld(Exception):
    """Another one has it, and had it for as long as could be waited."""


class KeyedLocks:
    """A lock for each key, for as long as somebody has it or waits for it."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._locks: dict[Hashable, tuple[threading.Lock, int]] = {}

    @contextmanager
    def held(self, key: Hashable, seconds: float) -> Iterator[None]:
        """Have a key alone. Raises StillHeld after so many seconds."""
        with self._mutex:
            lock, users = self._locks.get(key, (threading.Lock(), 0))
            self._locks[key] = lock, users + 1
        try:
            if not lock.acquire(timeout=max(seconds, 0)):
                raise StillHeld
            try:
                yield
            finally:
                lock.release()
        finally:
            with self._mutex:
                lock, users = self._locks[key]
                if users == 1:
                    del self._locks[key]
                else:
                    self._locks[key] = lock, users - 1
