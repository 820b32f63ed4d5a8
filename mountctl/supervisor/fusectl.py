"""The kernel's view of a FUSE connection, where the fusectl file system is mounted (systemd does that at boot).

Called by watch.py and session.py. A connection's number is the minor number of the mount's device. Touches no mount.
Where fusectl is not mounted nothing is known, and nobody mounts it for this.
"""

import contextlib
from pathlib import Path
from typing import Final

CONNECTIONS: Final = Path("/sys/fs/fuse/connections")


def waiting(minor: int) -> int | None:
    """How many requests of a connection have no answer yet; None if nobody can tell."""
    try:
        with open(f"{CONNECTIONS}/{minor}/waiting", "rb", buffering=0) as file:
            return int(file.read())
    except (OSError, ValueError):  # not mounted, or the connection is gone
        return None


def abort(minor: int) -> None:
    """End a connection: requests fail with ECONNABORTED, later ones with ENOTCONN. Nothing happens without fusectl, or
    where it can't be written, as in a container.
    """
    with contextlib.suppress(OSError):
        (CONNECTIONS / str(minor) / "abort").write_text("1")
