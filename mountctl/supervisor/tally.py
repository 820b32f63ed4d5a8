"""Adds up what the engines of one mount counted, so that counters go on when an engine is replaced. Pure."""

from collections import Counter
from typing import Final

from engine.link import Stats

# Gauges say how things are now: those of a dead engine are gone with it.
_GAUGES: Final = frozenset(
    {"inodes", "open_files", "open_directories", "uploads", "arena_bytes", "answering", "fetchers"}
)


def add(before: Stats, now: Stats) -> Stats:
    """Counters of `before` and `now` together, gauges of `now`."""
    total: dict[str, int | dict[str, int]] = {}
    for name in Stats.model_fields:
        old, new = getattr(before, name), getattr(now, name)
        if name in _GAUGES:
            total[name] = new
        elif isinstance(new, dict):
            total[name] = dict(Counter(old) + Counter(new))
        else:
            total[name] = old + new
    return Stats.model_validate(total)


def without_gauges(stats: Stats) -> Stats:
    """What stays when the engine that counted is gone."""
    return stats.model_copy(update=dict.fromkeys(_GAUGES, 0))
