"""Which user each engine becomes: one of its own, so that engines can't touch each other. Called by supervisor.py."""

import pwd
from typing import Final

# The range that systemd keeps for users that exist only while a service runs (its "Users, Groups, UIDs and GIDs").
FIRST_UID: Final = 61184
LAST_UID: Final = 65519


class EngineUids:
    """Hands out uids that no user of this host has and no other engine of ours."""

    def __init__(self) -> None:
        self._taken: set[int] = set()

    def take(self) -> int:
        """A uid for one mount's engines. Raises RuntimeError if all are taken (4,336 mounts)."""
        for uid in range(FIRST_UID, LAST_UID + 1):
            if uid not in self._taken and not _is_known(uid):
                self._taken.add(uid)
                return uid
        raise RuntimeError(f"no free uid between {FIRST_UID} and {LAST_UID} for an engine")

    def claim(self, uid: int) -> bool:
        """Take this one, for an engine that runs as it already. False if it is taken, or not one of ours."""
        if uid in self._taken or not FIRST_UID <= uid <= LAST_UID:
            return False
        self._taken.add(uid)
        return True

    def give_back(self, uid: int) -> None:
        """The mount is gone."""
        self._taken.remove(uid)


def _is_known(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True
