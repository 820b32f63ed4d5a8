"""When a thread walks a tree of directories, and how many to list ahead then: rules without any I/O.

Used by lists_ahead.py, which carries them out. Never asks S3, knows no clock and no inode but by its number.

`find`, `du`, `ls -R` and os.walk read a directory, then those below it, one after the other, in its order; a listing
numbers its names in its order (namespace/inodes.py). So a thread that opens directories below those that it has opened
walks a tree, and what it opens next are the directories that follow, by number, in those that it is in. A directory
that it opens twice begins another walk: nothing is listed ahead of `rm -r`, nor kept for a second look.

Each depth of a tree has a width of its own, which grows by one with each listing that was used and halves when some
were in vain: a walk comes to the next directory of an upper depth more seldom, and what was listed long ago is stale.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from engine.namespace.names import parent_prefix

# Directories in one, opened one after the other, which make a walk: two. Who opens one in one goes somewhere.
STEPS_MIN: Final = 2

# Listings ahead at a depth: at first, and at most. 16 bring 1,600 names in S3's usual 20 ms, which an engine takes as
# long to pass on.
START: Final = 2
AHEAD_MAX: Final = 16

# Entries ahead at a depth, at about 300 bytes each: 16 directories of 250, 4 full pages.
ENTRIES_MAX: Final = 4000


@dataclass(slots=True)
class Depth:
    """Listings ahead of directories that are equally deep. `walked`: some of them were opened one after the other."""

    walked: bool = False
    width: int = START
    coming: int = 0
    entries: int = 1  # of the listing that was used last


@dataclass(slots=True)
class Level:
    """A directory that the walk is in.

    `reached`: its children up to this number were opened, listed ahead, or are not to be; 0 until one was opened.
    """

    prefix: str
    opened: int = 0  # children
    reached: int = 0


class TreeWalk:
    """One thread's walk, from the directory that it has opened first.

    Args:
        prefix: that directory's.
    """

    def __init__(self, prefix: str) -> None:
        self._depths: Final = [Depth()]
        self._levels = [Level(prefix)]  # that it is in; the one opened last, last
        self._steps = 0
        self._unused = 0  # listed ahead and not used: those to come, and those in vain

    def opened(self, prefix: str, number: int) -> bool:
        """The thread opens another directory. False: it is none of this walk, which is over."""
        if any(level.prefix == prefix for level in self._levels):
            return False
        above = parent_prefix(prefix.removesuffix("/"))
        while self._levels and self._levels[-1].prefix != above:
            self._levels.pop()
        if not self._levels:
            return False
        level, deep = self._levels[-1], len(self._levels)
        if deep == len(self._depths):
            self._depths.append(Depth())
        level.opened += 1
        level.reached = max(level.reached, number)
        self._depths[deep].walked |= level.opened >= STEPS_MIN
        self._levels.append(Level(prefix))
        self._steps += 1
        return True

    def ahead(self) -> Iterator[tuple[Level, Depth]]:
        """Directories whose next children may be listed ahead, the nearest first, and the children's depth.

        As long as `room` says so of the depth.
        """
        for deep in range(len(self._levels) - 1, 0, -1):
            if self._depths[deep].walked:
                yield self._levels[deep - 1], self._depths[deep]

    def room(self, depth: Depth) -> bool:
        """One more may be listed ahead."""
        most = min(depth.width, max(1, ENTRIES_MAX // depth.entries))
        return depth.coming < most and self._unused < self._steps

    def listed(self, depth: Depth) -> None:
        """One is being listed ahead."""
        depth.coming += 1
        self._unused += 1

    def used(self, depth: Depth, entries: int) -> None:
        """The thread has opened one, of so many entries."""
        depth.coming -= 1
        self._unused -= 1
        depth.entries = max(1, entries)
        if depth.width:
            depth.width = min(AHEAD_MAX, depth.width + 1)

    def wasted(self, depth: Depth) -> None:
        """One was listed in vain."""
        depth.coming -= 1
        depth.width //= 2
