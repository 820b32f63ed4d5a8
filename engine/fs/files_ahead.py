"""Small files that are fetched before they are opened, when a program reads a directory's files one after the other.

Part of the file system (filesystem.py), which tells of each file that is opened and first read. When, and how many, is
decided in walks.py; bytes are kept and given up by engine/read like all that is read ahead. An open takes what is there
only for the version that it has found by its own rules: so nothing is believed for longer by this.
"""

import collections
import functools
from dataclasses import dataclass
from typing import Final

from engine.arena import SLOT_BYTES
from engine.errors import EngineError, NoSuchKey, PreconditionFailed
from engine.fs.beginnings import Beginnings, Looking
from engine.fs.opening import ObjectAhead, ObjectOpener, OpenFile
from engine.fs.walks import BEHIND, Walk, Walks
from engine.namespace.inode import Inode
from engine.namespace.inodes import InodeTable
from engine.namespace.names import parent_prefix
from engine.s3.interface import ObjectInfo

# The largest file that is fetched ahead, in bytes: what one GET into one slot of memory brings. Of larger ones the
# first GET is a small part of the time that they take.
SMALL_BYTES: Final = SLOT_BYTES

# Numbers in a row that are no sibling, after which the directory is taken to be at its end.
GAP_MAX: Final = 64


@dataclass(slots=True)
class _Ahead:
    info: ObjectInfo
    data: ObjectAhead
    walk: Walk


class FilesAhead:
    """What is fetched ahead in one mount.

    Args:
        opener: fetches.
        table: the inodes: which files are siblings.
        beginnings: what comes with lookups.
    """

    def __init__(self, opener: ObjectOpener, table: InodeTable, beginnings: Beginnings) -> None:
        self._beginnings: Final = beginnings
        self._opener: Final = opener
        self._table: Final = table
        self._walks: Final = Walks()
        self._files: Final[collections.OrderedDict[int, _Ahead]] = collections.OrderedDict()  # by inode's number

    def looking(self, directory: Inode, known: Inode | None) -> Looking:
        """A name in a directory is looked up; `known` is what it was until now."""
        there = known is not None and (known.opened or known.number in self._files)
        return self._beginnings.looking(directory, known, there=there)

    def take(self, inode: Inode, info: ObjectInfo) -> ObjectAhead | None:
        """The data of a file that is being opened as this version, if it was fetched ahead."""
        found = self._files.pop(inode.number, None)
        if found is None:
            return self._beginnings.take(inode, info)
        if not found.data.holds or found.info.etag != info.etag:
            self._waste([found])
            return None
        found.walk.used(found.info.size, late=not found.data.ready)
        return found.data

    def begin(self, file: OpenFile) -> None:
        """A file is read for the first time since it was opened: fetch what will be read next, if it is a walk."""
        file.begun = True
        if (inode := file.inode) is None:
            return
        self._beginnings.read(inode)
        if file.info.size > SMALL_BYTES:
            return
        walk = self._walks.read(parent_prefix(inode.location), inode.number, file.info.size)
        self._sweep(walk)
        if walk.room:
            self._fetch(walk)

    def close(self) -> None:
        """Nothing will be opened any more."""
        for ahead in self._files.values():
            ahead.data.close()
        self._files.clear()

    def _fetch(self, walk: Walk) -> None:
        number, gap, newest = walk.reached, 0, self._table.newest
        if walk.ended == newest:
            return
        while walk.room:
            if gap == GAP_MAX or number >= newest:
                walk.ended = newest
                return
            number += 1
            inode = self._table.find(number)
            if inode is None or parent_prefix(inode.location) != walk.directory:
                gap += 1
                continue
            gap = 0
            if (info := self._worth(inode)) is not None and walk.can_fit(info.size):
                if not walk.fits(info.size):
                    return
                failed = functools.partial(self._failed, info)
                data = self._opener.open_ahead(info.key, info.etag, info.size, failed)
                if data is None:
                    return
                self._files[number] = _Ahead(info, data, walk)
                walk.fetched(info.size)
            walk.reached = number

    def _failed(self, info: ObjectInfo, error: EngineError) -> None:
        """S3 has another version, or none: whoever opens the file is to find that, and not to fail when reading."""
        if isinstance(error, (PreconditionFailed, NoSuchKey)):
            self._table.disbelieve(info)

    def _worth(self, inode: Inode) -> ObjectInfo | None:
        """What there is to fetch of a file that nobody has opened: the kernel has no pages of it."""
        known = inode.size_and_time
        if known is None or not 0 < known[0] <= SMALL_BYTES or known[2]:
            return None
        if inode.opened or inode.handles or inode.pending or not self._table.is_current(inode):
            return None
        if inode.number in self._files:
            return None
        info = inode.info
        return info if info is not None and info.etag else None  # bytes of no certain version are of no use

    def _sweep(self, walk: Walk) -> None:
        """Let go of what was given up meanwhile, and of what the walk has left behind."""
        wasted = []
        while self._files:
            number, oldest = next(iter(self._files.items()))
            if oldest.data.holds and not (oldest.walk is walk and number < walk.front - BEHIND):
                break
            wasted.append(self._files.pop(number))
        self._waste(wasted)

    @staticmethod
    def _waste(files: list[_Ahead]) -> None:
        for ahead in files:
            ahead.data.close()
            ahead.walk.wasted(ahead.info.size)
        for walk in {ahead.walk for ahead in files}:
            walk.narrow()
