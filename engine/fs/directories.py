"""Open directories: what readdir gets, from S3's listing and from what is only here.

Part of the file system (filesystem.py), which checks what is opened. Asks S3 by DirectoryStream only.
"""

import functools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

import trio

from engine.fs.attributes import Attributes
from engine.fs.handles import Handles
from engine.fs.inherited import InheritedDirectory
from engine.fs.ledger import Ledger
from engine.fs.lists_ahead import ListsAhead
from engine.namespace.hidden import HiddenNames
from engine.namespace.inode import Inode
from engine.namespace.inodes import InodeTable
from engine.namespace.lifetimes import Lifetimes
from engine.namespace.listing import FIRST, DirectoryStream, Given, Page, Start
from engine.namespace.merge import Entry
from engine.s3.interface import ObjectClient
from engine.stats import EngineStats

# Positions of a directory as the kernel knows them: 0 the start, then `.`, then `..`, then those of the listing,
# moved by this many.
_DOTS: Final = 2

# Seconds that a page of a listing may wait until a program reads its entries, for them to count as fresh then: what a
# directory may be out of date with `metadata-ttl = minimal`. Else their lifetime began when S3 answered, and with the
# shortest lifetimes a slow reader's next stat asks S3.
LISTED_SECONDS_MAX: Final = 1.0

# Seconds that a program which has a directory open is told of its names what S3 has said since then. `du`, `find` and
# `rm -r` (fts) read up to 100,000 names before they ask for the first one's attributes: 100 LISTs at S3's 100 ms, and
# then 100,000 questions, take half a minute, and on a busy machine twice that.
WALK_SECONDS_MAX: Final = 60.0

# Seconds that the kernel may believe such an answer: until its own call is over, so that no other program gets it.
WALKED_SECONDS: Final = 0.01


class Listed(NamedTuple):
    """One entry of a directory, and the position behind it. `counted`: the kernel holds one lookup more by it."""

    name: bytes
    attributes: Attributes
    position: int
    counted: bool


@dataclass(slots=True)
class _OpenDirectory:
    """`caller` is the thread that opened it, 0 if that is not known; `began` when it was opened, or rewound; `told` is
    what a successor knows to have been given last.
    """

    inode: Inode
    stream: DirectoryStream
    caller: int
    began: float
    told: Given | None = None


class Directories:
    """All open directories of one mount.

    Args:
        client: S3.
        table: the inodes.
        ledger: what a successor must know.
        lifetimes: how long entries are believed.
        attributes: an inode's, as they are now.
        generation: of the engine.
        nursery: where directories are listed ahead; None: none is.
        stats: its gauge `open_directories` and the count of hidden names.
    """

    def __init__(
        self,
        client: ObjectClient,
        table: InodeTable,
        *,
        ledger: Ledger,
        lifetimes: Lifetimes,
        attributes: Callable[[Inode], Attributes],
        generation: int,
        nursery: trio.Nursery | None,
        stats: EngineStats,
    ) -> None:
        self._client: Final = client
        self._table: Final = table
        self._ledger: Final = ledger
        self._lifetimes: Final = lifetimes
        self._attributes: Final = attributes
        self._lists: Final = ListsAhead(client, table, nursery)
        self._hidden: Final = HiddenNames(stats)
        self._stats: Final = stats
        self._handles: Final[Handles[_OpenDirectory]] = Handles(generation=generation, gauge=self._count)
        self._walks: Final[dict[tuple[int, int], list[_OpenDirectory]]] = {}  # by caller and inode's number

    def inherit(self, directories: dict[int, InheritedDirectory]) -> None:
        """What an engine before had open."""
        for handle, directory in directories.items():
            if inode := self._table.find(directory.number):
                opened = self._opened(inode, directory.pages, 0, directory.given)
                opened.stream.paged = functools.partial(self._ledger.page, handle)
                self._handles.inherit(handle, opened)

    def bequest(self) -> dict[int, InheritedDirectory]:
        """What is open, for a successor."""
        return {
            handle: InheritedDirectory(directory.inode.number, list(directory.stream.starts), directory.stream.given)
            for handle, directory in self._handles
        }

    def find(self, handle: int) -> Inode | None:
        """What is open by this number."""
        found = self._handles.find(handle)
        return None if found is None else found.inode

    def open(self, inode: Inode, caller: int) -> int:
        """Open a directory; S3 is asked at the first read. `caller` is the thread that asks, 0 if that is not known."""
        opened = self._opened(inode, [FIRST], caller)
        handle = self._handles.add(opened)
        opened.stream.paged = functools.partial(self._ledger.page, handle)
        if (ahead := self._lists.opened(inode, caller)) is not None:
            opened.stream.ahead = functools.partial(self._lists.answer, ahead)
        if caller:
            self._walks.setdefault((caller, inode.number), []).append(opened)
        self._ledger.opened_directory(handle, inode.number)
        return handle

    async def read(self, handle: int, position: int) -> Iterator[Listed]:
        """Entries of an open directory from a position on: some, and none only at the end.

        Position 0 after a start lists anew. Each entry drawn from the iterator with `counted` holds a lookup, which
        must be given back by `forget` if the kernel does not get it. No await may come between drawing two entries.
        """
        directory = self._handles.get(handle)
        if position == 0 and directory.stream.started:
            await directory.stream.rewind()
            directory.began = trio.current_time()
            self._ledger.opened_directory(handle, directory.inode.number)
        if position < _DOTS:
            return self._dots(directory.inode, position)
        while found := await directory.stream.read(position - _DOTS):
            page, index = found
            if any(self._is_shown(directory.inode, page, entry) for entry in page.entries[index:]):
                return self._entries(directory, page, index)
            # All that is left on the page was removed meanwhile; no entries would be the end to the kernel.
            position = page.position(len(page.entries)) + _DOTS
            if page.last:
                break
        return iter(())

    def given(self, handle: int) -> None:
        """The kernel has got what `read` gave last, up to the entry before one that was drawn too much.

        A successor goes on behind that.
        """
        directory = self._handles.find(handle)
        if directory is not None and (given := directory.stream.given) is not None and given is not directory.told:
            directory.told = given
            self._ledger.given(handle, given)

    def removed(self, directory: Inode, name: str) -> None:
        """A name in a directory was deleted here: who is reading the directory is not shown it any more."""
        self._table.doings += 1
        for _handle, opened in self._handles:
            if opened.inode.prefix == directory.prefix:
                opened.stream.remove(name)

    def release(self, handle: int) -> None:
        """The directory is closed."""
        if directory := self._handles.remove(handle):
            self._ledger.closed_directory(handle)
            place = directory.caller, directory.inode.number
            if walks := self._walks.get(place):
                walks.remove(directory)
                if not walks:
                    del self._walks[place]

    async def is_there(self, directory: Inode, caller: int) -> bool:
        """Whether a directory that a thread comes to in its walk is known to be there, by a listing ahead."""
        if directory.pending or not await self._lists.is_there(directory, caller):
            return False
        return self._table.is_current(directory) and not directory.pending  # it may have taken a while

    def tells(self, directory: Inode, child: Inode, caller: int) -> bool:
        """Whether a thread that asks for a name in a directory is told what S3 has said of it already.

        It is one that is reading the directory: it has opened it, S3 has said so since then, and not long ago. So it
        sees what it would see if it had asked a little sooner.
        """
        walks = self._walks.get((caller, directory.number))
        if not walks or child.pending:
            return False
        said = child.valid_until - self._lifetimes.of(directory=child.is_directory)
        return said >= max(trio.current_time() - WALK_SECONDS_MAX, min(walk.began for walk in walks))

    def _opened(self, inode: Inode, starts: Iterable[Start], caller: int, given: Given | None = None) -> _OpenDirectory:
        local = functools.partial(self._table.pending_below, inode.prefix)
        stream = DirectoryStream(self._client, inode.prefix, self._hidden, starts, given=given, local=local)
        return _OpenDirectory(inode, stream, caller, trio.current_time())

    def _dots(self, inode: Inode, position: int) -> Iterator[Listed]:
        """`.` and `..`, which the kernel neither adds by itself nor counts as lookups."""
        both = ((b".", inode), (b"..", self._table.parent(inode)))
        for index, (name, target) in enumerate(both[position:], position):
            yield Listed(name, self._attributes(target), index + 1, counted=False)

    def _entries(self, directory: _OpenDirectory, page: Page, index: int) -> Iterator[Listed]:
        now = trio.current_time()
        age = now - page.listed
        if age <= LISTED_SECONDS_MAX:
            age = 0.0
        prefix = directory.inode.prefix
        until = {kind: now + max(0.0, self._lifetimes.of(directory=kind) - age) for kind in (True, False)}
        for entry in page.entries[index:]:
            index += 1
            if entry.name in page.gone:
                continue
            if entry.local:
                known = self._table.at(prefix + entry.name)
                if known is None:
                    continue  # it was removed, or its upload failed, after the page was made
                child = self._table.counted(known)
            else:
                location = prefix + entry.name if entry.info is None else entry.info.key
                child = self._table.link(location, entry.info, until[entry.info is None], asked=page.asked)
            position = page.position(index) + _DOTS
            yield Listed(entry.name.encode(), self._attributes(child), position, counted=True)
            directory.stream.given = Given(page.number, index, entry.name)  # another is wanted: this one was taken

    def _is_shown(self, directory: Inode, page: Page, entry: Entry) -> bool:
        if entry.name in page.gone:
            return False
        return not entry.local or self._table.at(directory.prefix + entry.name) is not None

    def _count(self, count: int) -> None:
        self._stats.open_directories = count
