"""An answer that lags is asked for over another connection: the first one wins, few are asked twice, no bytes mix."""

import itertools
import os
import socket
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
import trio
import trio.testing

from engine.errors import S3Error, Unreachable
from engine.s3 import hedging, wire
from engine.s3.client import HttpClient
from engine.s3.hedging import (
    CALM_SECONDS,
    HEDGES_PER_REQUEST,
    LAG_SECONDS_MIN,
    TIMES_BETWEEN,
)
from engine.s3.interface import ObjectInfo, UploadOptions
from engine.stats import EngineStats
from tests.faults import Answer, ScriptedServer, Seen, as_asked, error
from tests.unit.talking import IDLE_SECONDS

DATA: Final = os.urandom(1_500_000)
HEAD: Final = {"Content-Length": "5", "ETag": '"e"', "Last-Modified": "Sun, 06 Nov 1994 08:49:37 GMT"}
LIST: Final = b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"

# So late that whoever waits for it is noticed, and below what is given up.
LATE_SECONDS: Final = 10.0

Ask = Callable[[HttpClient], Awaitable[Any]]


class Lagging(ScriptedServer):
    """A server that `plan` is asked about each request once `begin` was called; until then it answers at once."""

    def __init__(self, plan: Callable[[Seen], dict[str, Any]] | None = None) -> None:
        super().__init__([self._decide])
        self.plan = plan
        self.begun = 0  # requests before

    def begin(self) -> None:
        self.begun = len(self.seen)

    @property
    def since(self) -> list[Seen]:
        """What came since."""
        return self.seen[self.begun :]

    def _decide(self, seen: Seen) -> Answer:
        how = self.plan(seen) if self.plan and self.begun else {}
        if "answer" in how:
            answer = how["answer"]
            assert isinstance(answer, Answer)
            return answer
        if seen.method == "HEAD":
            return Answer(200, HEAD, **how)
        if "list-type" in seen.target:
            return Answer(200, {}, LIST, **how)
        if seen.method == "GET":
            answer = as_asked(how.pop("data", DATA), **how)(seen)
            return replace(answer, headers=answer.headers | {"Last-Modified": HEAD["Last-Modified"]})
        return Answer(200, {"ETag": '"e"'}, **how)


def first_of_all() -> Callable[[Seen], dict[str, Any]]:
    """The first request lags, all others do not."""
    delays = itertools.chain([LATE_SECONDS], itertools.repeat(0.0))
    return lambda _seen: {"head_delay": next(delays)}


async def head(client: HttpClient) -> None:
    assert (await client.head_object("k")).size == 5


async def listing(client: HttpClient) -> None:
    assert (await client.list_objects("")).objects == []


async def get(client: HttpClient, count: int = 1000) -> None:
    memory, progress = bytearray(count), [0]
    await client.get_object("k", offset=0, buffers=[memoryview(memory)], if_match='"e"', progress=progress.append)
    assert memory == DATA[:count]
    assert progress == sorted(progress)
    assert progress[-1] == count


async def put(client: HttpClient) -> None:
    await client.put_object("k", body=[b"x"], upload=UploadOptions())


async def delete(client: HttpClient) -> None:
    await client.delete_object("k")


async def probe(client: HttpClient) -> None:
    await client.probe()


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def talk(
    server: Lagging, ask: Ask, usual: Ask, stats: EngineStats | None = None, listen: str = "127.0.0.1", **options: Any
) -> EngineStats:
    """Ask when it is known how long usual answers take."""
    counted = stats or EngineStats()
    before = descriptors()

    async def main() -> None:
        async with server.running(listen=listen):
            client = HttpClient(server.access(), stats=counted, **options)
            for _ in range(TIMES_BETWEEN):
                await usual(client)
            assert counted.s3_hedges == 0
            server.begin()
            await ask(client)
            await client.aclose()

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=IDLE_SECONDS))
    assert descriptors() == before
    return counted


@pytest.mark.parametrize("ask", [head, listing, get])
def test_an_answer_that_lags_is_asked_for_over_another_connection(ask: Ask) -> None:
    server = Lagging(first_of_all())

    async def in_time(client: HttpClient) -> None:
        with trio.fail_after(LATE_SECONDS / 2):
            await ask(client)

    stats = talk(server, in_time, ask)
    assert (stats.s3_hedges, stats.s3_retries, stats.s3_errors) == (1, 0, {})
    assert [seen.connection for seen in server.since] == [0, 1]
    assert len({(seen.target, seen.headers.get("range")) for seen in server.since}) == 1
    assert stats.s3_requests.total() == len(server.seen)
    [counted] = stats.s3_latencies.buckets().values()
    assert sum(counted.values()) == len(server.seen) - 1, "the one that lags was never answered"


def test_it_is_another_address_if_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    connected: list[wire.Address] = []
    connect = wire.connect

    async def resolve(_host: str, port: int) -> list[wire.Address]:
        await trio.lowlevel.checkpoint()
        return [(socket.AF_INET, (host, port)) for host in ("127.0.0.1", "127.0.0.2")]

    async def note(address: wire.Address, interface: str | None = None) -> wire.PlainWire:
        connected.append(address)
        return await connect(address, interface)

    monkeypatch.setattr(wire, "resolve", resolve)
    monkeypatch.setattr(wire, "connect", note)
    stats = talk(Lagging(first_of_all()), head, head, listen="0.0.0.0")
    assert stats.s3_hedges == 1
    assert len(connected) == len(set(connected)) == 2


@pytest.mark.parametrize("ask", [put, delete, probe])
def test_what_changes_something_or_is_asked_again_anyway_is_asked_once(ask: Ask) -> None:
    server = Lagging(first_of_all())
    assert talk(server, ask, ask).s3_hedges == 0
    assert len(server.since) == 1


def test_while_it_is_not_known_what_is_usual_nothing_is_asked_twice() -> None:
    server = Lagging(first_of_all())

    async def first_get(client: HttpClient) -> None:
        await get(client)

    assert talk(server, first_get, head).s3_hedges == 0
    assert len(server.since) == 1


def test_the_first_answer_wins_also_if_it_is_the_first_ones() -> None:
    delays = iter([LAG_SECONDS_MIN * 2, LATE_SECONDS])
    server = Lagging(lambda _seen: {"head_delay": next(delays)})

    async def in_time(client: HttpClient) -> None:
        with trio.fail_after(LATE_SECONDS / 2):
            await get(client)

    assert talk(server, in_time, get).s3_hedges == 1
    assert len(server.since) == 2


def test_a_large_body_comes_from_one_answer_only() -> None:
    """The one that loses has other bytes, which must not get into the buffers, though both come at the same moment."""
    wrong = bytes(len(DATA))
    plans: Iterator[dict[str, Any]] = iter(
        [{"head_delay": LAG_SECONDS_MIN * 3, "data": wrong}, {"head_delay": LAG_SECONDS_MIN}]
    )
    server = Lagging(lambda _seen: next(plans))
    stats = talk(server, lambda client: get(client, len(DATA)), get)
    assert (stats.s3_hedges, len(server.since)) == (1, 2)
    assert stats.s3_bytes_received == TIMES_BETWEEN * 1000 + len(DATA)


def test_where_most_answers_lag_few_are_asked_twice() -> None:
    server = Lagging(lambda _seen: {"head_delay": 1.0})
    count = 200

    async def many(client: HttpClient) -> None:
        for _ in range(count):
            await head(client)

    stats = talk(server, many, head)
    assert 1 <= stats.s3_hedges <= 1 + HEDGES_PER_REQUEST * (TIMES_BETWEEN + count)
    assert len(server.since) == count + stats.s3_hedges


def test_one_that_lags_in_a_hundred_is_asked_twice_each_time() -> None:
    numbers = itertools.count(1)
    server = Lagging(lambda _seen: {"head_delay": LATE_SECONDS if next(numbers) % 101 == 0 else 0.0})

    async def many(client: HttpClient) -> None:
        for _ in range(1000):
            await head(client)

    stats = talk(server, many, head)
    assert stats.s3_hedges == 9
    assert len(server.since) == 1000 + 9


def test_after_s3_asked_to_slow_down_nothing_is_asked_twice_for_a_while() -> None:
    plans = itertools.chain([{"answer": error(503, "SlowDown")}, {}, {"head_delay": 5.0}, {}, {"head_delay": 5.0}, {}])
    server = Lagging(lambda _seen: next(plans))

    async def around(client: HttpClient) -> None:
        await head(client)
        await head(client)
        assert len(server.since) == 3
        await trio.sleep(CALM_SECONDS + 1)
        server.plan = None
        for _ in range(round(1 / HEDGES_PER_REQUEST)):
            await head(client)
        server.plan = first_of_all()
        server.begin()
        await head(client)

    assert talk(server, around, head).s3_hedges == 1
    assert len(server.since) == 2


def test_without_room_for_another_connection_it_is_waited_for() -> None:
    server = Lagging(first_of_all())
    assert talk(server, head, head, connections_max=1).s3_hedges == 0
    assert len(server.since) == 1


@pytest.mark.parametrize("second", [error(503, "SlowDown"), Answer(raw=b"")])
def test_a_second_answer_that_is_none_does_not_count(second: Answer) -> None:
    plans: Iterator[dict[str, Any]] = iter([{"head_delay": LATE_SECONDS}, {"answer": second}])
    server = Lagging(lambda _seen: next(plans))
    stats = talk(server, get, get)
    assert (len(server.since), stats.s3_hedges, stats.s3_retries) == (2, 1, 0)


def test_a_first_answer_that_is_none_leaves_it_to_the_second() -> None:
    broken = Answer(raw=b"", head_delay=LAG_SECONDS_MIN * 2)
    plans: Iterator[dict[str, Any]] = iter([{"answer": broken}, {"head_delay": 1.0}])
    server = Lagging(lambda _seen: next(plans))
    stats = talk(server, get, get)
    assert (len(server.since), stats.s3_hedges, stats.s3_retries) == (2, 1, 0)


def test_two_failures_are_one() -> None:
    refusal = error(404, "NoSuchKey")
    late = Answer(refusal.status, refusal.headers, refusal.body, head_delay=LATE_SECONDS)
    server = Lagging(lambda _seen: {"answer": late})

    async def once(client: HttpClient) -> None:
        with pytest.raises(S3Error):
            await get(client)

    stats = talk(server, once, get)
    assert (len(server.since), stats.s3_errors) == (2, {"NoSuchKey": 1})


def test_neither_answers() -> None:
    server = Lagging(lambda _seen: {"answer": Answer(never=True)})

    async def once(client: HttpClient) -> None:
        with pytest.raises(Unreachable, match="did not answer within 30 seconds"):
            await get(client)

    assert talk(server, once, get, attempts_max=1).s3_hedges == 1
    assert len(server.since) == 2


def test_cancelled_while_both_are_waited_for_nothing_is_left() -> None:
    server = Lagging(lambda _seen: {"answer": Answer(never=True)})

    async def cancelled(client: HttpClient) -> None:
        with trio.move_on_after(LATE_SECONDS) as scope:
            await get(client)
        assert scope.cancelled_caught
        assert client._current.pool.idle == 0
        assert client._current.pool._room.value == 4
        server.plan = None
        await get(client)

    assert talk(server, cancelled, get, connections_max=4).s3_hedges == 1


PART: Final = 1 << 20


def slow_first_body(cut: int, pause: float) -> Callable[[Seen], dict[str, Any]]:
    plans = itertools.chain([{"cut": cut, "body_pause": pause}], itertools.repeat({}))
    return lambda _seen: dict(next(plans))


@pytest.mark.parametrize(("cut", "pause"), [(300_000, 1000.0), (20_000, 2.0), (1, 1000.0)])
def test_the_rest_of_a_body_that_lags_is_asked_for_over_another_connection(cut: int, pause: float) -> None:
    server = Lagging(slow_first_body(cut, pause))

    async def in_time(client: HttpClient) -> None:
        with trio.fail_after(LATE_SECONDS):
            await get(client, PART)

    stats = talk(server, in_time, lambda client: get(client, PART))
    assert (stats.s3_hedges, stats.s3_retries, stats.s3_errors) == (1, 0, {})
    first, second = server.since
    assert first.connection != second.connection
    begins = int(second.headers["range"].removeprefix("bytes=").partition("-")[0])
    assert 0 < begins <= (cut if pause > LATE_SECONDS else PART)
    assert stats.s3_bytes_received == (TIMES_BETWEEN + 1) * PART


async def small(client: HttpClient) -> None:
    await get(client, 100_000)


async def beginning(client: HttpClient) -> None:
    memory, found = bytearray(100_000), list[ObjectInfo]()
    await client.get_beginning("k", buffer=memoryview(memory), known=found.append, progress=lambda _count: None)
    assert (memory, len(found)) == (DATA[: len(memory)], 1)


@pytest.mark.parametrize(("ask", "cut"), [(small, 50_000), (small, 1), (beginning, 50_000), (listing, 10)])
def test_a_small_body_on_which_nothing_comes_is_asked_for_over_another_connection(ask: Ask, cut: int) -> None:
    """Whatever is usual: nothing is known of large ones where all files are small."""
    server = Lagging(slow_first_body(cut, 1000.0))

    async def in_time(client: HttpClient) -> None:
        with trio.fail_after(LATE_SECONDS):
            await ask(client)

    stats = talk(server, in_time, head)
    assert (stats.s3_hedges, stats.s3_retries, stats.s3_errors) == (1, 0, {})
    first, second = server.since
    assert first.connection != second.connection
    if ask is not listing:
        assert second.headers["range"].startswith(f"bytes={cut}-")
        assert second.headers["if-match"] == '"e"'


def test_bodies_that_are_all_slow_do_not_lag() -> None:
    server = Lagging(lambda _seen: {"cut": 20_000, "body_pause": 0.1})

    async def many(client: HttpClient) -> None:
        await get(client, PART)  # of which nothing is known yet

    async def small(client: HttpClient) -> None:
        await get(client, 10)

    assert talk(server, many, small).s3_hedges == 0
    assert len(server.since) == 1


def test_a_body_on_which_nothing_comes_and_that_may_not_be_asked_for_twice_is_given_up_in_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hedging, "HEDGES_PER_REQUEST", 0.0)
    monkeypatch.setattr(hedging.Hedging, "spend", lambda _self, _pool: False)
    server = Lagging(slow_first_body(300_000, 1000.0))
    stats = talk(server, lambda client: get(client, PART), lambda client: get(client, PART))
    assert (stats.s3_hedges, stats.s3_retries) == (0, 1)
    assert len(server.since) == 2
