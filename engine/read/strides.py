"""Reads that are equally far apart, and reading backwards: how they are seen, and what is fetched ahead of them.

Used by engine/read/stream.py: a walk that begins is told to `Beginnings`, and gets the window that fits its step from
`window_for`; the windows here have the same rules to be asked as ReadWindow (window.py). Pure; never waits.

*Seen* is a stride when two steps in a row are equal.

* Steps that leave more than a slot between two pieces: only the pieces are fetched (`StrideWindow`), each by one GET,
  START_PIECES of them ahead, and twice as many whenever one that was asked for ahead had to be waited for: so as many
  as bandwidth times delay needs.
* Smaller steps: all is fetched, as for one who reads everything (`ReadWindow`). What lies between costs a millisecond a
  MiB, less than a GET for each piece.
* Backwards in smaller steps, or in none: the same mirrored (`BackwardWindow`).
"""

import math
from typing import ClassVar, Final, Protocol

from engine.arena import SLOT_BYTES
from engine.read.pace import Pace
from engine.read.window import NEAR_READS, NOTHING, Decision, Range, ReadWindow

# Pieces ahead when a stride has just been seen.
START_PIECES: Final = 2

# A GET costs an engine some 500 us, S3's first byte 20 ms: 40 pieces are on their way when the engine is busy.
PIECES_MAX: Final = 64


class Window(Protocol):
    """What a walk asks: see ReadWindow."""

    backwards: ClassVar[bool]

    @property
    def front(self) -> int:
        """Where the next read begins if all goes on (backwards: where it ends)."""
        ...

    @property
    def walking(self) -> bool:
        """It is worth reading ahead."""
        ...

    @property
    def width(self) -> int:
        """Bytes to have ahead of the front."""
        ...

    def distance(self, offset: int, size: int) -> int | None:
        """How far from the front a read is, None if it is not of this walk."""
        ...

    def goes_on(self, offset: int, end: int) -> bool:
        """A read of this walk goes in its direction."""
        ...

    def demand(self, offset: int, end: int) -> Range:
        """What to fetch for a read."""
        ...

    def decide(
        self, offset: int, end: int, *, waits: bool, missing: bool, pace: Pace, now: float, room: int
    ) -> Decision:
        """What to do now that these bytes are read."""
        ...

    def lost(self, start: int) -> None:
        """What was asked ahead from `start` on is gone."""
        ...

    def rest(self) -> None:
        """Nobody has read for a while and all is given up."""
        ...


class Beginnings:
    """Where the last walks through an object began."""

    __slots__ = ("_last", "_step")

    def __init__(self) -> None:
        self._last: int | None = None
        self._step: int | None = None

    def step(self, offset: int) -> int | None:
        """A walk begins at `offset`: how far from the last one, if that was as far from the one before; else None."""
        step = None if self._last is None else offset - self._last
        seen = step if step == self._step else None
        self._last, self._step = offset, step
        return seen or None


def window_for(step: int | None, offset: int, end: int, *, size: int, part_bytes: int) -> Window:
    """The window of a walk that begins with a read, `step` bytes from where the last one began; None: that is unknown.

    Args:
        step: negative for backwards.
        offset: the first byte of the read.
        end: where its piece ends, as far as is known.
        size: the object's, in bytes.
        part_bytes: the largest GET.
    """
    if step is None:
        return ReadWindow(size, part_bytes)
    if abs(step) - (end - offset) > SLOT_BYTES:
        return StrideWindow(size, step, offset, end)
    if step > 0:
        return ReadWindow(size, part_bytes, begun=True, reach=NEAR_READS * step)
    return BackwardWindow(size, part_bytes, reach=NEAR_READS * -step)


class StrideWindow:
    """Pieces of an object that are equally far apart.

    Args:
        size: the object's, in bytes.
        step: from one piece to the next, in bytes; negative for backwards.
        offset: where the piece begins that is read now.
        end: where it ends, as far as is known.
    """

    __slots__ = ("_asked", "_at", "_depth", "_piece", "_round", "_size", "_step")

    backwards: ClassVar[bool] = False  # the front is what is furthest, whatever the direction

    def __init__(self, size: int, step: int, offset: int, end: int) -> None:
        self._size = size
        self._step = step
        self._at = offset  # where the furthest piece that was read begins
        self._piece = end - offset  # bytes; pieces are as long as the longest read at the beginning of one
        self._asked = 0  # pieces ahead that were asked for
        self._depth = START_PIECES  # pieces to have ahead
        self._round = 0  # the depth may change when so many pieces more were read

    @property
    def front(self) -> int:
        """The end of the furthest piece."""
        return self._at + self._piece

    @property
    def walking(self) -> bool:
        """It would not be a stride else."""
        return True

    @property
    def width(self) -> int:
        """Bytes to have ahead, memory allowing."""
        return self._depth * self._piece

    def distance(self, offset: int, size: int) -> int | None:
        """See Window. Who reads on where a piece ends is somebody else, of several who each read a part of the file."""
        ahead, within = self._piece_of(offset)
        return within if -1 <= ahead <= self._asked + 1 and within < self._piece else None

    def goes_on(self, offset: int, end: int) -> bool:
        """See Window."""
        return True

    def demand(self, offset: int, end: int) -> Range:
        """What to fetch for a read: the rest of its piece."""
        _, within = self._piece_of(offset)
        return Range(offset, min(max(end, offset - within + self._piece), self._size))

    def decide(
        self, offset: int, end: int, *, waits: bool, missing: bool, pace: Pace, now: float, room: int
    ) -> Decision:
        """See Window. More GETs side by side do not slow each other down here: they bring little."""
        ahead, within = self._piece_of(offset)
        late = waits and not missing and ahead > 0
        if not within:
            self._piece = min(max(self._piece, end - offset), abs(self._step))
        demand = self.demand(offset, end) if missing else None
        if ahead > 0:
            self._at += ahead * self._step
            self._asked = max(0, self._asked - ahead)
            self._round -= ahead
        if late and self._round <= 0:
            self._depth = min(2 * self._depth, PIECES_MAX)
            self._round = self._asked + 1
        slots = 1 + self._piece // SLOT_BYTES
        depth = min(self._depth, room // (slots * SLOT_BYTES))
        ranges = []
        while self._asked < depth:
            start = self._at + (self._asked + 1) * self._step
            if not 0 <= start < self._size:
                break
            ranges.append(Range(start, min(start + self._piece, self._size)))
            self._asked += 1
        before, after = self._done() if ahead > 0 else (0, None)
        return Decision(demand, tuple(ranges), before, after)

    def lost(self, start: int) -> None:
        """See Window."""
        ahead, _ = self._piece_of(start)
        self._asked = max(0, min(self._asked, ahead - 1))
        self._depth = max(START_PIECES, self._depth // 2)

    def rest(self) -> None:
        """See Window."""
        self._asked = 0
        self._depth = START_PIECES

    def _piece_of(self, offset: int) -> tuple[int, int]:
        """How many pieces ahead of the furthest one an offset lies, and how many bytes from where its piece begins."""
        distance = offset - self._at
        ahead = distance // self._step if self._step > 0 else math.ceil(-distance / -self._step)
        return ahead, distance - ahead * self._step

    def _done(self) -> tuple[int, int | None]:
        """Pieces before the one that is read, but for the last of them: where they lie, before and after."""
        if self._step > 0:
            return max(0, self._at - self._step), None
        return 0, self._at - self._step + self._piece


class BackwardWindow:
    """A walk backwards: ReadWindow seen in a mirror, which stands where the object's last slot ends.

    Args:
        object_size: bytes, at least 1.
        part_bytes: the largest GET.
        reach: how far apart reads of this walk may be, in bytes.
    """

    __slots__ = ("_edge", "_mirrored", "_size")

    backwards: ClassVar[bool] = True

    def __init__(self, object_size: int, part_bytes: int, *, reach: int) -> None:
        self._size = object_size
        self._edge = object_size + -object_size % SLOT_BYTES  # slots are slots in the mirror, too
        self._mirrored = ReadWindow(self._edge, part_bytes, begun=True, reach=reach)

    @property
    def front(self) -> int:
        """The beginning of the furthest read."""
        return self._edge - self._mirrored.front

    @property
    def walking(self) -> bool:
        """See Window."""
        return self._mirrored.walking

    @property
    def width(self) -> int:
        """See Window."""
        return self._mirrored.width

    def distance(self, offset: int, size: int) -> int | None:
        """See Window."""
        return self._mirrored.distance(self._edge - offset - size, size)

    def goes_on(self, offset: int, end: int) -> bool:
        """See Window."""
        return self._mirrored.goes_on(self._edge - end, self._edge - offset)

    def demand(self, offset: int, end: int) -> Range:
        """See Window."""
        return self._back(self._mirrored.demand(self._edge - end, self._edge - offset))

    def decide(
        self, offset: int, end: int, *, waits: bool, missing: bool, pace: Pace, now: float, room: int
    ) -> Decision:
        """See Window."""
        start, stop = self._edge - end, self._edge - offset
        seen = self._mirrored.decide(start, stop, waits=waits, missing=missing, pace=pace, now=now, room=room)
        if seen is NOTHING:
            return NOTHING
        return Decision(
            self._back(seen.demand) if seen.demand else None,
            tuple(self._back(wanted) for wanted in seen.ahead),
            0,
            self._edge - seen.drop_before if seen.drop_before else None,
        )

    def lost(self, start: int) -> None:
        """See Window."""
        self._mirrored.lost(self._edge - start + start % SLOT_BYTES - SLOT_BYTES)

    def rest(self) -> None:
        """See Window."""
        self._mirrored.rest()

    def _back(self, seen: Range) -> Range:
        return Range(self._edge - seen.end, min(self._edge - seen.start, self._size))
