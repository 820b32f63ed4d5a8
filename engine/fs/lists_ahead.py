"""Directories that are listed before they are opened, when a thread walks a tree.

Part of directories.py, which tells of each directory that is opened. When, and which, is decided in trees.py. Only the
first page is listed ahead; it is good for AHEAD_SECONDS_MAX, for nobody but the thread that walks, and as long as
nothing was made or deleted here meanwhile (S121).
"""

import collections
import contextlib
from typing import Final

import trio

from engine.errors import EngineError
from engine.fs.trees import ENTRIES_MAX, Depth, Level, TreeWalk
from engine.namespace.inode import Inode
from engine.namespace.inodes import InodeTable
from engine.namespace.lifetimes import DIRECTORY_SECONDS_MINIMAL
from engine.namespace.listing import Answer
from engine.namespace.names import parent_prefix
from engine.s3.interface import ListPage, ObjectClient

# How old a listing may be that a directory is opened with in a walk, since S3 was asked: as old as a directory's name.
AHEAD_SECONDS_MAX: Final = DIRECTORY_SECONDS_MINIMAL

# Threads whose walks are remembered, and listings ahead of all of them.
THREADS_MAX: Final = 8
LISTS_MAX: Final = 48

# Numbers that are looked at for one directory that is opened, and in a row that are no sibling, after which a directory
# is taken to be at its end.
LOOKS_MAX: Final = 256
GAP_MAX: Final = 64


class ListAhead:
    """The first page of a directory, on its way or there. `asked` is when S3 was asked, on trio's clock."""

    def __init__(self, walk: TreeWalk, depth: Depth, doings: int) -> None:
        self.walk: Final = walk
        self.depth: Final = depth
        self.doings: Final = doings  # of the table, when S3 was asked
        self.asked: Final = trio.current_time()
        self.listed = self.asked
        self.page: ListPage | None = None
        self.over: Final = trio.Event()  # S3 has answered, or failed
        self.scope: Final = trio.CancelScope()  # of who asks, and then waits until it is too old

    @property
    def entries(self) -> int:
        """How many it has, as far as they have come."""
        return 0 if self.page is None else len(self.page.objects) + len(self.page.prefixes)


class ListsAhead:
    """What is listed ahead in one mount.

    Args:
        client: S3.
        table: the inodes: which directories are siblings.
        nursery: where LISTs run; None: nothing is listed ahead.
    """

    def __init__(self, client: ObjectClient, table: InodeTable, nursery: trio.Nursery | None) -> None:
        self._client: Final = client
        self._table: Final = table
        self._nursery: Final = nursery
        self._walks: Final[collections.OrderedDict[int, TreeWalk]] = collections.OrderedDict()  # by thread
        self._lists: Final[dict[tuple[int, str], ListAhead]] = {}  # by thread and prefix

    def opened(self, inode: Inode, caller: int) -> ListAhead | None:
        """A thread opens a directory: its listing, if it was asked for ahead. Others are asked for, if it is a walk."""
        if self._nursery is None or not caller:
            return None
        walk = self._walks.get(caller)
        if walk is None or not walk.opened(inode.prefix, inode.number):
            self._begin(inode, caller)
            return None
        self._walks.move_to_end(caller)
        found = self._take((caller, inode.prefix))
        if found is not None and not self._is_good(found):
            walk.wasted(found.depth)
            found = None
        elif found is not None:
            walk.used(found.depth, found.entries or found.depth.entries)
        for level, depth in walk.ahead():
            self._list(walk, level, depth, caller)
        return found

    async def answer(self, ahead: ListAhead) -> Answer | None:
        """What S3 has said, when it has; None if it failed, or something has changed here since it was asked."""
        await ahead.over.wait()
        if ahead.page is None or ahead.doings != self._table.doings:
            return None
        return Answer(ahead.page, ahead.asked, ahead.listed)

    async def is_there(self, inode: Inode, caller: int) -> bool:
        """Whether a directory that a thread comes to in its walk is known to be there by a listing ahead."""
        ahead = self._lists.get((caller, inode.prefix)) if self._lists else None
        if ahead is None or not self._is_good(ahead):
            return False
        answer = await self.answer(ahead)
        return answer is not None and bool(answer.page.objects or answer.page.prefixes)

    def _is_good(self, ahead: ListAhead) -> bool:
        failed = ahead.over.is_set() and ahead.page is None
        return not failed and trio.current_time() - ahead.asked <= AHEAD_SECONDS_MAX

    def _take(self, place: tuple[int, str]) -> ListAhead | None:
        if (found := self._lists.pop(place, None)) and found.over.is_set():
            found.scope.cancel()  # nobody needs to be told when it is too old
        return found

    def _begin(self, inode: Inode, caller: int) -> None:
        self._walks[caller] = TreeWalk(inode.prefix)
        self._walks.move_to_end(caller)
        self._forget(caller)
        if len(self._walks) > THREADS_MAX:
            oldest, _walk = self._walks.popitem(last=False)
            self._forget(oldest)

    def _forget(self, caller: int) -> None:
        """A thread's walk is over."""
        for place in [place for place in self._lists if place[0] == caller]:
            self._lists.pop(place).scope.cancel()

    def _list(self, walk: TreeWalk, level: Level, depth: Depth, caller: int) -> None:
        assert self._nursery is not None, "somebody walks"
        if len(self._lists) >= LISTS_MAX or sum(ahead.entries for ahead in self._lists.values()) >= ENTRIES_MAX:
            return
        number, gap = level.reached, 0
        for _look in range(LOOKS_MAX):
            if gap == GAP_MAX or not walk.room(depth):
                return
            number += 1
            inode = self._table.find(number)
            if inode is None or parent_prefix(inode.location) != level.prefix:
                gap += 1
                continue
            gap, level.reached = 0, number
            place = caller, inode.prefix
            if inode.is_directory and not inode.pending and self._table.is_current(inode) and place not in self._lists:
                ahead = self._lists[place] = ListAhead(walk, depth, self._table.doings)
                walk.listed(depth)
                self._nursery.start_soon(self._ask, place, ahead)

    async def _ask(self, place: tuple[int, str], ahead: ListAhead) -> None:
        with ahead.scope:
            try:
                with contextlib.suppress(EngineError):  # who opens it asks again
                    ahead.page = await self._client.list_objects(place[1])
            finally:
                ahead.listed = trio.current_time()
                ahead.over.set()
            if self._lists.get(place) is ahead:
                await trio.sleep_until(ahead.asked + AHEAD_SECONDS_MAX)
            if self._lists.get(place) is ahead:
                del self._lists[place]
                ahead.walk.wasted(ahead.depth)
