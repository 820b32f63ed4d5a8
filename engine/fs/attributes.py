"""What stat(2) shows of a file or directory: the rules.

Used by the file system. Pure; engine/fuse turns the result into the kernel's structure.
"""

import stat
from dataclasses import dataclass
from typing import Final, NamedTuple

from engine.namespace.inode import Inode
from engine.spec import MountSpec

# What st_blocks counts, in bytes, whatever the file system.
STAT_BLOCK_BYTES: Final = 512

# st_blksize, the unit that programs like to read in, in bytes: a page. The kernel reads ahead far more by itself.
IO_BLOCK_BYTES: Final = 4096

# S3 keeps whole seconds in Last-Modified; other servers put fractions into listings only. Cut off, or one file would
# have two times.
_NANOSECONDS: Final = 1_000_000_000


class Attributes(NamedTuple):
    """One inode as the kernel gets it. Sizes in bytes, times since the epoch, `valid` in seconds from now.

    `time_ns` is when it changed, `access_ns` when it was read last, as far as a program has set that. A tuple, for a
    listing makes thousands: a frozen dataclass takes four times as long to make.
    """

    number: int
    mode: int
    nlink: int
    uid: int
    gid: int
    size: int
    blocks: int
    time_ns: int
    valid: float
    access_ns: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a program wants to set; None: nothing is said of it."""

    access_ns: int | None = None
    change_ns: int | None = None
    size: int | None = None
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None

    @property
    def sets_times(self) -> bool:
        """Any time is to be set."""
        return self.access_ns is not None or self.change_ns is not None

    def changes(self, now: Attributes) -> bool:
        """Whether anything but a time would be another than it is. Copying programs often set what is so already."""
        pairs = (
            (self.size, now.size),
            (self.mode and stat.S_IMODE(self.mode), stat.S_IMODE(now.mode)),
            (self.uid, now.uid),
            (self.gid, now.gid),
        )
        return any(wanted is not None and wanted != found for wanted, found in pairs)


class AttributeRules:
    """A mount's modes, owner and times.

    Args:
        spec: the mount.
        mounted: when, in seconds since the epoch: the time of all directories, for S3 has none.
    """

    def __init__(self, spec: MountSpec, mounted: float) -> None:
        self._uid: Final = spec.uid or 0
        self._gid: Final = spec.gid or 0
        self._directory_mode: Final = stat.S_IFDIR | spec.dir_mode
        self._file_mode: Final = stat.S_IFREG | spec.file_mode
        self._mounted_ns: Final = int(mounted) * _NANOSECONDS

    def of(self, inode: Inode, valid: float) -> Attributes:
        """An inode's attributes, to be believed for `valid` seconds. An archived object has no permissions."""
        shown, uid, gid = inode.size_and_time, self._uid, self._gid
        if shown is None:
            access, changed = inode.times_ns or (self._mounted_ns, self._mounted_ns)
            return Attributes(inode.number, self._directory_mode, 2, uid, gid, 0, 0, changed, valid, access)
        size, last_modified, archived = shown
        mode = stat.S_IFREG if archived else self._file_mode
        blocks = -(-size // STAT_BLOCK_BYTES)
        time_ns = int(last_modified) * _NANOSECONDS
        access, changed = inode.times_ns or (time_ns, time_ns)
        return Attributes(inode.number, mode, 1, uid, gid, size, blocks, changed, valid, access)
