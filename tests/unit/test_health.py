"""engine/health.py and what engine/stats.py knows of S3: when it is asked, and what a refusal means."""

from collections.abc import Awaitable, Callable

import pytest
import trio
import trio.testing

from engine.errors import AccessDenied, NoSuchBucket, S3Error, Throttled, Unreachable
from engine.health import IDLE_SECONDS, PROBE_SECONDS_MAX, TROUBLE_SECONDS, BackendProber
from engine.stats import EngineStats
from tests.unit.bucket import LIST, Bucket

HEAD_BUCKET = "HeadBucket"
DENIED = AccessDenied("no", code="AccessDenied", status=403)

Body = Callable[[Bucket, EngineStats, BackendProber], Awaitable[None]]


def probing(body: Body) -> None:
    """Run `body` beside a prober, on a clock that costs nothing."""

    async def main() -> None:
        bucket, stats = Bucket(), EngineStats()
        prober = BackendProber(bucket, stats, prefix="p/", explain=lambda error: f"explained: {error.code}")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(prober.run)
            await trio.testing.wait_all_tasks_blocked()
            await body(bucket, stats, prober)
            nursery.cancel_scope.cancel()

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def test_an_idle_backend_is_probed_rarely_an_unreachable_one_often_and_a_busy_one_never() -> None:
    async def body(bucket: Bucket, stats: EngineStats, _: BackendProber) -> None:
        await trio.sleep(IDLE_SECONDS * 2.5)
        assert bucket.requests == {HEAD_BUCKET: 2}

        stats.unreachable("down")
        bucket.failures[HEAD_BUCKET] = Unreachable("down")
        await trio.sleep(IDLE_SECONDS)
        seen = bucket.requests[HEAD_BUCKET]
        await trio.sleep(TROUBLE_SECONDS * 5)
        assert bucket.requests[HEAD_BUCKET] - seen == 5

        stats.answered()
        await trio.sleep(TROUBLE_SECONDS)
        seen = bucket.requests[HEAD_BUCKET]
        for _number in range(30):
            stats.answered()
            await trio.sleep(IDLE_SECONDS / 10)
        assert bucket.requests == {HEAD_BUCKET: seen}

    probing(body)


def test_a_denial_has_the_mounts_own_listing_asked_for_and_one_that_is_answered_is_no_trouble() -> None:
    async def body(bucket: Bucket, stats: EngineStats, _: BackendProber) -> None:
        stats.denials += 1
        await trio.sleep(IDLE_SECONDS * 1.5)
        assert bucket.requests == {LIST: 1}
        assert stats.backend.trouble is None
        await trio.sleep(IDLE_SECONDS)
        assert bucket.requests == {LIST: 1, HEAD_BUCKET: 1}

    probing(body)


@pytest.mark.parametrize("refusal", [DENIED, NoSuchBucket("gone", code="NoSuchBucket", status=404)])
def test_a_mount_that_may_not_be_listed_any_more_is_in_trouble_until_it_may(refusal: S3Error) -> None:
    async def body(bucket: Bucket, stats: EngineStats, _: BackendProber) -> None:
        bucket.failures[HEAD_BUCKET] = bucket.failures[LIST] = refusal
        await trio.sleep(IDLE_SECONDS * 1.5)
        assert stats.backend.trouble == f"explained: {refusal.code}"
        stats.accepted("GetObject")  # an object that may be read does not make a directory that may be listed
        assert stats.backend.trouble is not None
        bucket.failures.clear()
        stats.accepted(LIST)
        assert stats.backend.trouble is None

    probing(body)


def test_keys_that_may_list_only_a_prefix_are_asked_for_that_from_then_on() -> None:
    async def body(bucket: Bucket, stats: EngineStats, _: BackendProber) -> None:
        bucket.failures[HEAD_BUCKET] = DENIED
        await trio.sleep(IDLE_SECONDS * 3.5)
        assert bucket.requests == {HEAD_BUCKET: 1, LIST: 3}
        assert stats.backend.trouble is None

    probing(body)


def test_new_keys_are_tried_at_once_and_trouble_of_the_moment_is_no_refusal() -> None:
    async def body(bucket: Bucket, stats: EngineStats, prober: BackendProber) -> None:
        await trio.sleep(IDLE_SECONDS / 2)
        prober.ask_soon()
        await trio.testing.wait_all_tasks_blocked()
        assert bucket.requests == {LIST: 1}
        bucket.failures[HEAD_BUCKET] = bucket.failures[LIST] = Throttled("slow down", code="SlowDown", status=503)
        await trio.sleep(IDLE_SECONDS * 2)
        assert stats.backend.refused is None

    probing(body)


def test_a_probe_without_an_answer_is_told_in_time() -> None:
    async def body(bucket: Bucket, stats: EngineStats, _: BackendProber) -> None:
        bucket.gates[HEAD_BUCKET] = trio.Event()
        await trio.sleep(IDLE_SECONDS + PROBE_SECONDS_MAX + 1)
        assert stats.backend.trouble == "S3 did not answer within 5 seconds"

    probing(body)


def test_a_change_of_the_backend_is_told_once() -> None:
    stats = EngineStats()
    changes: list[str | None] = []
    stats.backend_changed = lambda: changes.append(stats.backend.trouble)
    for event in (
        stats.answered,
        stats.answered,
        lambda: stats.unreachable("x"),
        lambda: stats.unreachable("x"),
        stats.answered,
        lambda: stats.refused("y"),
        lambda: stats.refused("y"),
        lambda: stats.unreachable("x"),
        stats.answered,
        lambda: stats.accepted("GetObject"),
        lambda: stats.accepted("GetObject"),
    ):
        event()

    assert changes == [None, "x", None, "y", "x", "y", None]
    assert stats.answers == 4
