"""One walk through an object: its window (the rules) and its blocks (the bytes that are there or coming).

Owned by engine/read/stream.py, filled by engine/read/prefetcher.py. Never waits and starts nothing itself.
"""

from __future__ import annotations

import collections
from typing import Final

from engine.read.part import Block, Part
from engine.read.strides import Window

# Blocks that were read to their end and are kept for a seek backwards: one, so that a program which reads a little
# again (a record across a boundary) costs no GET. The kernel's page cache holds what was read longer ago.
BLOCKS_BEHIND: Final = 1

# Slots that a walk knows to have been read and given up: as many as are near its front (window.py), and some more.
PASSED_MAX: Final = 16


class Walk:
    """Blocks of one walk, by slot number of the object; a block can be found here until it is detached.

    Args:
        key: the object's key.
        etag: its version.
        window: the rules.
        parts: GETs in flight of the whole stream; shared with its other walks.
    """

    __slots__ = (
        "_behind",
        "began",
        "blocks",
        "etag",
        "follows",
        "given",
        "key",
        "parts",
        "passed",
        "touched",
        "window",
    )

    def __init__(self, key: str, etag: str, window: Window, parts: set[Part]) -> None:
        self.key: Final = key
        self.etag: Final = etag
        self.window: Final[Window] = window
        self.parts: Final = parts
        self.blocks: Final[dict[int, Block]] = {}
        self.began = 0  # the first byte of the first read
        self.follows = False  # it began where another walk had been: it wants what that one is done with
        self.given = 0  # blocks it got from other walks since somebody has read in it (sharing.py)
        self.touched = True  # somebody has read since this was set to False
        self.passed: Final[collections.deque[int]] = collections.deque(maxlen=PASSED_MAX)  # read to the end and left
        self._behind: Final[collections.deque[Block]] = collections.deque()

    def deliver(self, block: Block, start: int, end: int) -> tuple[memoryview, Block | None]:
        """The view of good bytes for a read, and a block that can go now since later ones were read to their end."""
        view = block.view(start, end)
        block.delivered += end - start
        if end < block.end or block.delivered < block.end - block.start or block.detached:
            return view, None
        if block not in self._behind:
            self._behind.append(block)
        if len(self._behind) <= BLOCKS_BEHIND:
            return view, None
        passed = self._behind.popleft()
        self.passed.append(passed.index)
        return view, passed

    def outside(self, before: int, after: int | None) -> list[Block]:
        """Blocks that end at or before one offset of the object, or begin at another or behind it."""
        return [
            block
            for block in self.blocks.values()
            if block.end <= before or (after is not None and block.start >= after)
        ]

    def least_needed(self) -> Block | None:
        """The block that can be done without most easily: read already, else the one read last if all goes on."""
        spare = [block for block in self.blocks.values() if block.settled and not block.users]
        read = [block for block in self._behind if block in spare]
        if read or not spare:
            return read[0] if read else None
        return max(spare, key=lambda block: abs(block.start - self.window.front))
