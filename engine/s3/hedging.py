"""When to ask S3 a second time because an answer lags behind its like, and how: the first answer wins.

Used by client.py for requests that change nothing. Of many answers of S3 a few take ten times as long as the rest, for
reasons of one front end or disk; another connection, to another address, has the answer sooner. Measures what is usual,
and spends a budget: S3 in trouble is not asked twice. What a request costs that does not lag is a number kept.
"""

import math
import statistics
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import trio

from engine.errors import S3Error
from engine.s3.connection import LOOK_SECONDS, Connection, Lagging
from engine.s3.http1 import Head
from engine.s3.pool import Pool
from engine.spec import KiB, MiB

_T = TypeVar("_T")

# What may be asked twice, each measured by itself: a listing takes longer than a HEAD.
OPERATIONS: Final = ("GetObject", "HeadObject", "ListObjectsV2")

# A first byte lags when it takes LAG_FACTOR times what 95 of 100 took. Where times are all alike that is never; where
# S3 is as it is (median 30 ms, p95 80 ms, p99 200 ms) it is 1 to 2 of 100.
USUAL_PERCENT: Final = 95
LAG_FACTOR: Final = 2.0

# Less is not worth a request: this machine may have been the slow one, and so may a store on the same network.
LAG_SECONDS_MIN: Final = 0.1

# Times remembered, and how many come between two looks at them: 256 tell a p95, and sorting them takes 10 us.
TIMES_KEPT: Final = 256
TIMES_BETWEEN: Final = 64

# At most so many second requests for each first one, and so many at once after a calm time.
HEDGES_PER_REQUEST: Final = 0.02
HEDGES_SAVED_MAX: Final = 8.0

# After S3 has said that it has too much to do, or failed: as long as its front ends take to scale up.
CALM_SECONDS: Final = 30.0

# Smaller bodies have come before a look, unless their connection is as good as dead.
WATCHED_BYTES_MIN: Final = 256 * KiB

# Smaller ones say little about a line's speed: the kernel had most of them before they were looked for.
RATED_BYTES_MIN: Final = MiB

# How many of the last say what is usual, and from how many on.
RATES_KEPT: Final = 32
RATES_MIN: Final = 8

# A body lags when its rest would come in a fourth of the time over another connection, by what is usual: what others
# read at the same time makes twice of difference, and what is on the way is lost.
BODY_LAG_FACTOR: Final = 4.0

_SLOW_DOWN: Final = 429


class Times:
    """How long first bytes of one kind of request take, and from when on one lags."""

    def __init__(self) -> None:
        self.lag_seconds = math.inf  # until enough is known
        self.count = 0  # of all so far
        self._kept = [0.0] * TIMES_KEPT

    def note(self, seconds: float) -> None:
        """An answer's first byte took so long (or longer: another one's came before)."""
        count = self.count
        self._kept[count % TIMES_KEPT] = seconds
        self.count = count = count + 1
        if not count % TIMES_BETWEEN:
            kept = sorted(self._kept[:count])
            self.lag_seconds = max(LAG_SECONDS_MIN, LAG_FACTOR * kept[len(kept) * USUAL_PERCENT // 100])


class Hedging:
    """What is usual for one bucket, and how much may be spent on what is not."""

    def __init__(self) -> None:
        self.times: Final = {operation: Times() for operation in OPERATIONS}
        self._rates: list[float] = []  # bytes per second of the last bodies
        self._saved = 1.0
        self._requests = 0  # as of when savings were counted
        self._calm_until = -math.inf

    def finished(self, count: int, seconds: float) -> None:
        """A body of so many bytes came in so many seconds."""
        if count < RATED_BYTES_MIN:
            return
        self._rates.append(count / max(seconds, 1e-6))
        if len(self._rates) > RATES_KEPT:
            del self._rates[0]

    def calm(self) -> None:
        """S3 is in trouble, or says that it has too much to do: nothing is asked twice for a while."""
        self._calm_until = trio.current_time() + CALM_SECONDS
        self._saved = 0.0

    def spend(self, pool: Pool) -> bool:
        """May one more request be made now, which would not be made if nothing lagged? Counts as made if so."""
        requests = sum(times.count for times in self.times.values())
        self._saved = min(HEDGES_SAVED_MAX, self._saved + HEDGES_PER_REQUEST * (requests - self._requests))
        self._requests = requests
        if self._saved < 1.0 or not pool.has_room or trio.current_time() < self._calm_until:
            return False
        self._saved -= 1.0
        return True

    def lags(self, count: int, to_come: int) -> bool:
        """A body got on by `count` bytes in LOOK_SECONDS: would another connection have the rest much sooner?"""
        if len(self._rates) < RATES_MIN:
            return False
        usual = statistics.median(self._rates)
        again = LAG_SECONDS_MIN + to_come / usual
        return to_come * LOOK_SECONDS > count * BODY_LAG_FACTOR * again


async def race(
    first: Connection,
    answer: Callable[[], Awaitable[Head]],
    pool: Pool,
    ask: Callable[[Connection], Awaitable[Head]],
    receive: Callable[[Head, Connection], Awaitable[_T]],
) -> _T:
    """Go on waiting for an answer, and ask over another connection too: what the first one to answer said.

    An answer by which S3 says that it can't (5xx, 429) is the first only if the other connection fails. The loser is
    given up before the body is received, so no two bodies are ever received into the same memory. Raises the last
    failure if both fail.

    Args:
        first: a connection over which the question was asked long ago.
        answer: goes on waiting for its answer.
        pool: has the other one; to another address, if there are several.
        ask: asks over it, and waits.
        receive: takes an answer; raises S3Error if it is an error.
    """
    scopes = (trio.CancelScope(), trio.CancelScope())
    decided = False
    results: list[_T] = []
    failures: list[S3Error | Lagging] = []

    async def take(number: int, connection: Connection, head: Head) -> None:
        nonlocal decided
        if decided:  # both at once
            return
        if not _is_unwell(head.status):
            decided = True
            scopes[1 - number].cancel()
        results.append(await receive(head, connection))

    async def go_on() -> None:
        with scopes[0]:
            try:
                await take(0, first, await answer())
            except (S3Error, Lagging) as error:
                failures.append(error)
        if not first.reusable:
            first.close()  # now, and not when the other one's body has come

    async def begin_again() -> None:
        with scopes[1]:
            try:
                async with pool.connection(but=first.address) as second:
                    await take(1, second, await ask(second))
            except (S3Error, Lagging) as error:
                failures.append(error)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(go_on)
        nursery.start_soon(begin_again)
    if results:
        return results[0]
    raise failures[-1]


def _is_unwell(status: int) -> bool:
    return status >= 500 or status == _SLOW_DOWN
