"""What `log-metrics` asks for: every few seconds a line in the log about the counters that have changed.

Run by run.py beside the session. Reads `EngineStats` only; counts nothing itself.
"""

import logging
from collections.abc import Iterator, Mapping
from typing import Any, Final

import trio

from engine.counted import Stats
from engine.facts import about
from engine.message_ids import COUNTERS
from engine.stats import EngineStats

logger = logging.getLogger(__name__)

# Mountpoint's: often enough to see a burst, rare enough to keep a log readable.
METRICS_SECONDS: Final = 5.0


async def log_metrics(stats: EngineStats) -> None:
    """Log until cancelled. Nothing is logged while nothing changes."""
    before = stats.snapshot()
    while True:
        await trio.sleep(METRICS_SECONDS)
        now = stats.snapshot()
        if changed := " ".join(changes(before, now)):
            logger.info("metrics: %s", changed, extra=about(COUNTERS))
        before = now


def changes(before: Stats, now: Stats) -> Iterator[str]:
    """What is not as it was, as `name=value+difference` (or `-difference`), in the order of the message's fields."""
    old, new = _flat(before.model_dump()), _flat(now.model_dump())
    for name, value in new.items():
        if difference := value - old.get(name, 0):
            yield f"{name}={value}{difference:+}"


def _flat(stats: Mapping[str, Any]) -> dict[str, int]:
    """`s3_requests.GetObject` for what is counted by kind."""
    flat: dict[str, int] = {}
    for name, value in stats.items():
        if name.endswith("_latencies"):  # of the answers there is enough to read
            continue
        kinds = {f"{name}.{kind}": count for kind, count in value.items()} if isinstance(value, dict) else {name: value}
        flat.update(kinds)
    return flat
