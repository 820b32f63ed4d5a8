"""Reading one open file: ReadStream.read answers what the kernel asks, from blocks that are there, or waits for them.

Opened by Prefetcher.open for engine/fs, for each file handle; handles of one version of an object share one, so that
what one of them has fetched is there for all. Many tasks may read at once. Never decides what to
fetch (window.py) and never starts a GET itself (prefetcher.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import trio

from engine.arena import SLOT_BYTES
from engine.errors import BadHandle, EngineError
from engine.read.part import Block, Part
from engine.read.purchase import Account
from engine.read.sharing import hand_on, is_again
from engine.read.strides import Beginnings, window_for
from engine.read.walk import Walk
from engine.read.window import Range

if TYPE_CHECKING:
    from engine.read.prefetcher import Prefetcher

# Places of one file that a handle reads from independently (threads with pread, columns of a table). A random read
# takes one too, for as long as no four others came: it remembers the last few random blocks.
WALKS_MAX: Final = 4

# Of all handles of a file. Each read looks through them: at 0.1 us each that is little for what a read costs.
WALKS_SHARED_MAX: Final = 64


class ReadStream:
    """One version of one object, read at any offset by any number of tasks, opened by any number of handles.

    Args:
        prefetcher: memory and requests.
        key: the object's key.
        etag: the version; bytes of another one are never answered (PreconditionFailed).
        size: the object's size in bytes.
    """

    def __init__(self, prefetcher: Prefetcher, key: str, etag: str, size: int) -> None:
        self.key: Final = key
        self.etag: Final = etag
        self.size: Final = size
        self._prefetcher = prefetcher
        self._walks: list[Walk] = []  # the one used last first
        self.parts: Final[set[Part]] = set()
        self.opened = 0  # handles that are not closed yet
        self.bought: Walk | None = None  # what random reads have paid for (buyer.py)
        self._account: Account | None = None
        self._beginnings = Beginnings()
        self._closed = False
        self._ahead: Part | None = None

    def fetch_ahead(self, failed: Callable[[EngineError], None]) -> bool:
        """Begin to fetch the whole object, which fits in a slot, before anybody reads it; False: no memory to spare.

        It is given up as all that is read ahead: when memory is wanted, or after a while. `failed` is told if it fails.
        """
        walk = self._walk_for(0, self.size)
        self._prefetcher.fetch(self, walk, Range(0, self.size), demand=False)
        block = _covering(walk, 0)
        if block is None:
            return False
        self._ahead = block.part
        self._ahead.failed = failed
        return True

    @property
    def ready(self) -> bool:
        """What was fetched ahead is there, all of it."""
        return self.holds and self._ahead is not None and self._ahead.good >= self.size

    @property
    def holds(self) -> bool:
        """Something is there, or on its way."""
        for walk in self._walks:  # noqa: SIM110 - twice for each small file, and a generator costs more than all else
            if walk.blocks:
                return True
        return False

    async def read(self, offset: int, size: int) -> bytes | memoryview:
        """Exactly the bytes asked for, fewer only at the object's end, none beyond it.

        A memoryview is valid until the caller's next await. No checkpoint if the bytes are there: the hot path. Raises
        BadHandle after close (and to reads that wait meanwhile), and what the GET failed with (S3Error); the next read
        of the same bytes tries again.
        """
        end = min(offset + size, self.size)
        if self._closed:
            raise self._bad_handle()
        if offset >= end:
            return b""
        index = offset // SLOT_BYTES
        for walk in self._walks:
            block = walk.blocks.get(index)
            if block is not None and block.start <= offset and end <= block.end and end <= block.part.good:
                reader = walk
                if offset != walk.window.front and len(self._walks) > 1:
                    reader = self._nearest(offset, size) or walk
                self._decide(reader, offset, end, waits=False, missing=False)
                return self._deliver(block, offset, end)
        if self.bought is not None:
            block = self.bought.blocks.get(index)
            if block is not None and block.start <= offset and end <= block.end and end <= block.part.good:
                return self._deliver_bought(block, offset, end)
        return await self._read_slowly(offset, end)

    def close(self) -> None:
        """A handle is closed; with the last one end all GETs and give all slots back, idempotent.

        Slots that are still being written to go back when their GET has ended.
        """
        self.opened -= 1
        if self.opened > 0:
            return
        self._closed = True
        for part in list(self.parts):
            part.fail(self._bad_handle())
            self._prefetcher.abandon(part)
        for walk in self._walks:
            self._prefetcher.drop(walk)
        self._walks.clear()
        self._prefetcher.buyer.drop(self)
        self._prefetcher.forget(self)

    def rest(self) -> bool:
        """Give up what is held for walks that nobody has read in since the last call; True if nothing is held now.

        A read that still waits is no rest: behind a slow link it may wait for long.
        """
        if all(part.idle for part in self.parts):
            for walk in self._walks:
                if not walk.touched:
                    self._prefetcher.drop(walk)
                    walk.window.rest()
            if self.bought is not None and not any(walk.touched for walk in (self.bought, *self._walks)):
                self._prefetcher.buyer.drop(self)
        for walk in self._walks:
            walk.touched = False
        if self.bought is not None:
            self.bought.touched = False
            return False
        return not self.parts and not any(walk.blocks for walk in self._walks)

    def least_needed(self) -> Block | None:
        """A block that nobody waits for, if there is one; of the walk used longest ago."""
        for walk in reversed(self._walks):
            block = walk.least_needed()
            if block is not None:
                return block
        return None

    def _bad_handle(self) -> BadHandle:
        return BadHandle(f"{self.key}: the file is closed")

    def finds(self, start: int, end: int) -> Block | None:
        """A block that has, or will have, all of these bytes of one slot, whichever walk it was fetched for."""
        index = start // SLOT_BYTES
        for walk in self._walks:
            block = walk.blocks.get(index)
            if block is not None and block.start <= start and end <= block.end:
                return block
        block = self.bought.blocks.get(index) if self.bought is not None else None
        return block if block is not None and block.start <= start and end <= block.end else None

    async def _read_slowly(self, offset: int, end: int) -> bytes | memoryview:
        walk = self._walk_for(offset, end - offset)
        missing = not self._begun(walk, offset, end)
        self._decide(walk, offset, end, waits=True, missing=missing)
        if missing and not walk.window.walking and self.size > SLOT_BYTES:
            return await self._read_at_random(walk, offset, end)
        return await self._pieces(walk, offset, end)

    async def _read_at_random(self, walk: Walk, offset: int, end: int) -> bytes | memoryview:
        """One that nothing had led to expect: the program pays for it with the time that it waits."""
        began, came = trio.current_time(), False
        account = self._account = self._account or Account(self.size)
        account.begins(began)
        try:
            bytes_read = await self._pieces(walk, offset, end)
            came = True
        finally:
            account.ends(offset, began, trio.current_time(), came=came)
        if not self._closed:
            self._prefetcher.buyer.ended(self, account, offset)
        return bytes_read

    async def _pieces(self, walk: Walk, offset: int, end: int) -> bytes | memoryview:
        pieces: list[bytes] = []
        while True:
            piece_end = min(end, offset - offset % SLOT_BYTES + SLOT_BYTES)
            if walk not in self._walks:  # dropped while the piece before was awaited: its blocks would be nobody's
                walk = self._walk_for(offset, end - offset)
                self._decide(walk, offset, end, waits=True, missing=not self._begun(walk, offset, end))
            view = await self._piece(walk, offset, piece_end)
            if piece_end == end and not pieces:
                return view
            pieces.append(bytes(view))  # the next await may give the slot to somebody else
            if piece_end == end:
                return b"".join(pieces)
            offset = piece_end

    async def _piece(self, walk: Walk, offset: int, end: int) -> memoryview:
        """Bytes that lie in one slot. A block that ends before `end` was begun by a random read: it is replaced."""
        block = self._coming(offset, end)
        if block is None:
            self._prefetcher.fetch(self, walk, walk.window.demand(offset, end), demand=True)
            block = walk.blocks[offset // SLOT_BYTES]
        block.users += 1
        try:
            await block.part.reach(end)
            if self._closed:
                raise self._bad_handle()
            return (self._deliver_bought if block.walk is self.bought else self._deliver)(block, offset, end)
        finally:
            block.users -= 1
            if block.part.hungry and block.part.idle:
                self._prefetcher.give_up(block)
                self._prefetcher.abandon(block.part)
            self._prefetcher.settle(block)

    def _deliver(self, block: Block, offset: int, end: int) -> memoryview:
        view, passed = block.walk.deliver(block, offset, end)
        if passed is not None and not (len(self._walks) > 1 and hand_on(passed, self._walks, self._prefetcher.room)):
            self._prefetcher.give_up(passed)
        self._prefetcher.stats.bytes_read += end - offset
        return view

    def _begun(self, walk: Walk, offset: int, end: int) -> bool:
        """The first of these bytes is there, or was asked for."""
        if _covering(walk, offset) is not None:
            return True
        return self._coming(offset, min(end, offset - offset % SLOT_BYTES + SLOT_BYTES)) is not None

    def _coming(self, offset: int, end: int) -> Block | None:
        """A block to wait for: what was bought comes by large GETs, and a small one of its own is sooner here.

        The last SLOT_BYTES before it are sooner still, once they flow: 12 ms on a connection of 90 MB/s.
        """
        block = self.finds(offset, end)
        if block is None or block.walk is not self.bought:
            return block
        good = block.part.good
        return block if end <= good or (end - good <= SLOT_BYTES and good > block.part.start) else None

    def _deliver_bought(self, block: Block, offset: int, end: int) -> memoryview:
        block.walk.touched = True
        block.delivered += end - offset
        self._prefetcher.buyer.used(self, block)
        self._prefetcher.stats.bytes_read += end - offset
        return block.view(offset, end)

    def _decide(self, walk: Walk, offset: int, end: int, *, waits: bool, missing: bool) -> None:
        """Have the window decide, and do it."""
        prefetcher = self._prefetcher
        walk.touched, walk.given = True, 0
        decision = walk.window.decide(
            offset,
            end,
            waits=waits,
            missing=missing,
            pace=prefetcher.pace,
            now=trio.current_time(),
            room=prefetcher.room(walk),
        )
        if decision.demand is not None:
            prefetcher.fetch(self, walk, decision.demand, demand=True)
        for wanted in decision.ahead:
            prefetcher.fetch(self, walk, wanted, demand=False)
        if decision.drop_before or decision.drop_after is not None:
            for block in walk.outside(decision.drop_before, decision.drop_after):
                prefetcher.give_up(block)

    def _walk_for(self, offset: int, size: int) -> Walk:
        """The walk that a read belongs to, now the first in the list; a new one if it belongs to none."""
        walk = self._nearest(offset, size)
        if walk is None:
            return self._new_walk(offset, size, self._beginnings.step(offset))
        if not walk.window.goes_on(offset, offset + size) and not self.finds(offset, offset + 1):
            if is_again(walk, offset // SLOT_BYTES):
                return self._new_walk(offset, size, self._beginnings.step(offset), follows=True)
            # Several at once come in any order; one that waits for each answer may be reading backwards.
            if all(part.idle for part in self.parts) and (step := self._beginnings.step(offset)) is not None:
                return self._new_walk(offset, size, step)
        if walk is not self._walks[0]:
            self._walks.remove(walk)
            self._walks.insert(0, walk)
        return walk

    def _new_walk(self, offset: int, size: int, step: int | None, *, follows: bool = False) -> Walk:
        """In place of the one used longest ago if there are too many."""
        if len(self._walks) >= min(WALKS_MAX * self.opened, WALKS_SHARED_MAX):
            self._prefetcher.drop(self._walks.pop())
        end = offset + size
        if step is not None:  # the piece before was read to its end already, maybe by several reads
            end = max([end, *(each.window.front + step for each in self._walks if each.began == offset - step)])
        window = window_for(step, offset, end, size=self.size, part_bytes=self._prefetcher.part_bytes)
        walk = Walk(self.key, self.etag, window, self.parts)
        walk.began = offset
        walk.follows = follows
        self._walks.insert(0, walk)
        return walk

    def _nearest(self, offset: int, size: int) -> Walk | None:
        """The walk whose front is nearest to a read, of those that it may belong to."""
        nearest: Walk | None = None
        shortest = self.size
        for walk in self._walks:
            distance = walk.window.distance(offset, size)
            if distance is not None and distance <= shortest:
                nearest, shortest = walk, distance
        return nearest


def _covering(walk: Walk, offset: int) -> Block | None:
    """The block of a walk that has, or will have, the byte at `offset`."""
    block = walk.blocks.get(offset // SLOT_BYTES)
    return block if block is not None and block.start <= offset < block.end else None
