"""What is decided about answers that lag, without a server: from when on one does, and which of two is taken."""

import contextlib
import random
from collections.abc import AsyncIterator
from typing import Final

import pytest
import trio
import trio.testing

from engine.s3.hedging import LAG_FACTOR, LAG_SECONDS_MIN, TIMES_BETWEEN, Times, race
from engine.s3.http1 import Head


class FakeConnection:
    """Of which only its address and its end matter."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.reusable = False
        self.closed = trio.Event()

    def close(self) -> None:
        self.closed.set()


class FakePool:
    """Has one other connection."""

    def __init__(self) -> None:
        self.asked_for: list[str] = []
        self.other = FakeConnection("other")

    @contextlib.asynccontextmanager
    async def connection(self, *, but: str) -> AsyncIterator[FakeConnection]:
        self.asked_for.append(but)
        await trio.lowlevel.checkpoint()
        yield self.other
        self.other.close()


GOOD: Final = Head(200, {}, keep_alive=True, length=0, chunked=False)


@pytest.mark.parametrize("seed", range(8))  # trio runs tasks that are ready at the same moment in either order
def test_of_two_answers_at_the_same_moment_one_is_taken_and_the_other_connection_closed(seed: int) -> None:
    first, pool = FakeConnection("first"), FakePool()
    taken: list[FakeConnection] = []

    async def main() -> None:
        both = trio.Event()

        async def answer(_connection: FakeConnection | None = None) -> Head:
            await both.wait()
            return GOOD

        async def take(_head: Head, connection: FakeConnection) -> str:
            taken.append(connection)
            await (pool.other if connection is first else first).closed.wait()  # before this one's body is there
            return connection.address

        async def ask_both() -> None:
            assert await race(first, answer, pool, answer, take) == taken[0].address  # type: ignore[arg-type]

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask_both)
            await trio.testing.wait_all_tasks_blocked()
            both.set()
            nursery.cancel_scope.deadline = trio.current_time() + 10  # a test that fails shall not hang

    random.seed(seed)
    trio.run(main)
    assert len(taken) == 1
    assert pool.asked_for == ["first"]


def test_an_answer_lags_from_twice_what_95_of_100_take() -> None:
    times = Times()
    for number in range(TIMES_BETWEEN - 1):
        times.note(0.1 * (number % 10))
    assert times.lag_seconds == float("inf")
    times.note(0.0)
    assert times.lag_seconds == pytest.approx(LAG_FACTOR * 0.9)
    for _ in range(256):
        times.note(0.001)
    assert times.lag_seconds == LAG_SECONDS_MIN
