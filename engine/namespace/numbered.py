"""Inodes by their numbers, in a quarter of the memory that a dictionary takes: for all names that the kernel knows.

Owned by the inode table. Pure. Numbers are given one after the other, and most inodes come and go in the order of their
numbers: so a list for each PAGE numbers in a row has few holes, and needs neither a hash nor the number itself. What is
left of a page when nearly all went, the directories mostly, is moved to a dictionary.
"""

from typing import Final

from engine.namespace.inode import Inode

# Numbers of a page; a list of so many is the largest block that the interpreter's own allocator hands out (512 bytes).
_BITS: Final = 6
PAGE: Final = 1 << _BITS
_MASK: Final = PAGE - 1

# So few are moved: in a dictionary they take up to 60 bytes each, and a page takes 650.
FEW: Final = 10


class _Page:
    """Inodes of PAGE numbers in a row, None where there is none."""

    __slots__ = ("count", "inodes")

    def __init__(self) -> None:
        self.inodes: list[Inode | None] = [None] * PAGE
        self.count = 0


class Numbered:
    """All inodes of one table."""

    def __init__(self) -> None:
        self._pages: dict[int, _Page] = {}  # by the number's upper bits
        self._few: dict[int, Inode] = {}  # of pages that are none any more
        self._newest = -1  # page
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __contains__(self, number: int) -> bool:
        return self.get(number) is not None

    def numbers(self) -> list[int]:
        """Those that there are now, the smallest first."""
        found = list(self._few)
        for high, page in self._pages.items():
            found += [high << _BITS | low for low, inode in enumerate(page.inodes) if inode is not None]
        return sorted(found)

    def get(self, number: int) -> Inode | None:
        """The inode of a number."""
        page = self._pages.get(number >> _BITS)
        if page is not None and (inode := page.inodes[number & _MASK]) is not None:
            return inode
        return self._few.get(number)

    def put(self, inode: Inode) -> None:
        """One whose number no other has."""
        number = inode.number
        high = number >> _BITS
        page = self._pages.get(high)
        if page is None:
            page = self._pages[high] = _Page()
            if high > self._newest:
                before, self._newest = self._newest, high
                self._look_at(before)
        page.inodes[number & _MASK] = inode
        page.count += 1
        self._count += 1

    def remove(self, number: int) -> None:
        """The inode of a number is there no more."""
        high = number >> _BITS
        page = self._pages.get(high)
        if page is None or page.inodes[number & _MASK] is None:
            del self._few[number]
        else:
            page.inodes[number & _MASK] = None
            page.count -= 1
            if high < self._newest:
                self._look_at(high)
        self._count -= 1

    def tidy(self) -> None:
        """Have dictionaries as small as they can be: they never shrink by themselves. To be called when many went."""
        self._pages, self._few = dict(self._pages), dict(self._few)

    def _look_at(self, high: int) -> None:
        """A page gets no more: move what it has, if that is little."""
        page = self._pages.get(high)
        if page is not None and page.count <= FEW:
            del self._pages[high]
            self._few.update({inode.number: inode for inode in page.inodes if inode is not None})
