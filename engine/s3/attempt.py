"""One attempt at a request: over a connection that is kept or new, and over a second one too if the answer lags.

Used by client.py, which decides about further attempts. Counts requests and what they say about S3's health; raises an
S3Error for an answer that is one, and Lagging for a body whose rest is better asked for anew.
"""

import math
from collections.abc import Awaitable, Callable
from typing import NoReturn, TypeVar

import trio

from engine.errors import S3Error, Unreachable
from engine.link import Credentials
from engine.s3 import proxy, retry
from engine.s3.connection import HEAD_SECONDS_MAX, Connection, Lagging
from engine.s3.documents import parse_error
from engine.s3.hedging import WATCHED_BYTES_MIN, Hedging, race
from engine.s3.http1 import Head
from engine.s3.pool import Pool
from engine.s3.request import Request, Sender
from engine.stats import EngineStats

_T = TypeVar("_T")

Receive = Callable[[Head, Connection], Awaitable[_T]]


class Current:
    """An Access in use: how to sign for it, and its connections."""

    def __init__(self, sender: Sender, pool: Pool, credentials: Credentials | None) -> None:
        self.sender = sender
        self.pool = pool
        self.credentials = credentials
        self.worked = False  # S3 has taken these keys
        self.replaced = trio.Event()


class Attempter:
    """Makes the attempts of one client.

    Args:
        stats: requests, hedges and bytes are counted here, and whether S3 answers.
    """

    def __init__(self, stats: EngineStats) -> None:
        self.hedging = Hedging()
        self._stats = stats

    async def attempt(
        self, current: Current, request: Request, receive: Receive[_T], before: S3Error | Lagging | None = None
    ) -> _T:
        """One attempt. A kept connection that was dead already is no failure: the request goes over a new one.

        `before`: what the attempt before this one ended with.
        """
        but, stays = None, True
        if isinstance(before, Lagging):
            but = before.address
        elif before is not None:
            stays = not before.cut  # where one was cut, others that are kept may be dead too
        times = self.hedging.times.get(request.operation)
        for kept in (stays, False):
            async with current.pool.connection(fresh=not kept, but=but) as connection:
                self._stats.s3_requests[request.operation] += 1
                try:
                    head = await connection.ask(
                        current.sender.head(request),
                        request.method,
                        request.body,
                        sent=self._count_sent,
                        answer_seconds=request.answer_seconds or HEAD_SECONDS_MAX,
                        patience=math.inf if times is None else times.lag_seconds,
                    )
                    if head is None:
                        return await self._go_on(current, request, receive, connection)
                except Unreachable:
                    if connection.vanished and connection.served and request.replayed:
                        continue
                    raise
                if times is not None:
                    times.note(trio.current_time() - connection.taken_at)
                return await self._taken(current, request, receive, head, connection)
        raise AssertionError("a fresh connection has served nothing before")

    async def _go_on(self, current: Current, request: Request, receive: Receive[_T], lagging: Connection) -> _T:
        """The answer lags. Wait on; and ask over another connection too, if that is not too much."""
        asked_at = lagging.taken_at

        async def answer() -> Head:
            return await lagging.answer(trio.current_time() - asked_at)

        async def ask(connection: Connection) -> Head:
            self._stats.s3_requests[request.operation] += 1
            return await connection.exchange(current.sender.head(request), request.method)

        async def take(head: Head, connection: Connection) -> _T:
            self.hedging.times[request.operation].note(trio.current_time() - asked_at)
            return await self._taken(current, request, receive, head, connection)

        if not self.hedging.spend(current.pool):
            return await take(await answer(), lagging)
        self._stats.s3_hedges += 1
        return await race(lagging, answer, current.pool, ask, take)

    def _taken(
        self, current: Current, request: Request, receive: Receive[_T], head: Head, connection: Connection
    ) -> Awaitable[_T]:
        """What an answer brings, once its body is here. Raises the S3Error that it is."""
        self._stats.s3_answers[f"{request.operation} {head.status}"] += 1
        self._stats.s3_latencies.note(request.operation, trio.current_time() - connection.taken_at)
        if not retry.is_away(head.status):
            self._stats.answered()
        if head.status < 300:
            current.worked = True
            self._stats.accepted(request.operation)
            return receive(head, connection)
        return self._refused(current, request, head, connection)

    async def _refused(self, current: Current, request: Request, head: Head, connection: Connection) -> NoReturn:
        document = parse_error(await connection.read())
        if current.sender.proxy is not None and proxy.is_unauthorised(head.status):
            raise proxy.unauthorised(current.sender.proxy)
        region = current.sender.region
        raise retry.error_of(request.operation, request.subject, head.status, head.headers, document, region)

    def lags(self, pool: Pool, size: int, count: int, to_come: int) -> bool:
        """`Hedging.lags`, if another request may be made; a small body of which nothing has come lags in any case.

        Args:
            pool: where another connection would be of.
            size: the body's, in bytes.
            count: how many have come since the last look.
            to_come: and how many are still to come.
        """
        lags = self.hedging.lags(count, to_come) if size >= WATCHED_BYTES_MIN else not count
        if not lags or not self.hedging.spend(pool):
            return False
        self._stats.s3_hedges += 1
        return True

    def _count_sent(self, count: int) -> None:
        self._stats.s3_bytes_sent += count
