"""The client against servers that misbehave: what it rides out, what it reports, and what it leaves behind.

The server runs in the same loop, and trio's clock jumps when nothing is left to do: no test waits for a timeout.
"""

import os
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from engine.errors import (
    AccessDenied,
    BadResponse,
    NoSuchBucket,
    NoSuchKey,
    PreconditionFailed,
    S3Error,
    Throttled,
    Unreachable,
    WrongRegion,
)
from engine.link import Access
from engine.s3.client import USER_AGENT, HttpClient
from engine.s3.connection import HEAD_SECONDS_MAX
from engine.s3.interface import ObjectInfo
from engine.s3.retry import ATTEMPTS_MAX, DELAY_SECONDS_MAX, RETRYING_SECONDS_MAX
from engine.stats import EngineStats
from tests.faults import Answer, ScriptedServer, as_asked, error, ranged
from tests.unit.talking import IDLE_SECONDS, talk

DATA = os.urandom(600_000)
HEAD = Answer(200, {"Content-Length": "5", "ETag": '"e"', "Last-Modified": "Sun, 06 Nov 1994 08:49:37 GMT"})
DATED = {"ETag": '"e"', "Last-Modified": "Sun, 06 Nov 1994 08:49:37 GMT"}
EMPTY_LIST = b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"


async def read(client: HttpClient, offset: int, count: int, seen: list[int] | None = None) -> bytes:
    memory = bytearray(count)
    half = count // 2
    views = [memoryview(memory)[:half], memoryview(memory)[half:]]
    progress = (seen if seen is not None else []).append
    await client.get_object("k", offset=offset, buffers=views, if_match='"e"', progress=progress)
    return bytes(memory)


async def begin(client: HttpClient, size: int) -> tuple[ObjectInfo, bytes]:
    memory, told, placed = bytearray(size), list[ObjectInfo](), [0]
    await client.get_beginning("k", buffer=memoryview(memory), known=told.append, progress=placed.append)
    (info,) = told
    return info, bytes(memory[: placed[-1]])


def test_a_beginning_that_breaks_off_goes_on_with_the_same_version() -> None:
    async def ask(client: HttpClient) -> None:
        info, data = await begin(client, 1000)
        assert (info.size, info.etag, data) == (len(DATA), '"e"', DATA[:1000])

    def answer(start: int) -> Answer:
        headers = {"Content-Range": f"bytes {start}-999/{len(DATA)}", **DATED}
        return Answer(206, headers, DATA[start:1000], cut=None if start else 400)

    server = talk([answer(0), answer(400)], ask)
    assert [seen.headers.get("range") for seen in server.seen] == ["bytes=0-999", "bytes=400-999"]
    assert [seen.headers.get("if-match") for seen in server.seen] == [None, '"e"']


@pytest.mark.parametrize("size", [600, 1000, 1001])
def test_a_server_that_knows_no_ranges_tells_what_there_is_and_no_more_is_read_than_there_is_room(size: int) -> None:
    async def ask(client: HttpClient) -> None:
        info, data = await begin(client, 1000)
        assert (info.size, data) == (size, DATA[:size] if size <= 1000 else b"")

    talk([Answer(200, DATED, DATA[:size])], ask)


@pytest.mark.parametrize("told", ["bytes 1-999/2000", "bytes 0-999/*", "bytes 0-99999999999999999999/x"])
def test_a_beginning_that_is_none_is_a_bad_response(told: str) -> None:
    async def ask(client: HttpClient) -> None:
        with pytest.raises(BadResponse):
            await begin(client, 1000)

    talk([Answer(206, {"Content-Range": told, **DATED}, DATA[:1000])], ask, attempts_max=1)


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_requests_one_after_the_other_share_a_connection() -> None:
    async def thrice(client: HttpClient) -> None:
        for _ in range(3):
            assert (await client.head_object("k")).size == 5
        assert (await client.list_objects("")).objects == []

    server = talk([HEAD, HEAD, HEAD, Answer(body=EMPTY_LIST)], thrice)
    assert [seen.connection for seen in server.seen] == [0, 0, 0, 0]


def test_a_connection_that_the_server_closed_meanwhile_is_replaced_without_a_failure() -> None:
    stats = EngineStats()
    closing = Answer(HEAD.status, HEAD.headers, close=True)

    async def twice(client: HttpClient) -> None:
        await client.head_object("k")
        await trio.testing.wait_all_tasks_blocked(IDLE_SECONDS)
        await client.head_object("k")

    server = talk([closing, HEAD], twice, stats)
    assert [seen.connection for seen in server.seen] == [0, 1]
    assert (stats.s3_retries, stats.s3_requests["HeadObject"]) == (0, 2)


def test_a_connection_closed_just_as_the_request_is_sent_is_replaced_without_a_failure() -> None:
    stats = EngineStats()

    async def twice(client: HttpClient) -> None:
        await client.head_object("k")
        await client.head_object("k")

    server = talk([HEAD, Answer(raw=b""), HEAD], twice, stats, attempts_max=1)
    assert [seen.connection for seen in server.seen] == [0, 0, 1]
    assert stats.s3_retries == 0


def test_a_fresh_connection_that_is_closed_without_an_answer_is_a_failure() -> None:
    async def once(client: HttpClient) -> None:
        with pytest.raises(Unreachable, match="closed the connection"):
            await client.head_object("k")

    talk([Answer(raw=b"")], once, attempts_max=1)


def test_a_storm_of_503_is_ridden_out() -> None:
    stats = EngineStats()

    async def once(client: HttpClient) -> None:
        assert await read(client, 0, 1000) == DATA[:1000]

    script = [error(503, "SlowDown")] * (ATTEMPTS_MAX - 1)
    server = talk([*script, ranged(DATA, 0, 1000)], once, stats)
    assert len(server.seen) == ATTEMPTS_MAX
    assert stats.s3_retries == ATTEMPTS_MAX - 1
    assert stats.s3_errors == {}
    assert stats.backend.reachable


def test_503_without_end_is_throttled_and_s3_counts_as_away() -> None:
    stats = EngineStats()

    async def once(client: HttpClient) -> None:
        with pytest.raises(Throttled) as caught:
            await client.list_objects("a/")
        assert (caught.value.code, caught.value.status, caught.value.key) == ("SlowDown", 503, "a/")
        assert caught.value.request_id == "REQ1"

    server = talk([error(503, "SlowDown")], once, stats)
    assert len(server.seen) == ATTEMPTS_MAX
    assert stats.s3_errors == {"SlowDown": 1}
    assert stats.backend.reachable is False


@pytest.mark.parametrize("spoiled", [{"cut": 250_000}, {"cut": 250_000, "reset": True}, {"cut": 0}])
def test_a_body_that_breaks_off_is_resumed_where_it_stopped_with_the_same_version(spoiled: dict[str, Any]) -> None:
    stats = EngineStats()
    progress: list[int] = []

    async def once(client: HttpClient) -> None:
        assert await read(client, 100, 500_000, progress) == DATA[100:500_100]

    server = talk([ranged(DATA, 100, 500_000, **spoiled), as_asked(DATA)], once, stats)
    assert progress == sorted(progress)
    assert progress[-1] == 500_000
    first, second = server.seen
    assert first.headers["range"] == "bytes=100-500099"
    resumed_at = int(second.headers["range"].removeprefix("bytes=").partition("-")[0])
    assert resumed_at - 100 in {0, *progress}
    assert resumed_at <= 100 + spoiled["cut"]
    assert second.headers["range"] == f"bytes={resumed_at}-500099"
    assert stats.s3_retries == 1
    assert first.headers["if-match"] == second.headers["if-match"] == '"e"'
    assert stats.s3_bytes_received == 500_000


@pytest.mark.parametrize(
    "broken",
    [
        Answer(raw=b"HTTP/1.1 206 Par"),
        ranged(DATA, 0, 1000, cut=400),
        ranged(DATA, 0, 1000, cut=400, reset=True),
        ranged(DATA, 0, 1000, cut=0, reset=True),
    ],
)
def test_what_a_connection_that_dies_takes_along_is_asked_for_again_at_once_over_a_new_one(broken: Answer) -> None:
    stats = EngineStats()

    async def once(client: HttpClient) -> None:
        async with trio.open_nursery() as nursery:  # two connections are kept, and may both be dead
            for _ in range(2):
                nursery.start_soon(client.head_object, "k")
        began = trio.current_time()
        assert await read(client, 0, 1000) == DATA[:1000]
        assert trio.current_time() == began

    server = talk([HEAD, HEAD, broken, as_asked(DATA)], once, stats)
    assert server.seen[2].connection in {0, 1}
    assert server.seen[3].connection == 2
    assert stats.s3_retries == 1


def test_connections_that_die_one_after_the_other_are_given_time() -> None:
    async def once(client: HttpClient) -> None:
        began = trio.current_time()
        assert await read(client, 0, 1000) == DATA[:1000]
        assert trio.current_time() > began

    cut = ranged(DATA, 0, 1000, cut=0)
    assert len(talk([cut, cut, as_asked(DATA)], once).seen) == 3


def test_another_version_behind_a_break_is_not_mixed_in() -> None:
    async def once(client: HttpClient) -> None:
        with pytest.raises(PreconditionFailed):
            await read(client, 0, 1000)

    talk([ranged(DATA, 0, 1000, cut=0), ranged(DATA, 0, 1000, etag='"other"')], once)


@pytest.mark.parametrize(
    "answer", [ranged(DATA, 1, 1000), ranged(DATA, 0, 999), Answer(200, body=DATA), ranged(DATA, 0, 1001)]
)
def test_another_range_than_asked_for_is_a_bad_response_after_retries(answer: Answer) -> None:
    async def once(client: HttpClient) -> None:
        with pytest.raises(BadResponse):
            await read(client, 0, 1000)

    assert len(talk([answer], once, attempts_max=3).seen) == 3


def test_a_whole_object_is_right_if_it_was_all_that_was_asked_for() -> None:
    async def once(client: HttpClient) -> None:
        assert await read(client, 0, len(DATA)) == DATA

    talk([Answer(200, {"ETag": '"e"'}, DATA)], once)


def test_a_server_that_never_answers_is_unreachable_in_bounded_time() -> None:
    stats = EngineStats()

    async def once(client: HttpClient) -> None:
        started = trio.current_time()
        with pytest.raises(Unreachable, match="did not answer"):
            await client.head_object("k")
        assert trio.current_time() - started < RETRYING_SECONDS_MAX + HEAD_SECONDS_MAX + DELAY_SECONDS_MAX

    talk([Answer(never=True)], once, stats)
    assert stats.backend.reachable is False
    assert "did not answer" in (stats.backend.error or "")


def test_how_long_each_answer_took_to_begin_is_counted_by_operation_those_of_failed_attempts_too() -> None:
    stats = EngineStats()

    async def ask(client: HttpClient) -> None:
        await client.head_object("k")
        assert await read(client, 0, 1000) == DATA[:1000]

    busy = Answer(503, head_delay=0.4)
    slow_body = ranged(DATA, 0, 1000, cut=400, body_pause=15.0, head_delay=0.2)
    talk([busy, Answer(HEAD.status, HEAD.headers, head_delay=2.0), slow_body], ask, stats)

    assert stats.s3_latencies.buckets() == {"HeadObject": {"0.5": 1, "5.0": 1}, "GetObject": {"0.25": 1}}
    took = stats.s3_latencies.microseconds()
    assert took["HeadObject"] == pytest.approx(2_400_000, rel=0.02)
    assert took["GetObject"] == pytest.approx(200_000, rel=0.02)


def test_an_attempt_without_an_answer_took_no_time_that_is_known() -> None:
    stats = EngineStats()

    async def once(client: HttpClient) -> None:
        with pytest.raises(Unreachable):
            await client.head_object("k")

    talk([Answer(never=True)], once, stats, attempts_max=1)
    assert stats.s3_requests["HeadObject"] == 1
    assert stats.s3_latencies.buckets() == {}


def test_a_kept_connection_on_which_nothing_comes_is_a_failure_and_no_closed_one() -> None:
    async def twice(client: HttpClient) -> None:
        await client.head_object("k")
        with pytest.raises(Unreachable, match="did not answer"):
            await client.head_object("k")

    assert len(talk([HEAD, Answer(never=True)], twice, attempts_max=1).seen) == 2


def test_a_body_that_stalls_is_resumed_over_another_connection() -> None:
    async def once(client: HttpClient) -> None:
        assert await read(client, 0, 1000) == DATA[:1000]

    stalled = ranged(DATA, 0, 1000, cut=400, body_pause=10_000.0)
    server = talk([stalled, ranged(DATA, 400, 600)], once)
    assert [seen.headers["range"] for seen in server.seen] == ["bytes=0-999", "bytes=400-999"]
    assert [seen.connection for seen in server.seen] == [0, 1]


def test_a_slow_body_is_no_stalled_one_even_below_the_low_water_mark() -> None:
    async def once(client: HttpClient) -> None:
        assert await read(client, 0, 500_000) == DATA[:500_000]

    server = talk([ranged(DATA, 0, 500_000, cut=100_000, body_pause=15.0)], once, attempts_max=1)
    assert len(server.seen) == 1


def test_a_refused_connection_says_where_and_what() -> None:
    stats = EngineStats()

    async def main() -> None:
        with trio.socket.socket() as sock:
            await sock.bind(("127.0.0.1", 0))
            port = sock.getsockname()[1]
        access = Access(name="m", endpoint=f"http://127.0.0.1:{port}/b", region="us-east-1")
        client = HttpClient(access, stats=stats, attempts_max=2)
        with pytest.raises(Unreachable):
            await client.probe()
        assert stats.backend.error == f"S3 at 127.0.0.1:{port} refused the connection"

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=IDLE_SECONDS))
    assert stats.s3_requests == {}
    assert stats.s3_errors == {"Unreachable": 1}


def test_what_is_not_http_is_a_bad_response() -> None:
    async def once(client: HttpClient) -> None:
        with pytest.raises(BadResponse, match="does not speak HTTP"):
            await client.head_object("k")

    talk([Answer(raw=b"SSH-2.0-OpenSSH_9.2\r\n\r\n")], once, attempts_max=1)


SIZE, TAIL = b"%d" % len(EMPTY_LIST), EMPTY_LIST[16:]
TWO_CHUNKS = b"10;x=y\r\n" + EMPTY_LIST[:16] + b"\r\n%x\r\n" % len(TAIL) + TAIL + b"\r\n0\r\nx: y\r\n\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        Answer(headers={"Transfer-Encoding": "chunked"}, body=TWO_CHUNKS),
        Answer(headers={"Transfer-Encoding": "chunked"}, body=TWO_CHUNKS, cut=1, body_pause=0.001),
        Answer(raw=b"HTTP/1.0 200 OK\r\n\r\n" + EMPTY_LIST),
        Answer(
            raw=b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: " + SIZE + b"\r\n\r\n" + EMPTY_LIST
        ),
    ],
)
def test_a_listing_may_come_in_chunks_without_a_length_or_behind_a_continue(answer: Answer) -> None:
    async def once(client: HttpClient) -> None:
        assert (await client.list_objects("")).next_token is None

    talk([answer], once, attempts_max=1)


def test_a_listing_in_chunks_keeps_the_connection() -> None:
    body = b"%x\r\n" % len(EMPTY_LIST) + EMPTY_LIST + b"\r\n0\r\n\r\n"

    async def twice(client: HttpClient) -> None:
        await client.list_objects("")
        await client.list_objects("")

    server = talk([Answer(headers={"Transfer-Encoding": "chunked"}, body=body)], twice)
    assert server.connections == 1


def test_an_error_keeps_the_connection_and_is_not_retried() -> None:
    async def twice(client: HttpClient) -> None:
        for _ in range(2):
            with pytest.raises(NoSuchKey):
                await read(client, 0, 10)

    server = talk([error(404, "NoSuchKey")], twice)
    assert (len(server.seen), server.connections) == (2, 1)


def test_a_bucket_in_another_region_is_told_at_once() -> None:
    async def once(client: HttpClient) -> None:
        with pytest.raises(WrongRegion) as caught:
            await client.list_objects("")
        assert caught.value.region == "eu-west-1"

    assert len(talk([error(301, "PermanentRedirect", x_amz_bucket_region="eu-west-1")], once).seen) == 1


def test_no_more_connections_than_allowed_are_open_at_a_time() -> None:
    async def many(client: HttpClient) -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(6):
                nursery.start_soon(client.head_object, "k")

    server = talk([HEAD], many, connections_max=2)
    assert (len(server.seen), server.connections) == (6, 2)


def test_a_probe_that_is_refused_says_so_and_that_s3_is_there() -> None:
    stats = EngineStats()

    async def once(client: HttpClient) -> None:
        await client.probe()
        with pytest.raises(AccessDenied):
            await client.probe()
        with pytest.raises(NoSuchBucket):
            await client.probe()
        assert stats.backend.reachable
        with pytest.raises(S3Error):
            await client.probe()
        assert stats.backend.reachable is False

    talk([Answer(200), Answer(403), Answer(404), error(500, "InternalError")], once, stats=stats)


@pytest.mark.parametrize(
    ("code", "status", "said"),
    [
        ("InvalidAccessKeyId", 403, "S3 does not know the access key (InvalidAccessKeyId, key AK): it was deleted"),
        ("SignatureDoesNotMatch", 403, "the secret key does not fit the access key"),
        ("ExpiredToken", 400, "the credentials have expired (ExpiredToken, key AK): have them renewed"),
        ("InvalidToken", 400, "the session token is not valid"),
        ("RequestTimeTooSkewed", 403, "this machine's clock is wrong"),
    ],
)
def test_refused_keys_are_the_mounts_trouble_until_a_request_succeeds(code: str, status: int, said: str) -> None:
    stats = EngineStats()

    async def once(client: HttpClient) -> None:
        with pytest.raises(AccessDenied):
            await client.list_objects("")
        assert stats.backend.reachable
        assert said in (stats.backend.trouble or "")
        await client.head_object("k")
        assert stats.backend.trouble is None

    talk([error(status, code), HEAD], once, stats=stats)


def test_a_denial_with_good_keys_is_no_trouble_of_the_mount() -> None:
    stats = EngineStats()

    async def once(client: HttpClient) -> None:
        for _ in range(2):
            with pytest.raises(AccessDenied):
                await client.head_object("k")
        assert stats.backend.trouble is None
        assert stats.denials == 2

    talk([Answer(403), error(403, "AccessDenied")], once, stats=stats)


def test_a_server_that_knows_no_restores_is_asked_for_listings_without_them_from_then_on() -> None:
    stats = EngineStats()
    listing = Answer(body=b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>")

    async def thrice(client: HttpClient) -> None:
        for _ in range(3):
            await client.list_objects("p/")
            assert stats.backend.reachable

    server = talk([error(501, "NotImplemented"), listing], thrice, stats=stats)
    assert ["x-amz-optional-object-attributes" in seen.headers for seen in server.seen] == [True, False, False, False]


def test_requests_ask_for_restores_and_say_who_pays() -> None:
    async def both(client: HttpClient) -> None:
        await client.list_objects("p/")
        await client.head_object("k")

    server = talk([Answer(body=EMPTY_LIST), HEAD], both, requester_pays=True, user_agent_prefix="tester/1")
    listing, head = server.seen
    assert listing.headers["x-amz-optional-object-attributes"] == "RestoreStatus"
    assert listing.headers["x-amz-request-payer"] == head.headers["x-amz-request-payer"] == "requester"
    assert head.headers["user-agent"] == f"tester/1 {USER_AGENT}"
    assert "list-type=2" in listing.target
    assert "x-amz-request-payer" in listing.headers["authorization"]


@pytest.mark.parametrize("answer", [Answer(never=True), ranged(DATA, 0, 500_000, cut=300_000, body_pause=10_000.0)])
def test_cancelling_at_any_point_leaves_no_descriptor_and_no_used_connection(answer: Answer) -> None:
    before = descriptors()

    async def cancelled(client: HttpClient) -> None:
        with trio.move_on_after(1) as scope:
            await read(client, 0, 500_000)
        assert scope.cancelled_caught
        assert (await client.head_object("k")).size == 5

    server = talk([answer, HEAD], cancelled)
    assert [seen.connection for seen in server.seen] == [0, 1]
    assert descriptors() == before


class CancelAtStep(trio.abc.Instrument):
    """Cancels `scope` while the task that made this waits for the n-th time."""

    def __init__(self, scope: trio.CancelScope, step: int) -> None:
        self._task, self._scope, self._left = trio.lowlevel.current_task(), scope, step

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        if task is self._task:
            self._left -= 1
            if self._left == 0:
                self._scope.cancel()


def test_a_request_cancelled_at_each_of_its_steps_leaves_the_client_whole() -> None:
    before = descriptors()
    reached: list[int] = []  # the bytes that had come at each step
    # a failure in between, so that the way leads through the wait before the next attempt
    script = [error(503, "SlowDown"), ranged(DATA, 0, 300_000)]
    server = ScriptedServer([lambda _seen: next(answers)])

    async def main() -> None:
        nonlocal answers
        async with server.running():
            for step in range(1, 200):
                answers = iter(script)
                client = HttpClient(server.access(), stats=EngineStats(), connections_max=4)
                progress = [0]
                with trio.CancelScope() as scope:
                    instrument = CancelAtStep(scope, step)
                    trio.lowlevel.add_instrument(instrument)
                    try:
                        assert await read(client, 0, 300_000, progress) == DATA[:300_000]
                    finally:
                        trio.lowlevel.remove_instrument(instrument)
                assert client._current.pool._room.value == 4
                assert client._current.pool.idle <= 1
                await client.aclose()
                reached.append(progress[-1])
                if not scope.cancelled_caught:
                    return

    answers = iter(script)
    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=IDLE_SECONDS))
    assert reached[0] == 0
    assert reached[-1] == 300_000
    assert len(reached) > 4
    assert descriptors() == before


def test_failures_are_logged_with_their_facts_and_without_secrets(caplog: pytest.LogCaptureFixture) -> None:
    async def once(client: HttpClient) -> None:
        with pytest.raises(AccessDenied):
            await read(client, 0, 10)

    with caplog.at_level("DEBUG"):
        talk([error(500, "InternalError"), error(403, "AccessDenied")], once)
    (final,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    for fact in ("GetObject", "code='AccessDenied'", "status=403", "key='k'", "request_id='REQ1'"):
        assert fact in final
    assert not any(secret in caplog.text for secret in ("SK", "Signature", "AWS4"))
