"""Adds up what the engines of one mount counted, so that counters go on when an engine is replaced. Pure."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from engine.counted import Stats

# Gauges say how things are now: those of a dead engine are gone with it.
_GAUGES: Final = frozenset(
    {"inodes", "open_files", "open_directories", "uploads", "arena_bytes", "arena_bytes_max", "answering", "fetchers"}
)


def add(before: Stats, now: Stats) -> Stats:
    """Counters of `before` and `now` together, gauges of `now`."""
    total: dict[str, Any] = {}
    for name in Stats.model_fields:
        old, new = getattr(before, name), getattr(now, name)
        if name in _GAUGES:
            total[name] = new
        elif name == "fuse_latencies":
            total[name] = {verb: _sum(old.get(verb, {}), new.get(verb, {})) for verb in old | new}
        elif isinstance(new, dict):
            total[name] = _sum(old, new)
        else:
            total[name] = old + new
    return Stats.model_validate(total)


def without_gauges(stats: Stats) -> Stats:
    """What stays when the engine that counted is gone."""
    return stats.model_copy(update=dict.fromkeys(_GAUGES, 0))


def _sum(old: Mapping[str, int], new: Mapping[str, int]) -> dict[str, int]:
    return dict(Counter(old) + Counter(new))
