"""When the files of a directory are read one after the other, and how many to have ahead then: rules without any I/O.

Used by files_ahead.py, which carries them out. Never asks S3, knows no clock and no inode but by its number.

A listing gives its names numbers in its order (namespace/inodes.py), so whoever reads files in the order of a listing
(`cat *`, `tar`, `grep -r`, a data loader) reads rising numbers. A `Walk` is a row of such reads in one directory; from
STEPS_MIN on its siblings are fetched ahead, up to `width` of them. Who reads in any other order makes no row, and costs
nothing.

*How many?* As many as arrive in the time until they are read: the width grows by one with each that is used, up to CALM
in any case, beyond only if the reader was there before the bytes. It halves when some were fetched in vain; at none the
walk has been wrong, and is left alone.

*How much in vain?* Never more requests, nor bytes, than the walk's reads: what is ahead and what was wasted stay below
what was read.
"""

import collections
from typing import Final

from engine.spec import MiB

# Reads in a row, each by at most NEAR numbers further than the one before, which make a walk. Of random reads in a
# directory of 1,000 files a few in a thousand look like that, and cost three requests each; numbers are skipped by
# directories, files that are not read (`*.txt` among `*.jpg`) and a locale's idea of order.
STEPS_MIN: Final = 3
NEAR: Final = 4

# Files ahead: at first, as many as any walk may have (1,000 files a second need 20 with S3's usual 20 ms to the first
# byte, and twice that on a bad day), and up to where the width grows though nobody waits.
START: Final = 4
AHEAD_MAX: Final = 64
CALM: Final = 16

# Bytes ahead of a walk: 1 GB/s times 20 ms, less what the reader's own window brings.
AHEAD_BYTES_MAX: Final = 16 * MiB

# Walks that are remembered: threads of a program times directories that one of them is in (`grep -r` comes back).
WALKS_MAX: Final = 8

# How far behind the front of its walk a file may be read still; what is fetched and further behind was in vain.
BEHIND: Final = 64


class Walk:
    """Files of one directory, read in the order of their numbers.

    Args:
        directory: its prefix.
        number: of the first file that was read.
    """

    __slots__ = (
        "_coming",
        "_coming_bytes",
        "_read",
        "_read_bytes",
        "_wasted",
        "_wasted_bytes",
        "directory",
        "ended",
        "front",
        "reached",
        "steps",
        "width",
    )

    def __init__(self, directory: str, number: int) -> None:
        self.directory: Final = directory
        self.front = number  # the furthest that was read
        self.reached = number  # up to here all were fetched ahead, or are not worth it; not below the front
        self.steps = 0
        self.ended = 0  # behind what was reached there was nothing more, when this was the newest number of all
        self.width = START
        self._read = self._read_bytes = 0
        self._coming = self._coming_bytes = 0  # fetched ahead, and neither used nor wasted yet
        self._wasted = self._wasted_bytes = 0

    def is_near(self, directory: str, number: int) -> bool:
        """A read of this file belongs to the walk."""
        behind = BEHIND if self.steps >= STEPS_MIN else NEAR
        return directory == self.directory and self.front - behind <= number <= self.reached + NEAR

    def read(self, number: int, size: int) -> None:
        """A file of so many bytes is being read."""
        if number > self.front or not self.steps:
            self.front = number
            self.steps += 1
        self.reached = max(self.reached, number)
        self._read += 1
        self._read_bytes += size

    @property
    def room(self) -> int:
        """How many more files may be fetched ahead now."""
        if self.steps < STEPS_MIN:
            return 0
        return max(0, min(self.width - self._coming, self._read - self._wasted - self._coming))

    def fits(self, size: int) -> bool:
        """Whether so many bytes more may be fetched ahead now."""
        return self._coming_bytes + size <= self._bytes_max

    def can_fit(self, size: int) -> bool:
        """Whether they may as soon as all that is ahead was used."""
        return size <= self._bytes_max

    def fetched(self, size: int) -> None:
        """A file is being fetched ahead."""
        self._coming += 1
        self._coming_bytes += size

    def used(self, size: int, *, late: bool) -> None:
        """A program has opened one. `late`: before its bytes were there."""
        self._coming -= 1
        self._coming_bytes -= size
        if self.width and (late or self.width < CALM):
            self.width = min(AHEAD_MAX, self.width + 1)

    def wasted(self, size: int) -> None:
        """One was fetched in vain."""
        self._coming -= 1
        self._coming_bytes -= size
        self._wasted += 1
        self._wasted_bytes += size

    def narrow(self) -> None:
        """Some were, lately."""
        self.width //= 2

    @property
    def _bytes_max(self) -> int:
        return min(AHEAD_BYTES_MAX, self._read_bytes - self._wasted_bytes)


class Walks:
    """The walks of a mount that were gone on with last."""

    def __init__(self) -> None:
        self._walks: collections.deque[Walk] = collections.deque(maxlen=WALKS_MAX)  # the one used last, last

    def read(self, directory: str, number: int, size: int) -> Walk:
        """The walk that the read of a file belongs to: maybe a new one."""
        found = next((walk for walk in reversed(self._walks) if walk.is_near(directory, number)), None)
        if found is None:
            found = Walk(directory, number)
            self._walks.append(found)
        elif found is not self._walks[-1]:
            self._walks.remove(found)
            self._walks.append(found)
        found.read(number, size)
        return found
