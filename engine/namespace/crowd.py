"""Which inodes are forgotten when there are too many, though the kernel holds them still.

Owned by the inode table. The kernel keeps a name for as long as it has memory to spare, which is far more than one
mount should take for them: a walk of a million names would leave them all here. So beyond NAMES_BYTES_MAX the files
that came first are forgotten. If a program comes back to one, the kernel is told ESTALE, which makes it look the name
up again: that costs requests, and gives another inode number and thereby an empty page cache, but never an error.

What is not found by its name alone stays: open files, directories (a program may have one as its working directory),
and what is not in S3 yet. A file that was opened gets a second round, for the sake of the pages that the kernel has.
"""

import collections
import sys
from collections.abc import Callable, Collection, Iterator
from typing import Final

from engine.namespace.inode import NOTHING, Inode
from engine.namespace.numbered import Numbered
from engine.spec import MiB

# For all inodes of a mount, in bytes: 100,000 names of 24 characters. `du`, `find` and `ls -R` (fts) read that many
# names of a directory before they ask for the first one's size, and should still find it here. With what the allocator
# leaves unused, some 4 MiB, and with the engine itself, some 20, that is less than 64 MiB.
NAMES_BYTES_MAX: Final = 36 * MiB

# Of one inode without its name, in bytes (CPython 3.11, measured): itself 96, its number 32, what S3 said 64, how long
# to trust that 32, its places by number, by location and here 18, 35 and 8; and what the allocator leaves unused.
INODE_BYTES: Final = 300

# Of what happened to an inode here, for each that was made by a program: itself 112, when it came to be in S3 32.
HERE_BYTES: Final = 150

# So many numbers in the order for each inode are worth a search, which takes 6 ms, and a copy of all others. Those of a
# walk go by themselves, the first ones first.
SWEPT_MIN: Final = 1.5

# Inodes that are looked at for each that comes, so that a crowd of directories does not cost a search each time.
TRIES_MAX: Final = 8


class Crowd:
    """The inodes of one table in the order of their coming, and their bytes."""

    def __init__(self) -> None:
        self._bytes_max = NAMES_BYTES_MAX
        self._bytes = 0
        self._order: collections.deque[int] = collections.deque()  # numbers; some of inodes that went, until a sweep

    def came_one(self, inode: Inode) -> bool:
        """The same of one: each name of a listing comes this way."""
        self._order.append(inode.number)
        self._bytes += _weight(inode)
        return self._bytes > self._bytes_max

    def came(self, inodes: Collection[Inode]) -> bool:
        """The table has these as well. True: more than there is room for."""
        self._order.extend([inode.number for inode in inodes])
        self._bytes += sum(map(_weight, inodes))
        return self._bytes > self._bytes_max

    def grew(self, inode: Inode) -> None:
        """Something happened to one of these here, which it keeps. To be told once or more."""
        if inode.here is not NOTHING and not inode.here.counted:
            inode.here.counted = True
            self._bytes += HERE_BYTES

    def went(self, inode: Inode) -> None:
        """The table has one less."""
        self._bytes -= _whole_weight(inode)

    def sweep(self, known: Numbered) -> None:
        """Let go of the numbers of inodes that went, if they are many: to be called now and then."""
        if len(self._order) > SWEPT_MIN * len(known):
            self._order = collections.deque(number for number in self._order if number in known)

    def spare(
        self, find: Callable[[int], Inode | None], *, besides: Inode | None = None, tries: int = TRIES_MAX
    ) -> Iterator[Inode]:
        """Inodes to be removed now, each before the next is drawn. `find` gives those that the table still has;
        `tries` of those that have to stay are looked at.
        """
        while self._bytes > self._bytes_max and self._order and tries > 0:
            inode = find(self._order.popleft())
            if inode is None:
                continue
            if inode is besides or not _can_go(inode):
                tries -= 1
                self._order.append(inode.number)
            else:
                yield inode


def _can_go(inode: Inode) -> bool:
    if inode.is_directory or inode.pending or inode.handles:
        return False
    second_round, inode.opened = inode.opened, False
    return not second_round


def _weight(inode: Inode) -> int:
    return INODE_BYTES + sys.getsizeof(inode.location)


def _whole_weight(inode: Inode) -> int:
    return _weight(inode) + (HERE_BYTES if inode.here.counted else 0)
