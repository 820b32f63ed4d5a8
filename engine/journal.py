"""The journal of a session: what the next engine must know if this one dies. A memfd that the supervisor owns.

Written through `Journal.append`, one system call a batch, so that what is answered to the kernel is in the memfd
before the answer is. Read once, by a successor, through `replay`. What the records mean is their writer's business;
here they are lists of JSON values.

Layout: a header of two words (where the present log begins; a check), pages for notes of what is being served
(`notes`), then where the header says batches, each a length, a CRC-32 and a JSON array of records. The end is where no
whole, good batch follows: one that its writer's death cut short is as if it had never been. When the log has grown to
a multiple of what it must hold, a snapshot is written behind it, the header is turned to the snapshot by one write of
16 bytes, and what lies before is given back to the system. Offsets only grow; a memfd is sparse and has room for 2^63
bytes.
"""

import ctypes
import itertools
import json
import logging
import mmap
import os
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

logger = logging.getLogger(__name__)

Record = list[Any]

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
# Records of a snapshot in one batch.
_SNAPSHOT_BATCH: Final = 1000
# Compaction writes all that is alive; at twice as much as that (and never for less than this) it is worth it.
COMPACT_BYTES_MIN: Final = 1 << 20
COMPACT_FACTOR: Final = 2

# linux/falloc.h: punch a hole, keep the size
_FALLOC_PUNCH_HOLE: Final = 2 | 1

_libc = ctypes.CDLL(None, use_errno=True)
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False).encode


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


def replay(fd: int) -> Iterator[Record]:
    """The records of a journal, oldest first. Stops where a batch is not whole and good; raises nothing."""
    start = _start_of(fd)
    data = memoryview(_read(fd, start))
    at = 0
    while at + _FRAME.size <= len(data):
        length, check = _FRAME.unpack_from(data, at)
        body = data[at + _FRAME.size : at + _FRAME.size + length]
        if not 0 < length <= BATCH_BYTES_MAX or len(body) != length or zlib.crc32(body) != check:
            return
        try:
            batch = json.loads(bytes(body))
        except ValueError:
            return
        if not isinstance(batch, list) or not all(isinstance(record, list) and record for record in batch):
            return
        yield from batch
        at += _FRAME.size + length


class Journal:
    """A journal that is being written.

    Args:
        fd: of `create`, perhaps written by an engine before; owned. What it held is replaced by the first snapshot.
        snapshot: gives the records that hold everything that is alive now; called at once, and for each compaction.
    """

    def __init__(self, fd: int, snapshot: Callable[[], Iterable[Record]]) -> None:
        self._fd = fd
        self._snapshot = snapshot
        self._start = self._end = max(_LOG_START, os.fstat(fd).st_size)
        self._alive_bytes = 0
        self.compact()

    @property
    def size(self) -> int:
        """What the log takes now, in bytes."""
        return self._end - self._start

    def append(self, records: list[Record]) -> None:
        """Add records, all or none; they are there when this returns. Raises OSError if memory is out."""
        if records:
            self._write(_framed(records))
            if self.size > max(COMPACT_BYTES_MIN, COMPACT_FACTOR * self._alive_bytes):
                self.compact()

    def compact(self) -> None:
        """Write a snapshot, make it the log, give back what was before it."""
        before = self._start
        fresh = self._end
        alive = iter(self._snapshot())
        while batch := list(itertools.islice(alive, _SNAPSHOT_BATCH)):
            self._write(_framed(batch))
        os.pwrite(self._fd, _HEADER.pack(fresh, fresh ^ _ALL_BITS), 0)
        self._start = fresh
        self._alive_bytes = self._end - fresh
        _punch(self._fd, before, fresh)

    def close(self) -> None:
        """Stop writing; the records stay."""
        os.close(self._fd)

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            written = os.pwrite(self._fd, view, self._end)
            self._end += written
            view = view[written:]


def _framed(batch: list[Record]) -> bytes:
    body = _encode(batch).encode("utf-8", "surrogatepass")
    return _FRAME.pack(len(body), zlib.crc32(body)) + body


def _start_of(fd: int) -> int:
    header = os.pread(fd, _HEADER.size, 0)
    if len(header) < _HEADER.size:
        return _LOG_START
    start, check = _HEADER.unpack(header)
    return start if start ^ check == _ALL_BITS and start >= _LOG_START else _LOG_START


def _read(fd: int, start: int) -> bytes:
    size = os.fstat(fd).st_size
    pieces = []
    while start < size:
        piece = os.pread(fd, size - start, start)
        if not piece:
            break
        pieces.append(piece)
        start += len(piece)
    return b"".join(pieces)


def _punch(fd: int, start: int, end: int) -> None:
    """Give whole pages between two offsets back, but for those before any log."""
    low = max(_LOG_START, -(-start // _PAGE_BYTES) * _PAGE_BYTES)
    high = end // _PAGE_BYTES * _PAGE_BYTES
    if high <= low:
        return
    if _libc.fallocate64(fd, _FALLOC_PUNCH_HOLE, ctypes.c_int64(low), ctypes.c_int64(high - low)) != 0:
        logger.debug("the journal keeps %d bytes that it no longer needs", high - low)
