"""What an engine reaches S3 with now: as the broker has told it last, in the region where the bucket was found.

Owned by run.py, which hears of it and gives it to those who ask S3.
"""

import time

from engine.errors import S3Error
from engine.link import Access
from engine.preflight import explain, in_region
from engine.spec import MountSpec
from engine.stats import EngineStats


class AccessInUse:
    """That of one mount.

    Args:
        spec: the mount.
        region: where the bucket was found to be, if it was; what the broker tells does not know it.
        stats: told of keys that have expired.
    """

    def __init__(self, spec: MountSpec, region: str, stats: EngineStats) -> None:
        self._spec = spec
        self._stats = stats
        self._no_others: str | None = None  # why the broker has no newer keys
        self.region = region
        self.current: Access | None = None  # None: nothing was told yet

    def use(self, told: Access) -> Access:
        """What the broker tells is used from now on. Returns it, in the known region."""
        known = self.region and not told.region_told
        self.current = in_region(told, self.region) if known else told
        self._no_others = told.renewal_error
        return self.current

    def found(self, access: Access) -> None:
        """The bucket was asked for, and found with this one."""
        assert self.current is not None, "it was asked with it"
        if access.region != self.current.region:
            self.region = access.region
        self.current = access

    def no_others(self, reason: str) -> None:
        """The broker has none but these, for this reason."""
        self._no_others = reason
        self.note_expiry()

    def note_expiry(self) -> None:
        """Keys that have expired while there are no others are the mount's trouble, whether somebody uses it or not.

        Told once: if S3 takes them all the same, it is our clock that is wrong.
        """
        if self._no_others is not None and self.current is not None and _has_expired(self.current):
            self._stats.refused(f"the credentials have expired, and there are no others: {self._no_others}")
            self._no_others = None

    def explain(self, error: S3Error) -> str:
        """What S3 has refused, in a sentence."""
        assert self.current is not None, "it was asked with it"
        return explain(error, self._spec, self.current)


def _has_expired(access: Access) -> bool:
    keys = access.credentials
    return keys is not None and keys.expires is not None and keys.expires <= time.time()
