"""What to fetch for a read, what to fetch ahead of it, and what can go: the rules of reading ahead, without any I/O.

Called by engine/read/stream.py for each read of a program (or of the kernel's own read-ahead) with what is known at
that moment; the stream then carries the Decision out. Never waits, never knows of slots or GETs, and no clock.

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

*How wide?* As bandwidth times latency asks and no wider: buffers that stay in the CPU's cache beat large windows.

* It widens to as much as the walk has gone so far, so that a program which stops soon has not cost a multiple of what
  it read. A walk from the object's first byte mostly goes to its end: such a one is trusted with EAGERNESS times as
  much, unless the line is slow. Beyond CALM_BYTES it widens only when a read has to wait: the reader has caught up.
* It becomes no wider than MARGIN times what is read while a GET takes its time: the walk's own speed, by the seconds
  that a GET of such a part takes at best (pace.py), or CALM_BYTES if that is more. On a fast server GETs take a
  millisecond or two, so the window stays small there.
* It becomes narrower, by half at most, after a round in which no read waited: the reader is slower than was thought.
* A *round* is from one moment until all that was asked ahead by then is read, and no less than a GET takes, as the
  kernel's reads come in bursts; it tells the walk's speed. Until a round is no faster than the one before, it is the
  window that holds the reader up, and the speed is taken for SPEED_AT_FIRST.

The walk's fair share of what the engine may have ahead (`room`) bounds the width at any time.

*How large a GET?* A PARTS_MIN-th of the width, rounded down to a power of two of slots: small GETs soon after the
start, so that a reader gets on; at most PART_BYTES, or the mount's read-part-size if that is less.
"""

from dataclasses import dataclass
from typing import ClassVar, Final, NamedTuple

from engine.arena import SLOT_BYTES
from engine.read.pace import Pace
from engine.spec import KiB, MiB

# A random read fetches whole blocks of this size. 128 KiB cost 1.4 ms more than nothing on a connection of S3's usual
# 90 MB/s, a tenth of the time to its first byte, and spare the next request if the program reads nearby.
RANDOM_BYTES: Final = 128 * KiB

# The kernel has at most 12 requests of a connection's read-ahead in flight (max_background), 8 with read_ahead_kb 4096.
NEAR_READS: Final = 8

# The first window: one GET beyond the read, since two reads in a row may still be chance.
START_BYTES: Final = MiB

# Wide enough for a server without delay: 4 MiB x 3. Below the kernel, on two cores, 2 MiB x 4, 4 MiB x 3 and 4 MiB x 4
# cost the same CPU a byte; the second needs half as many GETs as the first.
CALM_BYTES: Final = 12 * MiB

# What one engine can use: 1 GB/s, its most through one kernel session, times the 100 ms that a GET of 8 MiB takes on a
# connection of 90 MB/s.
WIDTH_BYTES_MAX: Final = 96 * MiB

# How long a GET of 8 MiB takes on one of S3's connections: what is read ahead covers that.
GET_SECONDS: Final = 0.1

# A GET costs 200 us of CPU and money; and 4 MiB take 65 ms with 20 ms and 90 MB/s a connection, of which the reader
# waits for most where a window has just grown. So the first ones are smaller.
PART_BYTES: Final = 4 * MiB
PART_BYTES_AT_FIRST: Final = 2 * MiB

# GETs that fill a window, at least; and as it opens, if they are larger than PART_BYTES_AT_FIRST.
PARTS_MIN: Final = 3
PARTS_AT_FIRST: Final = 12

# How much further than what it has read a walk from the first byte is trusted. With 20 ms and 90 MB/s a connection four
# times has 64 MiB in flight after two round trips, twice after four, which is a tenth of the time of 512 MiB.
EAGERNESS: Final = 4

# If a GET of a MiB takes longer than that at best, the line is slow, and many at once only keep the next bytes waiting.
# With 20 ms and 90 MB/s it takes 31 ms.
EAGER_SECONDS_MAX: Final = 0.15

# Once bandwidth x latency is enough while all goes evenly. S3's GETs take half as long again as the shortest ones, or
# twice as long; the rest lets a speed that was held up grow.
MARGIN: Final = 3.0

# Bytes a second. MARGIN times this is the most that a walk can have: 1.5 GB/s through one kernel session.
SPEED_AT_FIRST: Final = 500e6

# A round that is faster than the one before by this factor was held up by its window.
STILL_FASTER: Final = 1.25

# The kernel asks for up to 8 MiB at once, which a fast reader reads in as long.
ROUND_SECONDS_MIN: Final = 0.01


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
    """What a stream should do now.

    Blocks that end at or before `drop_before`, or begin at or behind `drop_after`, can go, read or not.
    """

    demand: Range | None = None  # for this read
    ahead: tuple[Range, ...] = ()  # each one GET, nearest first
    drop_before: int = 0
    drop_after: int | None = None


NOTHING: Final = Decision()


class ReadWindow:
    """One walk through an object. `decide` must be told every read that belongs to it, in the order they come.

    Args:
        object_size: bytes, at least 1.
        part_bytes: the largest GET, in bytes.
        begun: it is known to be a walk before the first read (strides.py).
        reach: how far from the front its reads may be in any case, in bytes.
    """

    backwards: ClassVar[bool] = False

    __slots__ = (
        *("_ahead_end", "_eagerness", "_front", "_moves", "_part_max", "_reach", "_size", "_swept", "_trusted_from"),
        *("_begins", "_held_up", "_round_began", "_round_ends", "_round_front", "_speed", "_waited", "_width"),
    )

    def __init__(self, object_size: int, part_bytes: int, *, begun: bool = False, reach: int = 0) -> None:
        self._size = object_size
        self._part_max = max(SLOT_BYTES, part_bytes // SLOT_BYTES * SLOT_BYTES)
        self._front = 0  # the end of the furthest read
        self._ahead_end = 0  # up to here all was asked for that will be without a read's demand; not below the front
        self._width = START_BYTES
        self._moves = 1 if begun else 0  # reads that moved the front
        self._reach = reach  # the longest read so far times NEAR_READS, bytes
        self._swept = 0
        self._trusted_from = -1  # what was read since tells how far ahead to go; from the first read on
        self._eagerness = EAGERNESS
        self._begins = True  # it is not trusted yet with all that would be useful
        self._speed = 0.0  # of the last round, bytes a second
        self._held_up = True  # by its window, as far as is known
        self._waited = False  # a read, in this round
        self._round_began = 0.0
        self._round_front = 0  # where the front was then
        self._round_ends = 0  # where it must be

    @property
    def front(self) -> int:
        """The end of the furthest read."""
        return self._front

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

    def goes_on(self, offset: int, end: int) -> bool:
        """Whether a read moves the front."""
        return end > self._front

    def demand(self, offset: int, end: int) -> Range:
        """What to fetch for a read of these bytes that are not there and were not asked for."""
        if self._size <= SLOT_BYTES:
            return Range(0, self._size)
        whole = SLOT_BYTES if self.walking or offset == 0 else RANDOM_BYTES
        return Range(offset - offset % RANDOM_BYTES, min(end + -end % whole, self._size))

    def decide(
        self, offset: int, end: int, *, waits: bool, missing: bool, pace: Pace, now: float, room: int
    ) -> Decision:
        """What to do now that bytes from `offset` to before `end` are read.

        Args:
            offset: the first byte, inside the object.
            end: behind the last byte, at most the object's size.
            waits: not all of the bytes are there yet.
            missing: the first of them was not even asked for; implies `waits`.
            pace: how long GETs take.
            now: seconds, on any steady clock.
            room: bytes of memory that this walk may have ahead.
        """
        moves = end > self._front
        if moves:
            if self._trusted_from < 0:
                self._trusted_from, self._eagerness = offset, 1 if offset else EAGERNESS
            self._front = end
            self._moves += 1
            self._reach = max(self._reach, NEAR_READS * (end - offset))
        demand = self.demand(offset, end) if missing else None
        self._ahead_end = max(self._ahead_end, self._front, demand.end if demand else 0)
        if not (moves and self.walking):
            return Decision(demand) if demand else NOTHING
        if self._begins or waits:
            self._widen(pace, waits=waits)
        measured = self._front >= self._round_ends and self._measure(pace, now)
        ahead = self._ahead(min(self._width, room))
        if measured:
            self._round_began, self._round_front, self._round_ends = now, self._front, self._ahead_end
            self._waited = False
        drop_before = self._sweep()
        return Decision(demand, ahead, drop_before) if demand or ahead or drop_before else NOTHING

    def lost(self, start: int) -> None:
        """What was asked ahead from `start` on is gone (memory was needed, a GET failed): ask again, and for less."""
        self._ahead_end = max(self._front, min(self._ahead_end, start))
        self._width = max(START_BYTES, self._width // 2)
        self._trusted_from = self._front

    def rest(self) -> None:
        """Nobody has read for a while and all is given up: go on from a calm window."""
        self._ahead_end = self._front
        self._width = min(self._width, CALM_BYTES)
        self._trusted_from = self._front
        self._round_ends = 0

    def _widen(self, pace: Pace, *, waits: bool) -> None:
        """As far as it is trusted; beyond CALM_BYTES only if the reader has caught up."""
        eagerness = self._eagerness if (pace.seconds(SLOT_BYTES) or 0.0) <= EAGER_SECONDS_MAX else 1
        trusted, useful = eagerness * (self._front - self._trusted_from), self._useful(pace)
        self._begins = self._begins and trusted < useful
        self._waited = self._waited or waits
        self._width = max(self._width, min(trusted, useful if waits else CALM_BYTES))

    def _measure(self, pace: Pace, now: float) -> bool:
        """The front is where it was to be: does the round end? Then know the speed, and keep no more than it needs."""
        if not self._round_ends:  # the first one begins
            return True
        seconds = now - self._round_began
        if seconds < max(ROUND_SECONDS_MIN, pace.seconds(self._part_bytes(self._width)) or 0):
            return False
        before, self._speed = self._speed, (self._front - self._round_front) / seconds
        self._held_up = self._held_up and self._speed > STILL_FASTER * before
        if not self._waited:
            # By half: one slow round of a reader that had something else to do changes little.
            self._width = min(self._width, max(self._useful(pace), self._width // 2))
        return True

    def _useful(self, pace: Pace) -> int:
        """Bytes ahead beyond which nothing is gained."""
        seconds = pace.seconds(min(PART_BYTES, self._part_max))
        if seconds is None:
            return CALM_BYTES
        speed = SPEED_AT_FIRST if self._held_up else self._speed
        return min(max(CALM_BYTES, int(MARGIN * speed * seconds)), WIDTH_BYTES_MAX)

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
        largest = max(PART_BYTES_AT_FIRST, width // PARTS_AT_FIRST) if self._begins else PART_BYTES
        slots = max(1, min(width // PARTS_MIN, largest, PART_BYTES) // SLOT_BYTES)
        return min(SLOT_BYTES << (slots.bit_length() - 1), self._part_max)

    def _sweep(self) -> int:
        """Up to where unread blocks can go; mostly 0, as looking for them costs more than to keep a few for a while."""
        behind = self._front - self._reach
        if behind < self._swept + self._reach:
            return 0
        self._swept = behind
        return behind
