"""Which mount is a session's own, for a supervisor in another namespace of mounts than who made it. Rules.

The container of the next supervisor sees the same mounts under other numbers, and the old number may be another one's
there. What stays is the file system (the minor device number) and the path. The same file system may be mounted
elsewhere too, as volumes are; those mounts are not the session's own. Called by session.py and mounts_file.py.
"""

import os
from collections.abc import Collection
from pathlib import Path
from typing import Final

from mountctl.supervisor.mountinfo import MountEntry, top

_OURS: Final = Path("/proc/self/ns/mnt")


def namespace() -> int:
    """The number of this process's namespace of mounts. The kernel gives it again when the namespace is gone."""
    return os.stat(_OURS).st_ino


def own(entries: Collection[MountEntry], mount_id: int, places: Collection[str], *, same: bool) -> MountEntry | None:
    """The session's own mount; None: it is not there.

    Args:
        entries: all mounts of its file system, which are nobody else's.
        mount_id: its number when it was last seen.
        places: the paths that it may be at.
        same: it was seen in this namespace: then it is that mount wherever somebody has moved it.
    """
    at_place = [entry for entry in entries if entry.mountpoint in places]
    known = next((entry for entry in entries if entry.mount_id == mount_id), None)
    if known is not None and (same or known in at_place):
        # Namespaces' numbers are given again, and mounts' too: at its place is surer than by its number.
        return known if known in at_place or not at_place else top(at_place)
    return top(at_place)
