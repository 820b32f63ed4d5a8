"""What to fetch for a read, what to fetch ahead of it, and what can go: the rules of reading ahead, without any I/O.

Called by engine/read/stream.py for each read of a program (or of the kernel's own read-ahead) with what is known at
that moment; the stream then carries the Decision out. Never waits, never knows of slots, GETs or clocks.

A ReadWindow is one *walk* through an object: reads that follow each other. It has a front (the end of the furthest
read so far) and a width, the bytes to have ahead of the front, asked for and not yet read:

        given up        read, kept a while        front        asked ahead         ahead_end
    ────────────────┼───────────────────────────────┼────────────────────────────────┼──────────────
                    └ drop_before                   └──────────── width ─────────────┘

*Is it a walk?* A first read alone does not tell. It fetches what it asks for, rounded to RANDOM_BYTES (a whole slot
if it starts at the object's first byte, as most walks do; all of an object that fits in a slot, so that a small file
is one GET). From the second read on that moves the front on, it is a walk, and the window opens.

*What belongs to it?* The kernel reads ahead by itself, up to eight requests at once, and they arrive in any order. So
a read belongs to the walk if it starts at most NEAR_READS times its own length away from the front on either side, or
anywhere in what was asked ahead. The measure is the read's length because it scales: 1 MiB reads of the kernel's
read-ahead may come 8 MiB out of order, random 16 KiB reads of a database that far apart have nothing in common.
A read between two walks belongs to the nearer one.
Whatever belongs to none starts a new one, and the stream drops the walk that was used longest ago.

*A seek forwards* inside the window moves the front and leaves the bytes between for late readers, until the front is
NEAR_READS reads beyond them. A read behind the front changes nothing.

*How wide?* As bandwidth times delay needs and no wider: buffers that stay in the CPU's cache beat large windows. The
window opens with START_BYTES and doubles a round (when the front has reached what was asked after the last change): up
to CALM_BYTES in any case, beyond only if a read had to wait for bytes that had been asked for ahead, and GETs take
hardly longer than they took when few were running (`slowdown`, see pace.py). On a fast server or a busy CPU more GETs
in flight only make each of them slower, so the window stays small there, and shrinks again if it grew before that was
known; against 20 ms and 90 MB/s a connection they do not, so it grows. The walk's fair share of memory (`room`)
bounds the width at any time.

*How large a GET?* A PARTS_CALM-th of the width while that is small, later a PARTS_AHEAD-th, rounded down to a power of
two of slots: small GETs soon after the start, larger and more of them when the window is wide; never more than the
mount's read-part-size.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

from engine.arena import SLOT_BYTES
from engine.spec import KiB, MiB

# A random read fetches whole blocks of this size. 128 KiB cost 1.4 ms more than nothing on a connection of S3's usual
# 90 MB/s, a tenth of the time to its first byte, and spare the next request if the program reads nearby.
RANDOM_BYTES: Final = 128 * KiB

# The kernel has at most 12 requests of a connection's read-ahead in flight (max_background), 8 with read_ahead_kb 4096.
NEAR_READS: Final = 8

# The first window: one GET beyond the read, since two reads in a row may still be chance.
START_BYTES: Final = MiB

# Wide enough for a server without delay. Measured there beside each other, through the kernel, on two cores that had
# other work too: 1 MiB x 4 gave 545 MB/s at 1.01 CPU s/GB, 2 MiB x 4 664 at 0.82, 4 MiB x 3 565 at 0.87, 8 MiB x 3 550
# at 0.77; peaks of memory were the same up to 4 MiB x 3. With four readers 2 MiB x 4 gave 523, 1 MiB x 4 340.
CALM_BYTES: Final = 8 * MiB

# What one engine can use: 1 GB/s, its most through one kernel session, times the 100 ms that a GET of 8 MiB takes on a
# connection of 90 MB/s.
WIDTH_BYTES_MAX: Final = 96 * MiB

# How long a GET of 8 MiB takes on one of S3's connections: what is read ahead covers that.
GET_SECONDS: Final = 0.1

# GETs that fill a wide window: a connection brings only so much, so many are needed. Measured with 20 ms and 90 MB/s a
# connection: 4 MiB x 12 gave 910 MB/s, 8 MiB x 12 1,000.
PARTS_AHEAD: Final = 12

# GETs that fill a window which is not wide yet, of up to PART_CALM_BYTES each: a GET costs 200 us of CPU and money.
PARTS_CALM: Final = 4
PART_CALM_BYTES: Final = 2 * MiB

# Times the shortest duration of a GET: below the first the window may grow, above the second it shrinks. The gap
# between them holds a window still that has found its width (one doubling at most doubles the slowdown).
SLOWDOWN_TO_GROW: Final = 2.0
SLOWDOWN_TO_SHRINK: Final = 4.5


class Range(NamedTuple):
    """Bytes of an object from `start` to before `end`."""

    start: int
    end: int


def width_for(gbps: int | None) -> int:
    """How wide any window may become for `maximum-throughput-gbps`: bytes. None: WIDTH_BYTES_MAX, the bound anyway."""
    if gbps is None:
        return WIDTH_BYTES_MAX
    return min(WIDTH_BYTES_MAX, max(CALM_BYTES, int(gbps * 1e9 / 8 * GET_SECONDS)))


@dataclass(frozen=True, slots=True)
class Decision:
    """What a stream should do now. `drop_before`: blocks that end at or before it can go, read or not."""

    demand: Range | None = None  # for this read
    ahead: tuple[Range, ...] = ()  # each one GET, nearest first
    drop_before: int = 0


NOTHING: Final = Decision()


class ReadWindow:
    """One walk through an object. `decide` must be told every read that belongs to it, in the order they come.

    Args:
        object_size: bytes, at least 1.
        part_bytes: the largest GET, in bytes.
    """

    __slots__ = ("_ahead_end", "_front", "_moves", "_part_max", "_reach", "_round_ends", "_size", "_swept", "_width")

    def __init__(self, object_size: int, part_bytes: int) -> None:
        self._size = object_size
        self._part_max = max(SLOT_BYTES, part_bytes // SLOT_BYTES * SLOT_BYTES)
        self._front = 0  # the end of the furthest read
        self._ahead_end = 0  # up to here all was asked for that will be without a read's demand; not below the front
        self._width = START_BYTES // 2  # doubled when it opens
        self._moves = 0  # reads that moved the front
        self._reach = 0  # the longest read so far times NEAR_READS, bytes
        self._round_ends = 0  # the width may change when the front is here
        self._swept = 0

    @property
    def walking(self) -> bool:
        """Two reads have moved the front: it is worth reading ahead."""
        return self._moves >= 2

    @property
    def width(self) -> int:
        """Bytes to have ahead of the front, memory allowing."""
        return self._width

    def distance(self, offset: int, size: int) -> int | None:
        """How far from the front a read of `size` bytes at `offset` begins, None if it is not of this walk."""
        near = max(NEAR_READS * size, self._reach) if self.walking else NEAR_READS * size
        if self._front - near <= offset <= self._ahead_end + near:
            return abs(offset - self._front)
        return None

    def demand(self, offset: int, end: int) -> Range:
        """What to fetch for a read of these bytes that are not there and were not asked for."""
        if self._size <= SLOT_BYTES:
            return Range(0, self._size)
        whole = SLOT_BYTES if self.walking or offset == 0 else RANDOM_BYTES
        return Range(offset - offset % RANDOM_BYTES, min(end + -end % whole, self._size))

    def decide(self, offset: int, end: int, *, waits: bool, missing: bool, slowdown: float, room: int) -> Decision:
        """What to do now that bytes from `offset` to before `end` are read.

        Args:
            offset: the first byte, inside the object.
            end: behind the last byte, at most the object's size.
            waits: not all of the bytes are there yet.
            missing: the first of them was not even asked for; implies `waits`.
            slowdown: how many times as long as the shortest ones GETs take now.
            room: bytes of memory that this walk may have ahead.
        """
        moves = end > self._front
        late = waits and end <= self._ahead_end
        if moves:
            self._front = end
            self._moves += 1
            self._reach = max(self._reach, NEAR_READS * (end - offset))
        demand = self.demand(offset, end) if missing else None
        self._ahead_end = max(self._ahead_end, self._front, demand.end if demand else 0)
        if not (moves and self.walking):
            return Decision(demand) if demand else NOTHING
        if self._front >= self._round_ends:
            self._change_width(late=late, slowdown=slowdown)
        ahead = self._ahead(min(self._width, room))
        drop_before = self._sweep()
        return Decision(demand, ahead, drop_before) if demand or ahead or drop_before else NOTHING

    def lost(self, start: int) -> None:
        """What was asked ahead from `start` on is gone (memory was needed, a GET failed): ask again, and for less."""
        self._ahead_end = max(self._front, min(self._ahead_end, start))
        self._width = max(START_BYTES, self._width // 2)
        self._round_ends = self._ahead_end + 1

    def rest(self) -> None:
        """Nobody has read for a while and all is given up: go on from a calm window."""
        self._ahead_end = self._front
        self._width = min(self._width, CALM_BYTES)
        self._round_ends = self._ahead_end + 1

    def _change_width(self, *, late: bool, slowdown: float) -> None:
        if self._width < CALM_BYTES or (late and slowdown < SLOWDOWN_TO_GROW):
            self._width = min(2 * self._width, WIDTH_BYTES_MAX)
        elif self._width > CALM_BYTES and slowdown > SLOWDOWN_TO_SHRINK:
            self._width = max(self._width // 2, CALM_BYTES)
        else:
            return
        self._round_ends = self._ahead_end + 1

    def _ahead(self, width: int) -> tuple[Range, ...]:
        goal = min(self._front + width, self._size)
        # Whole slots only. What is left of a slot that a random read began is fetched when a read gets there.
        start = self._ahead_end + -self._ahead_end % SLOT_BYTES
        part = self._part_bytes(width)
        ranges = []
        while start < goal:
            # Parts end at multiples of their size, and wait for room for a whole one: no slivers.
            end = min((start // part + 1) * part, self._size)
            if end > goal:
                break
            ranges.append(Range(start, end))
            self._ahead_end = start = end
        return tuple(ranges)

    def _part_bytes(self, width: int) -> int:
        part = max(width // PARTS_AHEAD, min(width // PARTS_CALM, PART_CALM_BYTES))
        slots = max(1, part // SLOT_BYTES)
        return min(SLOT_BYTES << (slots.bit_length() - 1), self._part_max)

    def _sweep(self) -> int:
        """Up to where unread blocks can go; mostly 0, as looking for them costs more than to keep a few for a while."""
        behind = self._front - self._reach
        if behind < self._swept + self._reach:
            return 0
        self._swept = behind
        return behind
