"""The inodes that the kernel knows: number, location, kind, what S3 said of the object, and how long it is believed.

Owned by the file system; lookup and listing put inodes in, FORGET takes them out, so memory follows what the kernel
holds. Synchronous: no method awaits, so every change is atomic under trio. Never asks S3.

A number means one version: an object whose ETag changed, or a name that turned from a file into a directory, gets a
new number. So the kernel's page cache, which hangs on the number, can never show a mix of two versions.
"""

from collections.abc import Callable, Iterator
from typing import Final

from engine.errors import Stale
from engine.namespace.missing import MissingNames
from engine.namespace.names import parent_prefix
from engine.s3.interface import ObjectInfo
from engine.stats import EngineStats

# FUSE_ROOT_ID: the one number that the kernel knows without a lookup, the same in every generation.
ROOT: Final = 1

# Numbers of one engine: a trillion, and 2^23 engines a session before the kernel's 64 bits (as signed) are used up.
GENERATION_SHIFT: Final = 40


class Inode:
    """A file or directory that the kernel knows, or is about to. `info` is None for a directory."""

    __slots__ = ("info", "location", "lookups", "number", "valid_until")

    def __init__(self, number: int, location: str, info: ObjectInfo | None, valid_until: float) -> None:
        self.number = number
        self.location = location
        self.info = info
        self.lookups = 0
        self.valid_until = valid_until  # on trio's clock

    @property
    def is_directory(self) -> bool:
        """A directory, not a file."""
        return self.info is None

    @property
    def prefix(self) -> str:
        """What all keys below this directory start with."""
        return self.location + "/" if self.location else ""

    @property
    def key(self) -> str:
        """The object's key, or the directory's prefix."""
        return self.prefix if self.is_directory else self.location


class InodeTable:
    """All inodes of one engine.

    Args:
        prefix: the mount's prefix: empty, or ends in a slash.
        generation: which engine of the session this is; no two of them give the same number.
        stats: whose gauge `inodes` follows the table.
        made: told of each new inode.
        forgotten: told of each number that the kernel holds no more.
    """

    def __init__(
        self,
        prefix: str,
        *,
        generation: int,
        stats: EngineStats,
        made: Callable[[Inode], None] = lambda _inode: None,
        forgotten: Callable[[int], None] = lambda _number: None,
    ) -> None:
        self._next = (generation << GENERATION_SHIFT) + ROOT + 1
        self._stats = stats
        self._made = made
        self._forgotten = forgotten
        self.root: Final = Inode(ROOT, prefix.removesuffix("/"), None, float("inf"))
        self.missing: Final = MissingNames()
        self._by_number = {ROOT: self.root}
        self._by_location = {self.root.location: self.root}
        stats.inodes = len(self._by_number)

    def __len__(self) -> int:
        return len(self._by_number)

    def __iter__(self) -> Iterator[Inode]:
        """All but the root, in the order in which they were made."""
        return (inode for inode in self._by_number.values() if inode is not self.root)

    def inherit(self, number: int, location: str, info: ObjectInfo | None) -> None:
        """An inode that the kernel has from an engine before. Not believed; how many lookups it holds is not known,
        so that its FORGET, which gives all of them back, drops it whatever the number.
        """
        self._put(Inode(number, location, info, float("-inf")))

    def get(self, number: int) -> Inode:
        """The inode of a number the kernel uses. Raises Stale if this engine never gave it, or it was forgotten."""
        inode = self._by_number.get(number)
        if inode is None:
            raise Stale(f"inode {number} is not known (any more)")
        return inode

    def find(self, number: int) -> Inode | None:
        """The inode of a number, if it is known."""
        return self._by_number.get(number)

    def at(self, location: str) -> Inode | None:
        """The inode that a location has now."""
        return self._by_location.get(location)

    def parent(self, inode: Inode) -> Inode:
        """The directory that holds an inode; the root's is itself, and so is one whose directory was forgotten."""
        if inode is self.root:
            return inode
        return self._by_location.get(parent_prefix(inode.location).removesuffix("/"), inode)

    def is_current(self, inode: Inode) -> bool:
        """The inode's location still is this inode: nothing replaced it and nothing was seen missing."""
        return self._by_location.get(inode.location) is inode

    def link(self, location: str, info: ObjectInfo | None, valid_until: float) -> Inode:
        """The inode for what S3 says is at a location, with one lookup more, for an answer the kernel will count.

        The one that is there if it is the same version, else a new one in its place.
        """
        self.missing.found(location)
        inode = self._by_location.get(location)
        if inode is None or not _same(inode, info):
            inode = self._make(location, info, valid_until)
        else:
            self.refresh(inode, info, valid_until)
        if inode is not self.root:
            inode.lookups += 1
        return inode

    def refresh(self, inode: Inode, info: ObjectInfo | None, valid_until: float) -> bool:
        """S3 was asked again and says `info`. True if that is this inode's version; else the inode loses its name."""
        if not _same(inode, info):
            self.unlink(inode)
            return False
        inode.info = info
        inode.valid_until = max(inode.valid_until, valid_until)
        return True

    def unlink(self, inode: Inode) -> None:
        """The location is empty or is another version now; the number lives on until the kernel forgets it."""
        inode.valid_until = float("-inf")
        if self.is_current(inode):
            del self._by_location[inode.location]

    def forget(self, number: int, lookups: int) -> None:
        """The kernel dropped that many references. A number of an engine before is none of ours."""
        inode = self._by_number.get(number)
        if inode is None or inode is self.root:
            return
        inode.lookups -= lookups
        if inode.lookups > 0:
            return
        del self._by_number[number]
        self.unlink(inode)
        self._stats.inodes = len(self._by_number)
        self._forgotten(number)

    def _make(self, location: str, info: ObjectInfo | None, valid_until: float) -> Inode:
        inode = Inode(self._next, location, info, valid_until)
        self._next += 1
        before = self._by_location.get(location)
        if before is not None:
            self.unlink(before)
        self._put(inode)
        self._made(inode)
        return inode

    def _put(self, inode: Inode) -> None:
        self._by_number[inode.number] = inode
        self._by_location[inode.location] = inode
        self._stats.inodes = len(self._by_number)


def _same(inode: Inode, info: ObjectInfo | None) -> bool:
    if inode.info is None or info is None:
        return inode.info is info
    return inode.info.etag == info.etag
