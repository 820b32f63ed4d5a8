"""How long GETs take, and how much running many of them at once slows each one down.

Fed by engine/read/prefetcher.py with each finished GET of any stream of the mount; its `slowdown` decides whether
windows grow (window.py). Knows no clock: times come as arguments. Never does I/O.

The idea: while GETs in flight do not disturb each other (S3 over a network: each has its own connection and its own
20 ms), twice as many bring twice the bytes. Once the network, the server or our own CPU is busy, twice as many only
take twice as long each. So compare a GET's duration with the shortest that one of its size took.
"""

from typing import Final

# Weight of the newest GET in the average: about the last four count, so that one stray GET decides nothing.
NEWEST_WEIGHT: Final = 0.25

# A shortest duration is believed less as it ages, by this share of itself a second: the way to S3 may have become
# slower for good. Small, since on a busy machine an old shortest is what keeps windows from growing for nothing.
AGEING_PER_SECOND: Final = 0.01

# Sizes differ by powers of two from 128 KiB to 8 MiB; how many of the next smaller ones say something about a size.
CLASSES_BELOW: Final = 4


class Pace:
    """Durations of GETs, by size class (powers of two)."""

    def __init__(self) -> None:
        self._shortest: dict[int, tuple[float, float]] = {}  # class -> (seconds, when it was measured)
        self.slowdown = 1.0  # how many times the shortest duration recent GETs took, on average

    def finished(self, size: int, seconds: float, now: float) -> None:
        """A GET of `size` bytes took `seconds`, and ended at `now` (seconds on any steady clock)."""
        size_class = size.bit_length()
        shortest = self._expected(size_class, now)
        if shortest is None or seconds <= shortest:
            self._shortest[size_class] = (seconds, now)
            shortest = seconds
        ratio = seconds / shortest if shortest > 0 else 1.0
        self.slowdown += NEWEST_WEIGHT * (ratio - self.slowdown)

    def _expected(self, size_class: int, now: float) -> float | None:
        """The shortest duration for a class: measured, or twice that of the class below, whichever is less."""
        candidates = [
            seconds * 2**below * (1.0 + AGEING_PER_SECOND * (now - measured))
            for below in range(CLASSES_BELOW)
            if (known := self._shortest.get(size_class - below)) is not None
            for seconds, measured in [known]
        ]
        return min(candidates, default=None)
