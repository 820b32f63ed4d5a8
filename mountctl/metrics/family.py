"""What a metric is: its name, its kind, its meaning, and how its samples are read out of a status. Pure."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Literal, NamedTuple

PREFIX: Final = "mountctl_"
_UNITS: Final = frozenset({"seconds", "bytes"})
_SUFFIXES: Final = {"counter": "_total", "info": "_info"}

# A part of a status, as JSON has it.
Part = Mapping[str, Any]
Labels = tuple[tuple[str, str], ...]
Kind = Literal["counter", "gauge", "histogram", "info"]


class Histogram(NamedTuple):
    """The value of a histogram.

    Args:
        bounds: of the buckets, as labels have them, in order; the last one is +Inf.
        counts: how many observations each bucket has; not cumulative.
        total: the sum of all observations.
    """

    bounds: tuple[str, ...]
    counts: tuple[int, ...]
    total: float


Sample = tuple[Labels, float | Histogram]


@dataclass(frozen=True)
class Family:
    """A metric.

    Args:
        name: without PREFIX, and without the suffix of its kind (`_total`, `_info`).
        kind: its type, as OpenMetrics names them.
        help: one sentence.
        samples: reads them out of what it is about: the whole status, or one mount of it.
        labels: beside `mount`, for the documentation.
    """

    name: str
    kind: Kind
    help: str
    samples: Callable[[Part], Iterable[Sample]]
    labels: tuple[str, ...] = ()

    @property
    def unit(self) -> str:
        """The base unit, which its name ends in as OpenMetrics wants it; empty: it has none."""
        end = self.name.rpartition("_")[2]
        return end if end in _UNITS else ""

    @cached_property
    def sample_name(self) -> str:
        """What a query asks for; of a histogram, what `_bucket`, `_sum` and `_count` are added to."""
        return f"{PREFIX}{self.name}{_SUFFIXES.get(self.kind, '')}"


@dataclass(frozen=True)
class Collected:
    """A metric with its samples; those of mounts have the label `mount` in front."""

    family: Family
    samples: list[Sample]


def part(of: Part, key: str) -> Part:
    """A part that may be missing, or null."""
    return of.get(key) or {}
