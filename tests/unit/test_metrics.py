"""engine/metrics.py: counters that changed, in the log."""

import logging

import pytest
import trio
import trio.testing

from engine.counted import Stats
from engine.metrics import METRICS_SECONDS, changes, log_metrics
from engine.stats import EngineStats


def test_what_changed_is_told_with_its_value_and_the_difference() -> None:
    before = Stats(bytes_read=5, s3_requests={"GetObject": 1, "HeadObject": 3}, open_files=2)
    now = Stats(bytes_read=7, s3_requests={"GetObject": 4, "HeadObject": 3, "PutObject": 1}, open_files=0)

    assert list(changes(before, now)) == [
        "bytes_read=7+2",
        "s3_requests.GetObject=4+3",
        "s3_requests.PutObject=1+1",
        "open_files=0-2",
    ]
    assert list(changes(now, now)) == []


def test_a_line_comes_every_five_seconds_while_something_changes(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    async def main() -> None:
        stats = EngineStats()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(log_metrics, stats)
            await trio.testing.wait_all_tasks_blocked()
            await trio.sleep(METRICS_SECONDS / 2)
            for _ in range(2):
                stats.bytes_read += 10
                await trio.sleep(METRICS_SECONDS)
            await trio.sleep(METRICS_SECONDS * 3)
            nursery.cancel_scope.cancel()

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))

    assert caplog.messages == ["metrics: bytes_read=10+10", "metrics: bytes_read=20+10"]
