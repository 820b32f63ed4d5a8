"""The journal of a session: what the next engine must know if this one dies. A memfd that the supervisor owns.

Written through `Journal.append`, one system call a batch, so that what is answered to the kernel is in the memfd
before the answer is. Read once, by a successor, through `Replay`. What the records mean is their writer's business;
here each is a JSON array, written as the text that its writer made, read as a list.

Layout: a header of two words (where the present log begins; a check), pages for notes of what is being served
(`notes`), then where the header says batches, each a length, a CRC-32 and a JSON array of records. The end is where no
whole, good batch follows: one that its writer's death cut short is as if it had never been, and a successor goes on in
its place. When the log has grown to a multiple of what it must hold, a second one is begun far behind it, which gets
what is alive, a little with each batch, and each batch as well; when it has all, the header is turned to it by one
write of 16 bytes, and the first one is given back to the system. Offsets only grow; a memfd is sparse and has room for
2^63 bytes.
"""

import ctypes
import errno
import itertools
import json
import logging
import mmap
import os
import struct
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

logger = logging.getLogger(__name__)

Record = list[Any]  # one that was read

_HEADER: Final = struct.Struct("<QQ")  # where the log begins, and the same with all bits turned
_FRAME: Final = struct.Struct("<II")  # bytes of JSON, their CRC-32
_ALL_BITS: Final = 2**64 - 1
_PAGE_BYTES: Final = 4096
# 256 notes of 64 bytes; an engine answers 64 requests at once, unless told.
NOTES_BYTES: Final = 4 * _PAGE_BYTES
# Behind the header's page and the notes.
_LOG_START: Final = _PAGE_BYTES + NOTES_BYTES
# A batch is at most a page of a listing: 1,000 names of at most 1 KiB, written as JSON. Beyond is garbage.
BATCH_BYTES_MAX: Final = 1 << 24
# Of what is alive, what is written with each batch while a log is begun anew: 0.3 ms for a batch of one record, and so
# many that it comes to its end before the old log has doubled again.
SNAPSHOT_GROUPS_MIN: Final = 64
SNAPSHOT_GROUPS_PER_RECORD: Final = 2
# Groups in one batch.
SNAPSHOT_BATCH: Final = 1000
# A log that is begun anew leaves so much room to the one before, which grows meanwhile; nothing of it takes memory.
NEXT_LOG_BYTES: Final = 1 << 32
# Seconds between tries to write all that is alive after memory was out.
HEAL_SECONDS: Final = 1.0
_READ_BYTES: Final = 1 << 20
# Compaction writes all that is alive; at twice as much as that (and never for less than this) it is worth it.
COMPACT_BYTES_MIN: Final = 1 << 20
COMPACT_FACTOR: Final = 2

# linux/falloc.h: punch a hole, keep the size
_FALLOC_PUNCH_HOLE: Final = 2 | 1

_libc = ctypes.CDLL(None, use_errno=True)


def create() -> int:
    """A new, empty journal's file descriptor."""
    return os.memfd_create("mountctl-journal", os.MFD_CLOEXEC)


def notes(fd: int) -> mmap.mmap:
    """The pages of a journal that are no records, shared with it: they are there when their writer has died.

    Raises OSError if memory is out.
    """
    if os.fstat(fd).st_size < _LOG_START:
        os.ftruncate(fd, _LOG_START)
    return mmap.mmap(fd, NOTES_BYTES, offset=_PAGE_BYTES)


class Replay:
    """The records of a journal, oldest first, to be drawn once. Stops where a batch is not whole and good; raises
    nothing.
    """

    def __init__(self, fd: int) -> None:
        self.start: Final = _start_of(fd)
        self._end = self.start
        self._batches: Final = _batches(fd, self.start)

    def __iter__(self) -> Iterator[Record]:
        for end, batch in self._batches:
            self._end = end
            yield from batch

    @property
    def end(self) -> int:
        """Where they end: their offset in the journal. Reads what was not drawn yet."""
        for end, _batch in self._batches:
            self._end = end
        return self._end


class Journal:
    """A journal that is being written.

    Args:
        fd: of `create`, perhaps written by an engine before; owned. It goes on where that one's records end.
        snapshot: gives the records (as JSON) that hold everything that is alive, in groups that belong together, each
            as it is when it is drawn; called when a log is begun anew.
        replayed: its records, if they were read already: it is long work. None: they are read now.
    """

    def __init__(self, fd: int, snapshot: Callable[[], Iterable[list[str]]], replayed: Replay | None = None) -> None:
        replayed = replayed or Replay(fd)
        self._fd = fd
        self._snapshot = snapshot
        self._start, self._end = replayed.start, replayed.end
        self._alive_bytes = 0  # not known: a longer log is begun anew with the first record
        self._next: _Log | None = None
        self._whole = True
        self._heal_at = 0.0
        if self.size <= COMPACT_BYTES_MIN:
            try:
                self.compact()
            except OSError:
                self._whole, self._next = False, None  # the first `append` tells

    @property
    def size(self) -> int:
        """What the log takes now, in bytes."""
        return self._end - self._start

    def append(self, records: list[str]) -> None:
        """Add records, each a JSON array, all or none; they are there when this returns.

        Raises OSError if memory is out. What could not be added is made up for by a snapshot, as soon as one can be
        written.
        """
        if not records:
            return
        if not self._whole:
            self._heal()
            return
        try:
            data = _framed(records)
            self._end = self._write(data, self._end)
            if self._next is not None:
                self._next.end = self._write(data, self._next.end)
                self._go_on(SNAPSHOT_GROUPS_MIN + SNAPSHOT_GROUPS_PER_RECORD * len(records))
            elif self.size > max(COMPACT_BYTES_MIN, COMPACT_FACTOR * self._alive_bytes):
                self._begin_next()
        except OSError:
            self._whole, self._next = False, None
            raise

    def compact(self) -> None:
        """Write all that is alive to a new log, and go on with that. Raises OSError."""
        self._begin_next()
        self._go_on(None)

    def close(self) -> None:
        """Stop writing; the records stay."""
        os.close(self._fd)

    def _begin_next(self) -> None:
        start = -(-self._end // _PAGE_BYTES) * _PAGE_BYTES + NEXT_LOG_BYTES
        self._next = _Log(start, start, iter(self._snapshot()))

    def _go_on(self, groups: int | None) -> None:
        """Write so many groups (None: all) of what is alive to the log to come; with the last one it takes over."""
        log = self._next
        assert log is not None
        count = 0
        while groups is None or count < groups:
            batch = list(itertools.islice(log.alive, min(SNAPSHOT_BATCH, groups or SNAPSHOT_BATCH)))
            if not batch:
                self._turn(log)
                return
            count += len(batch)
            log.end = self._write(_framed([record for group in batch for record in group]), log.end)

    def _turn(self, log: "_Log") -> None:
        os.pwrite(self._fd, _HEADER.pack(log.start, log.start ^ _ALL_BITS), 0)
        _punch(self._fd, self._start, self._end)
        self._start, self._end = log.start, log.end
        self._alive_bytes = self.size
        self._next = None

    def _heal(self) -> None:
        """After records were lost, all that is alive is written again, or the journal stays as it was."""
        now = time.monotonic()
        if now < self._heal_at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._heal_at = now + HEAL_SECONDS
        try:
            self.compact()
        finally:
            self._next = None
        self._whole = True

    def _write(self, data: bytes, at: int) -> int:
        """Write at an offset; returns where it ends."""
        end = at + len(data)
        while (at := at + os.pwrite(self._fd, data, at)) < end:
            data = data[at - end :]
        return at


@dataclass(slots=True)
class _Log:
    """A log that is to take the place of the present one: where it is, and what is alive and not in it yet."""

    start: int
    end: int
    alive: Iterator[list[str]]


def _framed(records: list[str]) -> bytes:
    """Records as a batch, or as several if it would be too long."""
    body = f"[{','.join(records)}]".encode("utf-8", "surrogatepass")
    if len(body) > BATCH_BYTES_MAX and len(records) > 1:
        middle = len(records) // 2
        return _framed(records[:middle]) + _framed(records[middle:])
    return _FRAME.pack(len(body), zlib.crc32(body)) + body


def _batches(fd: int, at: int) -> Iterator[tuple[int, list[Record]]]:
    """Whole and good batches from an offset on, each with where it ends."""
    data = memoryview(b"")
    while True:
        data = _at_least(fd, data, at, _FRAME.size)
        if len(data) < _FRAME.size:
            return
        length, check = _FRAME.unpack_from(data)
        if not 0 < length <= BATCH_BYTES_MAX:
            return
        data = _at_least(fd, data, at, _FRAME.size + length)
        body = data[_FRAME.size : _FRAME.size + length]
        if len(body) != length or zlib.crc32(body) != check:
            return
        try:
            batch = json.loads(bytes(body))
        except (ValueError, RecursionError):
            return
        if not isinstance(batch, list) or not set(map(type, batch)) <= {list} or not all(batch):
            return
        at += _FRAME.size + length
        data = data[_FRAME.size + length :]
        yield at, batch


def _at_least(fd: int, data: memoryview, at: int, count: int) -> memoryview:
    """`data`, which lies at an offset, or more of it if it has fewer bytes than that; less only at the end."""
    return data if len(data) >= count else memoryview(os.pread(fd, max(count, _READ_BYTES), at))


def _start_of(fd: int) -> int:
    """Where the log begins: as the header says, if that can be right."""
    size = os.fstat(fd).st_size
    header = os.pread(fd, _HEADER.size, 0)
    if len(header) < _HEADER.size:
        return _LOG_START
    start: int
    start, check = _HEADER.unpack(header)
    if start ^ check == _ALL_BITS and _LOG_START <= start <= size:
        return start
    return _LOG_START


def _punch(fd: int, start: int, end: int) -> None:
    """Give whole pages between two offsets back, but for those before any log."""
    low = max(_LOG_START, -(-start // _PAGE_BYTES) * _PAGE_BYTES)
    high = end // _PAGE_BYTES * _PAGE_BYTES
    if high <= low:
        return
    if _libc.fallocate64(fd, _FALLOC_PUNCH_HOLE, ctypes.c_int64(low), ctypes.c_int64(high - low)) != 0:
        logger.debug("the journal keeps %d bytes that it no longer needs", high - low)
