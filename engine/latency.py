"""How long programs waited for their answers, and S3 took to begin its: a histogram for each kind of request. Pure.

Fed by fuse/operations.py and s3/attempt.py. On the path of every request, so it costs a search among a dozen numbers
and two additions, below a microsecond.
"""

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
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
# Of what S3 answers: none comes within a millisecond.
S3_BOUNDS: Final = BOUNDS[2:]


def names(bounds: Sequence[float]) -> tuple[str, ...]:
    """As status and metrics call the buckets."""
    return tuple("+Inf" if math.isinf(bound) else str(bound) for bound in bounds)


NAMES: Final = names(BOUNDS)
S3_NAMES: Final = names(S3_BOUNDS)
_MICROSECONDS: Final = 1e6


class Latencies:
    """Of one engine, since it started.

    Args:
        bounds: the most seconds of each bucket, in order; the last one is infinity.
    """

    def __init__(self, bounds: Sequence[float] = BOUNDS) -> None:
        self._bounds = bounds
        self._names = names(bounds)
        # By verb: how many answers are in each bucket, and at the end the seconds that all took together. One list, as
        # each look into a dictionary is time of every request.
        self._by_verb: dict[str, list[float]] = {}

    def note(self, verb: str, seconds: float) -> None:
        """An answer took so long."""
        counted = self._by_verb.get(verb)
        if counted is None:
            counted = self._by_verb[verb] = [0] * len(self._bounds) + [0.0]
        counted[bisect_left(self._bounds, seconds)] += 1
        counted[-1] += seconds

    def buckets(self) -> dict[str, dict[str, int]]:
        """How many answers, by verb and bucket; each is in one bucket, and empty ones are left out."""
        return {
            verb: {name: int(count) for name, count in zip(self._names, counted, strict=False) if count}
            for verb, counted in self._by_verb.items()
        }

    def microseconds(self) -> dict[str, int]:
        """What all answers took together, by verb."""
        return {verb: round(counted[-1] * _MICROSECONDS) for verb, counted in self._by_verb.items()}

    def take(self) -> dict[str, list[float]]:
        """All that was counted, for `add` elsewhere; nothing is, from now on."""
        taken, self._by_verb = self._by_verb, {}
        return taken

    def add(self, taken: Mapping[str, Sequence[float]]) -> None:
        """What another process of this version has taken."""
        for verb, others in taken.items():
            counted = self._by_verb.get(verb, [0.0] * len(others))
            self._by_verb[verb] = [ours + theirs for ours, theirs in zip(counted, others, strict=True)]
