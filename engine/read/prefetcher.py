"""The reading side of an engine's memory and requests: starts GETs into slots, gives slots back, keeps to the budget.

run.py makes one Prefetcher an engine; engine/fs opens a ReadStream for each file handle, and handles of one version of
an object get the same one. What to fetch is decided in window.py; this module carries it out. Never retries (the client
does) and never looks into the bytes.

All happens in one trio thread, and each change below is complete between two awaits. Progress under any number of
readers, even with one slot: a read waits for one block at a time and holds no other meanwhile; a block that nobody
waits for goes back as soon as its bytes have come while somebody wants memory (`settle`); a block that somebody waits
for is read, and thereby free, when its GET ends. So each slot is always on its way to the first in line.
"""

import collections
import functools
import logging
from collections.abc import Callable
from typing import Final

import trio

from engine.arena import SLOT_BYTES, Arena
from engine.errors import BadHandle, EngineError
from engine.read.buyer import Buyer
from engine.read.pace import Pace
from engine.read.part import Block, Part
from engine.read.stream import ReadStream
from engine.read.walk import Walk
from engine.read.window import CALM_BYTES, WIDTH_BYTES_MAX, Range
from engine.s3.interface import RangeReader
from engine.spec import MiB
from engine.stats import EngineStats

log = logging.getLogger(__name__)

# How often to call `trim`. A stream that nobody read from in between gives its memory back, so none holds any for
# longer than twice this; a program that pauses for less keeps what was read ahead for it.
TRIM_SECONDS: Final = 3.0

# A GET that nobody needs any more is left to end if less than this is to come: to cancel it costs its connection, and
# a new one (TCP and TLS handshakes, at S3's usual 20 ms and 90 MB/s) costs as much time as 2 MiB.
FINISH_BYTES_MAX: Final = 2 * MiB


class Prefetcher:
    """All reading of one engine.

    Args:
        client: S3.
        arena: the slots.
        nursery: where GETs run; cancelling it ends them all.
        part_bytes: the largest range of one GET, in bytes.
        stats: bytes_read and arena_bytes are kept here.
        width_max: bytes ahead that the engine can use, whatever the memory; one walk has no more.
    """

    def __init__(
        self,
        client: RangeReader,
        arena: Arena,
        nursery: trio.Nursery,
        *,
        part_bytes: int,
        stats: EngineStats,
        width_max: int = WIDTH_BYTES_MAX,
    ) -> None:
        self.stats: Final = stats
        self.part_bytes: Final = part_bytes
        self._width_max: Final = width_max
        self.pace: Final = Pace()
        self._client = client
        self._arena = arena
        self._nursery = nursery
        # Streams with blocks, the one that started a GET longest ago first.
        self._holding: collections.OrderedDict[ReadStream, None] = collections.OrderedDict()
        self._ahead: set[Walk] = set()  # walks that read ahead, and share the memory
        self._streams: dict[tuple[str, str, int], ReadStream] = {}
        self.buyer: Final = Buyer(self, arena, nursery, in_flight=width_max)
        arena.add_reclaimer(self._reclaim)

    def open(self, key: str, etag: str, size: int) -> ReadStream:
        """A stream for one more file handle: all of one version of an object share it. To be closed once for each.

        `size` in bytes. No I/O; nothing is held until the first read.
        """
        version = key, etag, size
        stream = self._streams.get(version)
        if stream is None:
            stream = ReadStream(self, key, etag, size)
            if etag:  # else two of a name may be of two versions
                self._streams[version] = stream
        stream.opened += 1
        return stream

    def open_ahead(self, key: str, etag: str, size: int, failed: Callable[[EngineError], None]) -> ReadStream | None:
        """The same, of an object of at most SLOT_BYTES that is fetched at once. None: there is no memory to spare.

        Half of the memory is left to files that are open; what random reads have bought is of that half, and goes when
        it is wanted. `failed` is told what the GET failed with.
        """
        if (self._arena.available + self.buyer.slots) * 2 <= self._arena.slots:
            return None
        stream = self.open(key, etag, size)
        if stream.fetch_ahead(failed):
            return stream
        stream.close()
        return None

    def trim(self) -> None:
        """Have streams that were idle since the last call give up what they hold, then give pages back to the system.

        To be called every TRIM_SECONDS.
        """
        for stream in list(self._holding):
            if stream.rest():
                del self._holding[stream]
        self._arena.trim()

    def close(self) -> None:
        """No stream will be read any more. Streams are closed by their owners."""
        self._arena.remove_reclaimer(self._reclaim)

    def room(self, walk: Walk) -> int:
        """Bytes that a walk may have ahead now: its fair share of what all may, and of the arena.

        Of the arena less a slot for the read itself. All may have twice `width_max`, as they are not all as fast.
        """
        if walk.window.walking:
            self._ahead.add(walk)
        walks = max(1, len(self._ahead))
        useful = self._width_max if walks == 1 else max(2 * self._width_max // walks, min(CALM_BYTES, self._width_max))
        return min(useful, ((self._arena.slots - self.buyer.slots) // walks - 1) * SLOT_BYTES)

    def fetch(self, stream: ReadStream, walk: Walk, wanted: Range, *, demand: bool) -> list[Part]:
        """Start GETs for a range, leaving out what is there or coming; returns them.

        A demand gets its first block in any case, if need be when there is memory; whatever finds no slot else is left
        out, and the window told.
        """
        group: list[Block] = []
        parts: list[Part] = []
        for start, end in _slots_of(wanted):
            first = demand and start == wanted.start
            there = walk.blocks.get(start // SLOT_BYTES)
            if not first and (there is not None or stream.finds(start, end)):
                parts += self._launch(walk, group)
                group = []
                continue
            if there is not None:
                self.give_up(there)  # a random read began this slot elsewhere
            slot = self._arena.acquire_nowait()
            if slot is None and not first:
                walk.window.lost(start)
                break
            group.append(Block(walk, start, end, slot))
            walk.blocks[start // SLOT_BYTES] = group[-1]
        parts += self._launch(walk, group)
        self._holding[stream] = None
        self._holding.move_to_end(stream)
        self._count()
        return parts

    def settle(self, block: Block) -> None:
        """Give a block's slot back if nobody can need it: to be called when any of the reasons to keep it goes."""
        if block.users or not block.settled:
            return
        if not block.detached:
            if not self._arena.wanted:
                return
            block.walk.window.lost(block.start)
            block.detach()
        slot, block.slot = block.slot, None
        assert slot is not None
        self._arena.release(slot)
        self._count()

    def give_up(self, block: Block) -> None:
        """No read shall find this block any more; its slot goes back when it can."""
        block.detach()
        self.settle(block)

    def drop(self, walk: Walk) -> None:
        """A walk is over: give up its blocks, and end its GETs except those that reads still wait for."""
        self._ahead.discard(walk)
        for part in [part for part in walk.parts if part.blocks[0].walk is walk and part.idle]:
            self.abandon(part)
        for block in list(walk.blocks.values()):
            self.give_up(block)

    def abandon(self, part: Part) -> None:
        """Nobody needs the rest of this GET: cancel it, unless its end is near."""
        if part.hungry or part.end - part.good > FINISH_BYTES_MAX:
            part.scope.cancel()

    def _launch(self, walk: Walk, blocks: list[Block]) -> list[Part]:
        if not blocks:
            return []
        part = Part(blocks)
        walk.parts.add(part)
        self._nursery.start_soon(self._run, walk, part)
        return [part]

    async def _run(self, walk: Walk, part: Part) -> None:
        """The task of one part. Errors go to the reads that wait; without any they are not worth more than a line."""
        try:
            with part.scope:
                await self._fill(walk, part)
        except EngineError as error:
            log.debug("GET of %s, bytes %d to %d: %s", walk.key, part.start, part.end, error)
            part.fail(error)
            part.failed(error)
        finally:
            self._end(walk, part)

    async def _fill(self, walk: Walk, part: Part) -> None:
        await trio.lowlevel.checkpoint_if_cancelled()
        if part.hungry:
            part.blocks[0].slot = await self._arena.acquire()
            part.hungry = False
            self._count()
        for start in range(part.start, part.end, self.part_bytes):
            end = min(start + self.part_bytes, part.end)
            began = trio.current_time()
            await self._client.get_object(
                walk.key,
                offset=start,
                buffers=_buffers(part.blocks, start, end),
                if_match=walk.etag,
                progress=functools.partial(self._progress, part, start),
            )
            now = trio.current_time()
            self.pace.finished(end - start, now - began, now)

    def _progress(self, part: Part, base: int, count: int) -> None:
        part.progress(base + count)
        if self._arena.wanted:
            for block in part.blocks:
                self.settle(block)

    def _end(self, walk: Walk, part: Part) -> None:
        part.over = True
        walk.parts.discard(part)
        if part.good < part.end:
            part.fail(BadHandle("reading was stopped"))  # who waits has been told the reason if there was one
            walk.window.lost(part.good)
        for block in part.blocks:
            if part.good < block.end:
                block.detach()
            self.settle(block)

    def _reclaim(self) -> bool:
        """Let go of one block that nobody waits for: bought, or else of the stream that has been quiet longest."""
        if self.buyer.reclaim():
            return True
        for stream in list(self._holding):
            block = stream.least_needed()
            if block is not None:
                block.walk.window.lost(block.start)
                self.give_up(block)
                return True
        return False

    def forget(self, stream: ReadStream) -> None:
        """The stream is closed."""
        self._holding.pop(stream, None)
        version = stream.key, stream.etag, stream.size
        if self._streams.get(version) is stream:
            del self._streams[version]

    def _count(self) -> None:
        self.stats.arena_bytes = self._arena.in_use * SLOT_BYTES


def _slots_of(wanted: Range) -> list[Range]:
    """A range cut at slot boundaries."""
    first = wanted.start - wanted.start % SLOT_BYTES
    return [
        Range(max(start, wanted.start), min(start + SLOT_BYTES, wanted.end))
        for start in range(first, wanted.end, SLOT_BYTES)
    ]


def _buffers(blocks: list[Block], start: int, end: int) -> list[memoryview]:
    """Where the object's bytes from `start` to before `end` belong."""
    return [
        block.view(max(start, block.start), min(end, block.end))
        for block in blocks
        if block.start < end and start < block.end
    ]
