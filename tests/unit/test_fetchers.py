"""Fetchers and the engine that asks them: whose work it is, errors, cancelling, and what happens when one is lost."""

import logging

import pytest
import trio
import trio.testing

from engine.errors import NoSuchKey, PreconditionFailed
from engine.fetch.fetchers import CHECK_SECONDS, FETCHED_BYTES_MIN, IDLE_SECONDS, PAUSE_SECONDS, Fetchers
from engine.spec import MiB
from tests.unit.fetching import ACCESS, OBJECT, World, fails_with, run, world
from tests.unit.reading import ETAG
from tests.unit.reading import Get as Seen

SIZE = 4 * MiB


async def read_all(made: World) -> None:
    """Read SIZE bytes, which must be right and come in order."""
    found, came = await made.read(0, SIZE)
    assert found == OBJECT[:SIZE]
    assert came == sorted(came)
    assert came[-1] == SIZE


def test_a_large_read_is_done_by_a_fetcher_straight_into_the_arena() -> None:
    async def test(made: World) -> None:
        await made.running()
        found, came = await made.read(MiB // 2, 3 * MiB)
        assert found == OBJECT[MiB // 2 : MiB // 2 + 3 * MiB]
        assert came == [MiB // 2, MiB // 2 + MiB, MiB // 2 + 2 * MiB, 3 * MiB]  # a slot at a time
        assert made.theirs == [Seen("k", MiB // 2, MiB // 2 + 3 * MiB, "done")]
        assert made.own.gets == []

    run(test)


def test_the_first_bytes_of_a_single_slot_are_told_of_at_once() -> None:
    async def test(made: World) -> None:
        await made.running()
        _, came = await made.read(0, MiB)
        assert came == [MiB // 4, MiB]

    run(test)


def test_a_small_read_and_one_into_other_memory_are_the_engines_own() -> None:
    async def test(made: World) -> None:
        await made.running()
        assert (await made.read(5, FETCHED_BYTES_MIN - 1))[0] == OBJECT[5 : 5 + FETCHED_BYTES_MIN - 1]
        elsewhere = memoryview(bytearray(MiB))
        await made.reader.get_object("k", offset=0, buffers=[elsewhere], if_match=ETAG, progress=lambda _count: None)
        assert elsewhere == OBJECT[:MiB]
        assert (len(made.own.gets), made.theirs) == (2, [])

    run(test)


def test_reads_go_to_the_fetcher_that_has_least_to_do() -> None:
    async def test(made: World) -> None:
        made.tasks.first.first_byte = 1.0
        await made.running()
        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(made.read)
        assert [len(client.gets) for client in made.tasks.clients] == [2, 2]

    run(test, count=2)


def test_what_a_fetchers_get_fails_with_is_the_readers_and_is_not_tried_again_by_the_engine() -> None:
    async def test(made: World) -> None:
        made.tasks.first.fail = fails_with(NoSuchKey("gone", code="NoSuchKey", status=404))
        await made.running()
        with pytest.raises(NoSuchKey) as failed:
            await made.read()
        assert (failed.value.code, failed.value.status, failed.value.key) == ("NoSuchKey", 404, "k")
        assert made.own.gets == []

    run(test)


def test_another_version_is_refused_by_a_fetcher_too() -> None:
    async def test(made: World) -> None:
        await made.running()
        with pytest.raises(PreconditionFailed):
            await made.read(etag='"2"')

    run(test)


def test_a_read_that_is_cancelled_ends_when_its_fetcher_writes_no_more() -> None:
    async def test(made: World) -> None:
        made.tasks.first.per_mib = 1.0
        await made.running()
        with trio.move_on_after(1.6) as limit:
            await made.read()
        assert limit.cancelled_caught
        assert [get.state for get in made.theirs] == ["cancelled"]
        assert made.came == [MiB, 3 * MiB // 2]  # no more than is there
        await read_all(made)  # it goes on being used
        assert made.own.gets == []

    run(test)


def test_a_read_that_is_cancelled_while_its_fetcher_is_stuck_ends_when_that_is_dead() -> None:
    async def test(made: World) -> None:
        made.tasks.deaf = True
        await made.running()
        with trio.move_on_after(0.5) as limit:
            await made.read()
        assert limit.cancelled_caught
        assert made.tasks.running[0].ended.is_set()
        assert trio.current_time() <= 3 * CHECK_SECONDS

    run(test)


def test_a_fetcher_that_dies_amid_a_read_leaves_the_rest_to_the_engine() -> None:
    async def test(made: World) -> None:
        pieces = 0

        def die(_get: Seen) -> None:
            nonlocal pieces
            pieces += 1
            if pieces == 10:  # of a quarter of a MiB
                made.tasks.running[0].scope.cancel()

        made.tasks.first.halfway = die
        await made.running()
        await read_all(made)
        assert made.own.gets == [Seen("k", 2 * MiB, SIZE, "done")]
        assert made.stats.fetchers == 0

    run(test)


def test_a_fetcher_that_says_nothing_is_ended_and_the_engine_reads(caplog: pytest.LogCaptureFixture) -> None:
    async def test(made: World) -> None:
        made.tasks.deaf = True
        await made.running()
        await read_all(made)
        assert made.own.ranges == [(0, SIZE)]
        assert made.tasks.running[0].ended.is_set()
        assert trio.current_time() <= 3 * CHECK_SECONDS

    run(test)
    assert "a fetcher is gone: it does not answer" in caplog.text


def test_a_fetcher_that_waits_for_a_slow_s3_is_not_taken_for_stuck() -> None:
    async def test(made: World) -> None:
        made.tasks.first.first_byte = 10 * CHECK_SECONDS
        await made.running()
        await read_all(made)
        assert made.own.gets == []

    run(test)


def test_a_fetcher_that_has_died_is_replaced_after_a_pause() -> None:
    async def test(made: World) -> None:
        await made.running()
        await made.read()
        made.tasks.running[0].scope.cancel()
        await trio.sleep(PAUSE_SECONDS - CHECK_SECONDS)
        assert made.stats.fetchers == 0
        await trio.sleep(2 * CHECK_SECONDS)
        assert made.stats.fetchers == 1
        await read_all(made)
        assert made.own.gets == []

    run(test)


def test_a_fetcher_that_cannot_be_started_is_done_without_and_tried_later(caplog: pytest.LogCaptureFixture) -> None:
    async def test(made: World) -> None:
        made.tasks.refuses = True
        await made.running()
        await read_all(made)
        assert len(made.own.gets) == 1
        made.tasks.refuses = False
        await trio.sleep(PAUSE_SECONDS + CHECK_SECONDS)
        assert made.stats.fetchers == 1

    run(test)
    assert caplog.text.count("a fetcher could not be started: no more processes") == 1


def test_fetchers_start_when_large_reads_overlap_and_end_when_none_has_come_for_a_while() -> None:
    async def test(made: World) -> None:
        made.own.first_byte = 0.1
        for _ in range(3):
            await made.read()
        assert made.tasks.running == []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(made.read)
            nursery.start_soon(made.read)
        assert made.stats.fetchers == 2
        for _ in range(3):
            await trio.sleep(IDLE_SECONDS / 2)
            await made.read()
        assert made.stats.fetchers == 2
        await trio.sleep(IDLE_SECONDS + 2 * CHECK_SECONDS)
        assert made.stats.fetchers == 0
        assert all(each.ended.is_set() for each in made.tasks.running)
        await made.running()
        assert made.stats.fetchers == 2

    run(test, count=2)


def test_an_engine_that_ends_amid_a_read_waits_for_nobody() -> None:
    async def test() -> None:
        with trio.move_on_after(10):
            async with world(1) as made, trio.open_nursery() as nursery:
                made.tasks.deaf = True
                await made.running()
                nursery.start_soon(made.read)
                await trio.testing.wait_all_tasks_blocked()
                nursery.cancel_scope.cancel()
                made.tasks.running[0].scope.cancel()

    trio.run(test)


def test_counters_and_what_s3_says_are_the_mounts() -> None:
    async def test(made: World) -> None:
        await made.running()
        client = made.tasks.clients[0]
        client.stats.s3_requests["GetObject"] += 2
        client.stats.s3_bytes_received += 7
        client.stats.s3_latencies.note("GetObject", 0.2)
        made.stats.s3_latencies.note("GetObject", 0.3)
        client.stats.s3_retries += 1
        client.stats.unreachable("no route")
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert (made.stats.backend.reachable, made.stats.backend.error) == (False, "no route")
        client.stats.answered()
        client.stats.s3_requests["GetObject"] += 1
        await made.read()
        assert made.stats.backend.reachable is True
        assert (made.stats.s3_requests["GetObject"], made.stats.s3_bytes_received, made.stats.s3_retries) == (3, 7, 1)
        assert made.stats.s3_latencies.buckets() == {"GetObject": {"0.25": 1, "0.5": 1}}
        assert made.stats.s3_latencies.microseconds() == {"GetObject": 500_000}

    run(test)


def test_new_keys_reach_fetchers_that_run_and_those_to_come() -> None:
    async def test(made: World) -> None:
        await made.running()
        made.fetchers.use(ACCESS.model_copy(update={"region": "there"}))
        made.fetchers.keep()
        await made.read()
        assert (made.tasks.clients[0].used, made.tasks.clients[0].kept) == (["us-east-1", "there"], 1)
        made.tasks.running[0].scope.cancel()
        await trio.sleep(PAUSE_SECONDS + CHECK_SECONDS)
        assert made.tasks.clients[1].used == ["there"]

    run(test)


def test_keys_that_s3_refuses_a_fetcher_are_renewed_but_not_those_that_have_been() -> None:
    async def test(made: World) -> None:
        await made.running()
        client = made.tasks.clients[0]
        client.rejected()
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert len(made.rejections) == 1
        made.fetchers.use(ACCESS)
        client.rejected()  # of the keys before: the others are on their way to it
        client.stats.refused("the keys are old")
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert len(made.rejections) == 1
        assert made.stats.backend.refused is None
        client.stats.refused("these are, too")
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert made.stats.backend.refused == "these are, too"
        client.stats.accepted("GetObject")
        await made.read()
        assert made.stats.backend.refused is None

    run(test)


def test_what_a_fetcher_logs_is_in_the_engines_log(caplog: pytest.LogCaptureFixture) -> None:
    async def test(made: World) -> None:
        await made.running()
        fetcher = made.tasks.running[0].fetcher
        assert fetcher is not None
        record = logging.LogRecord("engine.s3", logging.WARNING, "client.py", 7, "", (), None)
        fetcher.log(record, "GetObject failed: 100 %")
        await trio.testing.wait_all_tasks_blocked(0.01)

    run(test)
    (record,) = [record for record in caplog.records if record.name == "engine.s3"]
    assert (record.levelno, record.getMessage()) == (logging.WARNING, "GetObject failed: 100 %")
    assert (record.pathname, record.lineno) == ("client.py", 7)


def test_no_fetchers_are_the_engines_own_client() -> None:
    async def test(made: World) -> None:
        async with Fetchers(None, made.stats).reading(made.own, made.arena) as found:
            assert found is made.own

    run(test)
