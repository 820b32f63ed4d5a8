"""Readers of one object that come one behind the other: which of them gets the bytes that another is done with.

Used by engine/read/stream.py, which all handles of one version of an object share. So readers side by side are one walk
in any case, whoever of them the kernel asks for. One that began later is a walk of its own; were each block given up as
soon as the first has read it, the second would fetch the same again. Instead the block is handed on, while it lies no
further ahead of the second than that one may read ahead: so the second costs no memory beyond what is its own to use,
and comes to where everything is there already. One that does not read on is given GIVEN_MAX. Pure; never waits.
"""

from collections.abc import Callable, Sequence
from typing import Final

from engine.read.part import Block
from engine.read.walk import Walk
from engine.read.window import ReadWindow

# Blocks for a walk that has not been read in meanwhile: one that is as much slower, or has only looked at something
# again and will never come, costs no more than this.
GIVEN_MAX: Final = 16


def is_again(walk: Walk, index: int) -> bool:
    """A read of a slot that is not there any more belongs to a reader behind this walk: it has been read already.

    What the kernel reads ahead in another order has not, however far back it lies.
    """
    return index in walk.passed


def hand_on(block: Block, walks: Sequence[Walk], room: Callable[[Walk], int]) -> bool:
    """Give a block that its walk is done with to another that will come to it; False if there is none.

    Args:
        block: read to its end.
        walks: all of the stream.
        room: bytes that a walk may have ahead now.
    """
    if block.detached:
        return False
    for walk in walks:
        front = walk.window.front
        if not isinstance(walk.window, ReadWindow):
            continue
        if (
            front < block.end
            and walk is not block.walk
            and (walk.follows or walk.window.walking)
            and walk.given < GIVEN_MAX
            and block.index not in walk.blocks
            and block.end - front <= room(walk)
        ):
            walk.given += 1
            del block.walk.blocks[block.index]
            block.walk = walk
            walk.blocks[block.index] = block
            return True
    return False
