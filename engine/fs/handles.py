"""Open files and directories by the number that the kernel names them with.

Owned by the file system, one table for each kind. Never reads nor lists.
"""

from collections.abc import Callable, Iterator
from typing import Final, Generic, TypeVar

from engine.errors import BadHandle, Stale
from engine.namespace.inodes import GENERATION_SHIFT

T = TypeVar("T")

# Numbers are even or odd.
_STEP: Final = 2


def is_writers(number: int) -> bool:
    """A handle is open for writing, in whatever engine it was opened."""
    return number % _STEP == 1


class Handles(Generic[T]):
    """Numbers for open things.

    Args:
        generation: which engine of the session this is; no two of them give the same number.
        gauge: told how many are open, whenever that changes.
        writers: these are of files open for writing, whose numbers are odd: also a later engine can tell.
    """

    def __init__(self, *, generation: int, gauge: Callable[[int], None], writers: bool = False) -> None:
        self._generation: Final = generation
        self._next = (generation << GENERATION_SHIFT) + _STEP + writers
        self._gauge = gauge
        self._open: dict[int, T] = {}

    def add(self, thing: T) -> int:
        """A number for something that was opened."""
        number = self._next
        self._next += _STEP
        self._open[number] = thing
        self._gauge(len(self._open))
        return number

    def inherit(self, number: int, thing: T) -> None:
        """What an engine before had opened under this number."""
        self._open[number] = thing
        self._gauge(len(self._open))

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[tuple[int, T]]:
        return iter(self._open.items())

    def get(self, number: int) -> T:
        """What a number stands for. Raises Stale if another engine opened it, BadHandle if it is not open."""
        thing = self._open.get(number)
        if thing is not None:
            return thing
        if number >> GENERATION_SHIFT != self._generation:
            raise Stale(f"handle {number} was opened by an engine before this one")
        raise BadHandle(f"handle {number} is not open")

    def find(self, number: int) -> T | None:
        """What a number stands for, if it is open."""
        return self._open.get(number)

    def remove(self, number: int) -> T | None:
        """The kernel is done with a number. None if it is not ours, which is no error: RELEASE may come twice."""
        thing = self._open.pop(number, None)
        self._gauge(len(self._open))
        return thing
