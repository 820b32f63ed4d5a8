"""Adds up what the engines of one mount counted, so that counters go on when an engine is replaced. Pure."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from engine.counted import Stats

# Gauges say how things are now: those of a dead engine are gone with it.
_GAUGES: Final = frozenset(
    {"inodes", "open_files", "open_directories", "uploads", "arena_bytes", "arena_bytes_max", "answering", "fetchers"}
)
_NOTHING: Final = Stats()


class Tally:
    """What all engines of a mount have counted, one after the other. Added up when somebody asks, once a heartbeat."""

    def __init__(self) -> None:
        self.now = Stats()
        self._before = Stats()  # counted by those that are gone
        self._total: Stats | None = None

    @property
    def total(self) -> Stats:
        """Of all of them."""
        if self._total is None:
            self._total = add(self._before, self.now)
        return self._total

    def heard(self, stats: Stats) -> None:
        """The current one has told what it has counted so far."""
        self.now, self._total = stats, None

    def is_gone(self) -> None:
        """The current one has."""
        self._before, self.now, self._total = without_gauges(self.total), Stats(), None


def add(before: Stats, now: Stats) -> Stats:
    """Counters of `before` and `now` together, gauges of `now`."""
    if before == _NOTHING:
        return now
    total: dict[str, Any] = {}
    for name in Stats.model_fields:
        old, new = getattr(before, name), getattr(now, name)
        if name in _GAUGES:
            total[name] = new
        elif name.endswith("_latencies"):
            total[name] = {verb: _sum(old.get(verb, {}), new.get(verb, {})) for verb in old | new}
        elif isinstance(new, dict):
            total[name] = _sum(old, new)
        else:
            total[name] = old + new
    return Stats.model_construct(**total)  # of two that were looked at when they came


def without_gauges(stats: Stats) -> Stats:
    """What stays when the engine that counted is gone."""
    return stats.model_copy(update=dict.fromkeys(_GAUGES, 0))


def _sum(old: Mapping[str, int], new: Mapping[str, int]) -> dict[str, int]:
    return dict(Counter(old) + Counter(new))
