"""Bytes on their way: a Part is one GET in flight or done, its Blocks are the slots that it fills.

Made and filled by engine/read/prefetcher.py; awaited and read by engine/read/stream.py. Never talks to S3 or to the
arena itself.

The byte at an object's offset `o` always lies at `o % SLOT_BYTES` of its slot, wherever a part begins: so a read that
is aligned as the kernel aligns them is one view. A block belongs to a walk (walk.py) while it can be found there;
afterwards it is *detached*, and its slot goes back when nobody waits for it and nothing is written to it any more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import trio

from engine.arena import SLOT_BYTES, Slot
from engine.errors import EngineError

if TYPE_CHECKING:
    from engine.read.walk import Walk


class Block:
    """The bytes from `start` to before `end` of an object, in one slot. `slot` is None while it waits for one."""

    __slots__ = ("delivered", "detached", "end", "part", "slot", "start", "users", "walk")

    def __init__(self, walk: Walk, start: int, end: int, slot: Slot | None) -> None:
        self.walk = walk
        self.start = start
        self.end = end
        self.slot = slot
        self.part: Part
        self.users = 0  # reads that wait for bytes of this block
        self.delivered = 0  # bytes given to reads; a byte read twice counts twice
        self.detached = False

    @property
    def index(self) -> int:
        """Which slot's worth of the object this is."""
        return self.start // SLOT_BYTES

    @property
    def settled(self) -> bool:
        """Nothing is written to the slot any more: its bytes are good, or its part is over."""
        return self.slot is not None and (self.part.good >= self.end or self.part.over)

    def view(self, start: int, end: int) -> memoryview:
        """These bytes of the object, which must be good. Valid until the caller's next await."""
        assert self.slot is not None
        base = self.start - self.start % SLOT_BYTES
        return self.slot.view[start - base : end - base]

    def detach(self) -> None:
        """No read will find this block any more."""
        self.detached = True
        if self.walk.blocks.get(self.index) is self:
            del self.walk.blocks[self.index]


class Part:
    """One range of one object: how much of it has come, and who waits for how much.

    Args:
        blocks: adjoining, in order, at least one.
    """

    __slots__ = ("_waiters", "blocks", "end", "error", "failed", "good", "hungry", "over", "scope", "start")

    def __init__(self, blocks: list[Block]) -> None:
        self.blocks: Final = blocks
        self.start: Final = blocks[0].start
        self.end: Final = blocks[-1].end
        self.good = self.start  # all before this offset has come
        self.hungry = blocks[0].slot is None  # it waits for its first slot
        self.over = False  # its task has ended, well or not
        self.error: EngineError | None = None
        self.failed: Callable[[EngineError], None] = lambda _error: None  # told of what its GET failed with
        self.scope: Final = trio.CancelScope()
        self._waiters: list[tuple[int, trio.Event]] = []
        for block in blocks:
            block.part = self

    @property
    def idle(self) -> bool:
        """No read waits for any of it."""
        return not any(block.users for block in self.blocks)

    async def reach(self, end: int) -> None:
        """Wait until all before `end` has come. Raises what the part failed with."""
        while self.good < end:
            if self.error is not None:
                raise self.error
            event = trio.Event()
            self._waiters.append((end, event))
            await event.wait()

    def progress(self, good: int) -> None:
        """All before the offset `good` has come."""
        self.good = good
        if self._waiters:
            still = []
            for end, event in self._waiters:
                if end <= good:
                    event.set()
                else:
                    still.append((end, event))
            self._waiters = still

    def fail(self, error: EngineError) -> None:
        """Nothing more will come: who waits gets the error. The first error counts."""
        if self.error is None:
            self.error = error
        waiters, self._waiters = self._waiters, []
        for _, event in waiters:
            event.set()
