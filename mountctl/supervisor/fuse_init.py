"""The FUSE INIT handshake in bytes: reads the kernel's request, writes our reply. Pure; called by session.py.

The supervisor answers INIT itself, so the session belongs to it and not to an engine, and so it sets what a FUSE
library would not let us set. Layouts: linux/fuse.h, protocol 7.
"""

import functools
import struct
from dataclasses import dataclass
from enum import IntFlag
from typing import Final

_IN_HEADER: Final = struct.Struct("<IIQQIIIHH")  # len opcode unique nodeid uid gid pid extlen padding
_INIT_IN: Final = struct.Struct("<IIIII")  # major minor max_readahead flags flags2; 11 unused words follow
_OUT_HEADER: Final = struct.Struct("<IiQ")  # len error unique
# major minor max_readahead flags max_background congestion max_write time_gran max_pages map_align flags2, 8 unused
_INIT_OUT: Final = struct.Struct("<IIIIHHIIHHI28x")
_OPCODE_INIT: Final = 26
_SESSIONS: Final = 1024  # whose requests are kept read: status asks for each, again and again

FUSE_MAJOR: Final = 7
# 12 and 9 are the kernel's defaults; with 20 ms to S3's first byte 64 requests in flight read 3x as fast as 12.
MAX_BACKGROUND: Final = 64
CONGESTION_THRESHOLD: Final = 48
# The kernel's own bound without a changed sysctl: 256 pages, so that reads and writes come by 1 MiB.
MAX_PAGES: Final = 256
MAX_WRITE_BYTES: Final = 1 << 20
# Inode times are S3's Last-Modified, whole seconds; nanoseconds are the protocol's finest.
TIME_GRANULARITY_NS: Final = 1


class InitFlag(IntFlag):
    """Capabilities of the FUSE protocol that we look at (names as in linux/fuse.h, without FUSE_)."""

    ASYNC_READ = 1 << 0
    ATOMIC_O_TRUNC = 1 << 3
    BIG_WRITES = 1 << 5
    DO_READDIRPLUS = 1 << 13
    READDIRPLUS_AUTO = 1 << 14
    ASYNC_DIO = 1 << 15
    PARALLEL_DIROPS = 1 << 18
    ABORT_ERROR = 1 << 21
    MAX_PAGES = 1 << 22
    INIT_EXT = 1 << 30
    HAS_RESEND = 1 << 39


# What we ask for, of what the kernel offers. Left out on purpose: AUTO_INVAL_DATA (a changed object is a new inode, so
# pages never go stale, and each uncached read would cost a GETATTR), POSIX_LOCKS and FLOCK_LOCKS (the kernel then locks
# on this host, as with Mountpoint), WRITEBACK_CACHE (writes must reach us in order), READDIRPLUS_AUTO (the kernel would
# ask for names without attributes, and `ls -l` then for each name alone).
WANTED: Final = (
    InitFlag.ASYNC_READ
    | InitFlag.ATOMIC_O_TRUNC
    | InitFlag.BIG_WRITES
    | InitFlag.DO_READDIRPLUS
    | InitFlag.ASYNC_DIO
    | InitFlag.PARALLEL_DIROPS
    | InitFlag.ABORT_ERROR
    | InitFlag.MAX_PAGES
    | InitFlag.HAS_RESEND
)


@dataclass(frozen=True, slots=True)
class InitRequest:
    """What the kernel said."""

    unique: int
    minor: int
    max_readahead: int
    flags: InitFlag

    @property
    def has_resend(self) -> bool:
        """The kernel can hand out unanswered requests again (Linux 6.9)."""
        return InitFlag.HAS_RESEND in self.flags


@functools.lru_cache(_SESSIONS)
def parse(request: bytes) -> InitRequest:
    """The kernel's INIT request. Raises ValueError if it is something else."""
    if len(request) < _IN_HEADER.size + _INIT_IN.size:
        raise ValueError(f"a FUSE INIT request has at least {_IN_HEADER.size + _INIT_IN.size} bytes")
    _length, opcode, unique, *_ = _IN_HEADER.unpack_from(request)
    if opcode != _OPCODE_INIT:
        raise ValueError(f"expected FUSE INIT, got opcode {opcode}")
    major, minor, readahead, low, high = _INIT_IN.unpack_from(request, _IN_HEADER.size)
    if major != FUSE_MAJOR:
        raise ValueError(f"FUSE protocol {major}.{minor}: expected {FUSE_MAJOR}")
    if not low & InitFlag.INIT_EXT:
        high = 0  # older kernels leave the word unset
    return InitRequest(unique=unique, minor=minor, max_readahead=readahead, flags=InitFlag(low | high << 32))


def reply(request: InitRequest) -> bytes:
    """Our answer to it."""
    flags = request.flags & WANTED
    if flags >> 32:
        flags |= InitFlag.INIT_EXT
    body = _INIT_OUT.pack(
        FUSE_MAJOR,
        request.minor,
        request.max_readahead,
        flags & 0xFFFF_FFFF,
        MAX_BACKGROUND,
        CONGESTION_THRESHOLD,
        MAX_WRITE_BYTES,
        TIME_GRANULARITY_NS,
        MAX_PAGES,
        0,
        flags >> 32,
    )
    return _OUT_HEADER.pack(_OUT_HEADER.size + len(body), 0, request.unique) + body
