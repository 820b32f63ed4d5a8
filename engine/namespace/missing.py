"""Names that S3 did not have when it was asked last, each until it is asked again: what `negative-metadata-ttl` keeps.

Owned by the inode table; lookup asks and adds, and whatever finds a name (lookup, a listing, a program that creates it)
takes it out. So are all names missing that a directory does not have whose names are known (whole.py). The kernel keeps
such answers too, and drops them when it needs memory. Synchronous; never asks S3.
"""

from typing import Final

from engine.namespace.whole import WholeDirectories

# Programs that search along a path ask for some hundred names that are not there; this many take about 5 MB.
NAMES_MAX: Final = 25_000


class MissingNames:
    """Locations that are empty, and until when that is believed: on trio's clock."""

    def __init__(self) -> None:
        # All live equally long, so the order of their coming is that of their going.
        self._until: dict[str, float] = {}
        self.whole: Final = WholeDirectories()

    def __len__(self) -> int:
        return len(self._until)

    def add(self, location: str, until: float, now: float) -> None:
        """S3 has nothing there. Makes room: those that have expired go, else the one that would expire first."""
        self._until.pop(location, None)
        while self._until and (oldest := next(iter(self._until))) and self._is_spare(oldest, now):
            del self._until[oldest]
        self._until[location] = until

    def found(self, location: str) -> None:
        """There is something now."""
        self._until.pop(location, None)
        self.whole.found(location)

    def until(self, location: str, now: float) -> float | None:
        """Until when a location is believed to be empty; None if it is not."""
        until = self._until.get(location)
        return until if until is not None and now < until else self.whole.until(location, now)

    def _is_spare(self, location: str, now: float) -> bool:
        return len(self._until) >= NAMES_MAX or self._until[location] <= now
