"""What a fetcher and its engine tell each other: errors as they were, packets that fit, and a slow engine."""

import inspect
import socket

import pytest
import trio

from engine import errors
from engine.errors import S3Error, Unreachable
from engine.fetch import counts
from engine.fetch.messages import PACKET_BYTES_MAX, Get, Message, Report, decode, encode, error_of, failure_of
from engine.fetch.reporting import Reporter
from engine.spec import MiB
from engine.stats import EngineStats

ERRORS = [kind for kind in vars(errors).values() if inspect.isclass(kind) and issubclass(kind, S3Error)]


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_an_error_arrives_as_it_was(kind: type[S3Error]) -> None:
    facts = {"code": "C", "status": 404, "key": "k", "request_id": "R", "host_id": "h" * 76}
    sent = kind("why", **facts | ({"region": "r"} if issubclass(kind, errors.WrongRegion) else {}))  # type: ignore[arg-type]
    sent.attempts = 3
    report = decode(encode(Report([], [(1, False, failure_of(sent))], {}, [])))
    assert isinstance(report, Report)
    came = error_of(report.ended[0][2] or [], "k")
    assert (type(came), came.args, vars(came)) == (kind, sent.args, vars(sent))


async def sent(sock: socket.socket, reporter: Reporter) -> list[Message]:
    """All that a reporter has to say, to an engine that begins to read."""
    sock.setblocking(False)
    messages = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(reporter.run)
        while True:
            try:
                messages.append(decode(sock.recv(2 * PACKET_BYTES_MAX)))
            except BlockingIOError:
                if not (reporter._waiting or reporter._ended or reporter._placed):
                    break
                await trio.lowlevel.wait_readable(sock)
        nursery.cancel_scope.cancel()
    return messages


def test_what_a_slow_engine_does_not_read_adds_up() -> None:
    async def test() -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        theirs.setblocking(False)
        with ours, theirs:
            reporter, stats = Reporter(theirs), EngineStats()
            for count in range(1, 20_000):
                reporter.stats.s3_bytes_received += 1
                reporter.placed(count % 3, count)
                reporter.flush()
            reporter.ended(1, complete=False, failure=None)
            reports = [message for message in await sent(ours, reporter) if isinstance(message, Report)]
        assert len(reports) < 5000
        placed = {number: count for report in reports for number, count in report.placed}
        assert placed == {0: 19_998, 1: 19_999, 2: 19_997}
        assert [tuple(each) for report in reports for each in report.ended] == [(1, False, None)]
        for report in reports:
            counts.add(stats, report.counted, report.said, use=0)
        assert stats.s3_bytes_received == 19_999

    trio.run(test)


def test_the_largest_report_is_one_packet_an_engine_can_read() -> None:
    async def test() -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        theirs.setblocking(False)
        with ours, theirs:
            reporter = Reporter(theirs)
            while not reporter._waiting:
                reporter.placed(1, 1)
                reporter.flush()
            long = "\U0001f600" * 20_000
            for number in range(1000):
                reporter.placed(number, 1 << 40)
                reporter.stats.s3_errors[f"{number}{long}"] += 1
                failure = failure_of(Unreachable(long, code=long, request_id=long, host_id=long))
                reporter.ended(number, complete=False, failure=failure)
            reporter.stats.unreachable(long)
            reporter.stats.refused(long)
            reports = [message for message in await sent(ours, reporter) if isinstance(message, Report)]
        assert max(len(encode(report)) for report in reports) <= PACKET_BYTES_MAX
        assert sum(len(report.ended) for report in reports) == 1000
        assert sum(len(report.counted.get("s3_errors", ())) for report in reports) == 1000
        assert len({number for report in reports for number, _ in report.placed}) == 1000

    trio.run(test)


def test_the_longest_request_is_one_packet_a_fetcher_can_read() -> None:
    get = Get(1 << 40, "\U0001f600" * 256, '"' + "e" * 1000 + '"', 1 << 45, [(1 << 40, MiB)] * 96)
    assert len(encode(get)) <= PACKET_BYTES_MAX
    came = decode(encode(get))
    assert isinstance(came, Get)
    assert came.key == get.key
