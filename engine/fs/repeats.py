"""Requests that come a second time after a takeover, because the engine before had done them and not answered.

Used by writing.py. The kernel sends again what was not answered, and does not say so to us. It needs no guess: while
a request that changes a directory is not answered, the kernel lets nobody look a name of it up, make it or remove it,
and forgets no inode of it. So the first that is heard of such a name after a takeover tells. Pure, but for the table.
"""

from collections.abc import Iterable
from typing import Final

from engine.namespace.inode import Inode
from engine.namespace.inodes import InodeTable


class Repeats:
    """What the engine before did last.

    Args:
        table: the inodes, the inherited ones among them.
        made: numbers of files and directories that it made and that are not in S3.
        removed: numbers of those that it removed again.
    """

    def __init__(self, table: InodeTable, made: Iterable[int] = (), removed: Iterable[int] = ()) -> None:
        self._table: Final = table
        self._made: Final = set(made)
        self._removed: Final = {inode.location: inode.number for inode in map(table.find, removed) if inode is not None}

    def seen(self, number: int) -> None:
        """The kernel looked the inode up, or used it: that it was made was answered."""
        self._made.discard(number)

    def made(self, location: str, *, directory: bool) -> Inode | None:
        """What is to be made, if it was made already."""
        inode = self._table.at(location)
        if inode is None or inode.number not in self._made:
            return None
        self._made.discard(inode.number)
        return inode if inode.pending and inode.is_directory is directory else None

    def removed(self, location: str) -> bool:
        """Whether what is to be removed, and is not there, was removed already: the kernel holds its inode still."""
        number = self._removed.pop(location, None)
        return number is not None and self._table.find(number) is not None
