"""The mounts beside the supervisor's own: those that wait to be one, and those that were replaced.

Owned by supervisor.py. One takes another's place when S3 has answered; the old one goes on for those who have files
open on it. The exchange itself is mount.py's.
"""

from typing import Final

import trio

from mountctl.supervisor.mount import Mount

# How long who has files open on a mount that was replaced may go on with them. Its engine is sent no newer keys, and
# those that the broker gives are good for ten minutes at least (botocore's mandatory refresh).
DRAIN_SECONDS_MAX: Final = 600.0


class Beside:
    """Those mounts."""

    def __init__(self) -> None:
        self.mounts: set[Mount] = set()

    def drain(self, old: Mount, nursery: trio.Nursery) -> None:
        """One was replaced. Returns at once."""
        self.mounts.add(old)
        nursery.start_soon(self._drain, old)

    async def _drain(self, old: Mount) -> None:
        await old.stop(DRAIN_SECONDS_MAX)
        self.mounts.remove(old)
