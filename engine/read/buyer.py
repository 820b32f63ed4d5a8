"""What random reads have bought (purchase.py says when): fetched many GETs at a time, kept, and given up.

Part of the Prefetcher, one an engine; told by ReadStream of each random read and of each read of what was bought. What
is bought takes half of the memory at most, is the first to go when memory is wanted, and goes with the last handle of
its object, or when nobody reads that for a while. Of all that is bought the place that was read longest ago goes first,
and before it one that was read to the end: the kernel has those pages.
"""

from __future__ import annotations

import collections
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import trio

from engine.arena import SLOT_BYTES, Arena
from engine.errors import EngineError
from engine.read.part import Block
from engine.read.purchase import PLACE_BYTES, Account, Purchase, Rate
from engine.read.walk import Walk
from engine.read.window import Range, ReadWindow

if TYPE_CHECKING:
    from engine.read.prefetcher import Prefetcher
    from engine.read.stream import ReadStream

# Of the memory, what may be bought: the other half is for reading ahead, and for writers.
SHARE: Final = 2

# GETs of one purchase at least, if they have a slot each. More of them for the first, which is to show the rate.
PARTS_MIN: Final = 4
PARTS_MIN_FIRST: Final = PLACE_BYTES // SLOT_BYTES

_SLOTS_OF_PLACE: Final = PLACE_BYTES // SLOT_BYTES


class Buyer:
    """All that is bought in one mount.

    Args:
        prefetcher: memory and requests.
        arena: the slots.
        nursery: where purchases run.
        in_flight: bytes that one purchase has on their way at most.
    """

    def __init__(self, prefetcher: Prefetcher, arena: Arena, nursery: trio.Nursery, *, in_flight: int) -> None:
        self._prefetcher: Final = prefetcher
        self._capacity: Final = arena.slots // SHARE
        self._nursery: Final = nursery
        self._in_flight: Final = in_flight
        self._rate: Final = Rate()
        # What is bought, by stream and number of the place, the one that can be done without first.
        self._places: collections.OrderedDict[tuple[ReadStream, int], None] = collections.OrderedDict()
        self._streams: set[ReadStream] = set()

    @property
    def slots(self) -> int:
        """Slots that hold what is bought, or wait for it."""
        if not self._streams:  # mostly, and each read asks
            return 0
        return sum(len(stream.bought.blocks) for stream in self._streams if stream.bought is not None)

    def ended(self, stream: ReadStream, account: Account, offset: int) -> None:
        """A random read has got its bytes: buy what it has paid for."""
        there = {} if stream.bought is None else stream.bought.blocks
        of_place = _slots_of(offset // PLACE_BYTES)
        last = (stream.size - 1) // SLOT_BYTES
        holders = len(self._streams | {stream})
        purchase = account.choose(
            offset,
            self._rate,
            room=self._capacity // holders * SLOT_BYTES,
            there=min(len(there) * SLOT_BYTES, stream.size),
            lacking=sum(index not in there for index in of_place if index <= last) * SLOT_BYTES,
        )
        if purchase is not None:
            self._begin(stream, account, purchase)

    def _begin(self, stream: ReadStream, account: Account, purchase: Purchase) -> None:
        start, end = purchase.wanted
        places = range(start // PLACE_BYTES, -(-end // PLACE_BYTES))
        self._make_room(stream, places, -(-(end - start) // SLOT_BYTES))
        if stream.bought is None:
            window = ReadWindow(stream.size, self._prefetcher.part_bytes)
            stream.bought = Walk(stream.key, stream.etag, window, stream.parts)
        self._streams.add(stream)
        for place in places:
            self._places[stream, place] = None
            self._places.move_to_end((stream, place))
        self._nursery.start_soon(self._buy, stream, stream.bought, account, purchase)

    def used(self, stream: ReadStream, block: Block) -> None:
        """Bytes of a block that was bought were read."""
        place = stream, block.index // _SLOTS_OF_PLACE
        if place not in self._places:
            return
        self._places.move_to_end(place, last=not self._read_out(stream, block))

    def drop(self, stream: ReadStream) -> None:
        """Give up all that was bought of an object."""
        bought, stream.bought = stream.bought, None
        if bought is not None:
            self._prefetcher.drop(bought)
            self._streams.discard(stream)
            for key in [key for key in self._places if key[0] is stream]:
                del self._places[key]

    def reclaim(self) -> bool:
        """Let go of one slot, of the place that can be done without first; False if there is nothing to let go of."""
        for stream, place in list(self._places):
            for block in _blocks(stream, place):
                if block.settled and not block.users:
                    self._prefetcher.give_up(block)
                    return True
            if not _blocks(stream, place):
                del self._places[stream, place]
        return False

    def _read_out(self, stream: ReadStream, block: Block) -> bool:
        """All of the block's place was read."""
        if block.delivered < block.end - block.start:
            return False
        blocks = _blocks(stream, block.index // _SLOTS_OF_PLACE)
        return all(each.delivered >= each.end - each.start for each in blocks)

    def _make_room(self, stream: ReadStream, places: range, slots: int) -> None:
        """Give up what was bought and not read for longest, until so many slots more are within the half."""
        excess = self.slots + slots - self._capacity
        for other, place in list(self._places):
            if excess <= 0:
                return
            if other is stream and place in places:
                continue
            for block in _blocks(other, place):
                excess -= 1
                if block.part.idle:
                    self._prefetcher.abandon(block.part)
                self._prefetcher.give_up(block)
            del self._places[other, place]

    async def _buy(self, stream: ReadStream, bought: Walk, account: Account, purchase: Purchase) -> None:
        """Fetch, many GETs at a time; then it is known what they bring."""
        start, end = purchase.wanted
        size = end - start
        most = min(PLACE_BYTES, self._prefetcher.part_bytes)
        slots = min(size // (PARTS_MIN if self._rate.known else PARTS_MIN_FIRST), most) // SLOT_BYTES
        part = SLOT_BYTES << max(1, slots).bit_length() - 1  # a power of two: none is of two places
        ranges = iter([Range(at, min(at + part, end)) for at in range(start, end, part)])
        began, came = trio.current_time(), [0]
        async with trio.open_nursery() as side_by_side:
            for _ in range(min(max(1, self._in_flight // part), -(-size // part))):
                side_by_side.start_soon(self._fetch, stream, bought, ranges, came)
        seconds = trio.current_time() - began
        enough = came[0] * 2 >= size
        if enough:
            self._rate.bought(came[0], seconds, account.wait)
        account.ended(purchase, seconds if enough else None)

    async def _fetch(self, stream: ReadStream, bought: Walk, ranges: Iterator[Range], came: list[int]) -> None:
        for wanted in ranges:
            if stream.bought is not bought or (stream, wanted.start // PLACE_BYTES) not in self._places:
                continue  # it was given up before it was begun
            for part in self._prefetcher.fetch(stream, bought, wanted, demand=False):
                try:
                    await part.reach(part.end)
                except EngineError:
                    return  # whoever reads there tries again, and is told
                came[0] += part.end - part.start


def _slots_of(place: int) -> range:
    return range(place * _SLOTS_OF_PLACE, (place + 1) * _SLOTS_OF_PLACE)


def _blocks(stream: ReadStream, place: int) -> list[Block]:
    if stream.bought is None:
        return []
    blocks = stream.bought.blocks
    return [blocks[index] for index in _slots_of(place) if index in blocks]
