"""Whether programs find a mount where it belongs: somebody may unmount it, move it, or mount something over it.

Owned by session.py, asked by mount.py with each heartbeat. Looks at the kernel's list of mounts only.
"""

from typing import Final

from mountctl.config.words import one_line
from mountctl.supervisor import mountinfo

# Somebody who unmounts lazily ends no engine, so the list of mounts is looked at. Twice, as it is read in pieces while
# others come and go.
LOOK_SECONDS: Final = 2.0
# Its engine goes on for those who have files open on it; their end is its end, and then the mount is made anew.
VANISHED: Final = (
    "somebody unmounted it while it was in use; it is mounted again when the last program has let go of it"
)


class Lookout:
    """That for one mount, from when it is attached.

    Args:
        place: where that was; None: where it is seen first.
    """

    def __init__(self, place: str | None = None) -> None:
        self._look_at = 0.0
        self._missed = 0  # looks in a row
        self._place = place
        self._out_of_place: str | None = None

    @property
    def place(self) -> str | None:
        """Where it belongs, as the kernel has it."""
        return self._place

    @property
    def vanished(self) -> bool:
        """It was gone at two looks in a row."""
        return self._missed > 1

    def look(self, mount_id: int, minor: int, fstype: str, now: float) -> str | None:
        """Why programs don't find it where it belongs, in a sentence; None: they do. Call as often as you like.

        Args:
            mount_id: the mount's, which another one has as soon as it is gone.
            minor: the number of its file system, as soon given to another.
            fstype: its type.
            now: seconds on any clock that does not jump, the same for all mounts.
        """
        if now >= self._look_at:
            self._look_at = now + LOOK_SECONDS
            table = mountinfo.lately(now)
            entry = table.known(mount_id, minor, fstype)
            self._missed = 0 if entry is not None else self._missed + 1
            self._out_of_place = None if entry is None else self._misplaced(entry, table.covering(entry))
        return self._out_of_place

    def _misplaced(self, entry: mountinfo.MountEntry, over: mountinfo.MountEntry | None) -> str | None:
        self._place = self._place or entry.mountpoint
        if entry.mountpoint != self._place:
            return f"it is at {one_line(entry.mountpoint)} now: somebody has moved it, or renamed a directory above it"
        return None if over is None else f"{is_over(over)}; programs see that, until it is unmounted"


def is_over(over: mountinfo.MountEntry) -> str:
    """What lies over a mount, as a sentence."""
    return f"{over.told} is mounted over it at {one_line(over.mountpoint)}"
