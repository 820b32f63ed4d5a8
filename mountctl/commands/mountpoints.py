"""What lies at mountpoints now and would be hidden by a mount, for the warnings of `mountctl check`.

Called by check.py. Looks into local directories only, and asks mountinfo before each step: a directory of FUSE or of a
network may never answer. So it says nothing of a mountpoint that is served already.
"""

import os
from typing import Final

from mountctl.supervisor import mountinfo
from mountctl.supervisor.session import AUTOFS, FSTYPE

# File systems of this host's memory and disks; one that is not known here is not looked into.
_LOCAL: Final = frozenset(
    {"bcachefs", "btrfs", "devtmpfs", "erofs", "ext2", "ext3", "ext4", "f2fs", "overlay", "ramfs", "rootfs", "squashfs"}
    | {"tmpfs", "vfat", "xfs", "zfs"}
)
# Linux follows as many symbolic links in one path: path_resolution(7).
_LINKS_MAX: Final = 40


class Mountpoints:
    """Mountpoints as they are now: the mount table is read once."""

    def __init__(self) -> None:
        self._mounted: dict[str, list[mountinfo.MountEntry]] = {}
        for entry in mountinfo.entries():
            self._mounted.setdefault(entry.mountpoint, []).append(entry)

    def occupied(self, mountpoint: str) -> str | None:
        """What a mount would hide there, as a sentence; None: nothing, or it can't be known without risk."""
        there = mountinfo.top(self._mounted.get(mountpoint, []))
        if there is not None and there.fstype not in (FSTYPE, AUTOFS):
            return f"{there.source} ({there.fstype}) is mounted there now: unmount it, or choose another mountpoint"
        directory = self._local(mountpoint) if there is None else None
        if directory is None:
            return None
        try:
            with os.scandir(directory) as entries:
                first = next(entries, None)
        except NotADirectoryError:
            return "a file, and must be a directory: remove it, or choose another mountpoint"
        except OSError:
            return None  # not there: it will be made. Not to be read by this user: nobody knows
        if first is None:
            return None
        return "not empty: what is in the directory can't be seen while it is mounted over; use an empty one"

    def _local(self, path: str) -> str | None:
        """The path without symbolic links, if all of it is local; None if not, or if it does not exist."""
        current, rest, links = "/", path.split("/")[::-1], 0
        while rest:
            part = rest.pop()
            if part in ("", "."):
                continue
            following = os.path.dirname(current) if part == ".." else os.path.join(current, part)
            mounted = mountinfo.top(self._mounted.get(following, []))
            if mounted is not None and mounted.fstype not in _LOCAL:
                return None
            try:
                target = os.readlink(following)
            except FileNotFoundError:
                return None
            except OSError:  # not a link: EINVAL
                current = following
                continue
            links += 1
            if links > _LINKS_MAX:
                return None
            current = "/" if target.startswith("/") else current
            rest.extend(target.split("/")[::-1])
        return current
