"""How long programs waited for their answers: a histogram for each kind of request. Fed by fuse/operations.py.

On the path of every request, so it costs a search among a dozen numbers and two additions, below a microsecond. Pure.
"""

import math
from bisect import bisect_left
from typing import Final

# The most seconds that an answer of a bucket took. Each bound tells two causes of waiting from each other:
BOUNDS: Final = (
    0.0001,  # a name or bytes that the engine had, on an idle core
    0.001,  # the same on a busy machine
    0.005,  # an S3 server in the same rack, or a directory bucket ("single-digit milliseconds")
    0.01,
    0.025,  # S3 in the same region: a fast first byte ...
    0.05,
    0.1,
    0.25,  # ... and a usual one ("100-200 milliseconds", S3's performance guidelines)
    0.5,  # several requests one after the other, such as for a deep path
    1.0,  # a person notices
    5.0,  # S3 throttles, or requests were repeated
    30.0,  # S3 is away, or the memory is taken
    math.inf,
)
# As status and metrics call the buckets.
NAMES: Final = tuple("+Inf" if math.isinf(bound) else str(bound) for bound in BOUNDS)
_MICROSECONDS: Final = 1e6


class Latencies:
    """Of one engine, since it started."""

    def __init__(self) -> None:
        # By verb: how many answers are in each bucket, and at the end the seconds that all took together. One list, as
        # each look into a dictionary is time of every request.
        self._by_verb: dict[str, list[float]] = {}

    def note(self, verb: str, seconds: float) -> None:
        """An answer took so long."""
        counted = self._by_verb.get(verb)
        if counted is None:
            counted = self._by_verb[verb] = [0] * len(BOUNDS) + [0.0]
        counted[bisect_left(BOUNDS, seconds)] += 1
        counted[-1] += seconds

    def buckets(self) -> dict[str, dict[str, int]]:
        """How many answers, by verb and bucket; each is in one bucket, and empty ones are left out."""
        return {
            verb: {name: int(count) for name, count in zip(NAMES, counted, strict=False) if count}
            for verb, counted in self._by_verb.items()
        }

    def microseconds(self) -> dict[str, int]:
        """What all answers took together, by verb."""
        return {verb: round(counted[-1] * _MICROSECONDS) for verb, counted in self._by_verb.items()}
