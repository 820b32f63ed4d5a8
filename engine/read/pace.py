"""How long GETs take when nothing holds them up: the latency in bandwidth x latency.

Fed by engine/read/prefetcher.py with each finished GET of any stream of the mount; windows (window.py) are as wide as a
reader's speed times these seconds asks. Knows no clock: times come as arguments. Never does I/O.

Only the shortest durations count. What a busy CPU, server or network adds to the others is no reason to fetch further
ahead: more GETs in flight would only make each of them slower.
"""

from typing import Final

# A shortest duration is believed less as it ages, by this share of itself a second: the way to S3 may have become
# slower for good. Small, since on a busy machine an old shortest is what keeps windows from growing for nothing.
AGEING_PER_SECOND: Final = 0.01


class Pace:
    """Shortest durations of GETs, by size class (powers of two)."""

    def __init__(self) -> None:
        self._shortest: dict[int, tuple[float, float]] = {}  # class -> (seconds, when it was measured)

    def finished(self, size: int, seconds: float, now: float) -> None:
        """A GET of `size` bytes took `seconds`, and ended at `now` (seconds on any steady clock)."""
        size_class = size.bit_length()
        known = self._shortest.get(size_class)
        if known is None or seconds <= known[0] * (1.0 + AGEING_PER_SECOND * (now - known[1])):
            self._shortest[size_class] = (seconds, now)

    def seconds(self, size: int) -> float | None:
        """How long a GET of `size` bytes takes at best; None if none of any size has ended yet.

        What is known of other sizes bounds it: it takes no longer than a larger one, or than smaller ones in a row.
        """
        size_class = size.bit_length()
        found = None
        for known, (seconds, _) in self._shortest.items():
            bound = seconds * 2 ** max(0, size_class - known)
            if found is None or bound < found:
                found = bound
        return found
