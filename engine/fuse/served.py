"""Which requests an engine is answering, in memory that outlives it: if it dies, its successor can say of what.

operations.py notes each request before it does anything and strikes it out when it is answered: two stores into memory,
no system call (0.4 us). assembly.py reads what the engine before had noted. The memory is the journal's first pages.
"""

import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass
from mmap import mmap
from typing import Final

# Verb (0: the slot is free), since when on the monotonic clock, inode or handle, and a name's beginning.
_SLOT: Final = struct.Struct("<B7xdQ40s")
# The order is part of the layout: add at the end.
_VERBS: Final = (
    *("lookup", "getattr", "open", "read", "write", "flush", "fsync", "release", "opendir", "readdir", "releasedir"),
    *("setattr", "mknod", "mkdir", "unlink", "rmdir", "symlink", "link", "rename", "create"),
)
_CODES: Final = {verb: code for code, verb in enumerate(_VERBS, 1)}


@dataclass(frozen=True, slots=True)
class Request:
    """One that was not answered. `name` is empty unless it is of a name in the directory `number`; its beginning."""

    verb: str
    number: int
    name: bytes
    seconds: float  # how long ago it was begun


class Served:
    """The notes of one engine.

    Args:
        area: where they are made. Requests beyond its room are not noted.
    """

    def __init__(self, area: mmap | bytearray) -> None:
        self._area: Final = area
        area[:] = bytes(len(area))
        self._free: Final = list(range(0, len(area) - _SLOT.size + 1, _SLOT.size))

    def begin(self, verb: str, number: int, name: bytes) -> int:
        """A request is being answered; returns what `end` wants."""
        if not self._free:
            return -1
        slot = self._free.pop()
        _SLOT.pack_into(self._area, slot, _CODES.get(verb, 0), time.monotonic(), number, name)
        return slot

    def end(self, slot: int) -> None:
        """It is answered."""
        if slot >= 0:
            self._area[slot] = 0
            self._free.append(slot)


def left(area: mmap | bytearray) -> Sequence[Request]:
    """What an engine before was answering, the youngest first: that is likely what it died of."""
    now, found = time.monotonic(), []
    for start in range(0, len(area) - _SLOT.size + 1, _SLOT.size):
        code, since, number, name = _SLOT.unpack_from(area, start)
        if 0 < code <= len(_VERBS) and 0 <= now - since < float("inf"):
            found.append(Request(_VERBS[code - 1], number, name.rstrip(b"\0"), now - since))
    return sorted(found, key=lambda request: request.seconds)
