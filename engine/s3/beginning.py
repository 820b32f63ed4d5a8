"""The first bytes of an object of which nothing is known: one GET that says what HEAD says.

Only client.py derives from it, and brings `_perform`, which sends, retries and counts.
"""

import abc
from collections.abc import Awaitable, Callable
from typing import TypeVar

from engine.s3.connection import Connection
from engine.s3.documents import beginning_of_headers, check_range, check_version
from engine.s3.http1 import Head
from engine.s3.interface import ObjectInfo
from engine.s3.request import Request
from engine.stats import EngineStats

_T = TypeVar("_T")


class Beginning(abc.ABC):
    """One request. Its promises are interface.ObjectClient's."""

    _always: tuple[tuple[str, str], ...]  # headers of every request
    _stats: EngineStats
    _clock: Callable[[], float]

    @abc.abstractmethod
    def _lags(self, size: int) -> Callable[[int, int], bool]:
        """Tells whether the rest of a body of so many bytes is asked for anew."""

    @abc.abstractmethod
    async def _perform(
        self, request: Callable[[], Request], receive: Callable[[Head, Connection], Awaitable[_T]]
    ) -> _T:
        """Attempt until it succeeds or is not worth another attempt."""

    async def get_beginning(
        self,
        key: str,
        *,
        buffer: memoryview,
        known: Callable[[ObjectInfo], None],
        progress: Callable[[int], None],
    ) -> None:
        """Fetch the first bytes of an object of which nothing is known."""
        etag, placed, total = "", 0, len(buffer)

        def request() -> Request:
            headers = (("Range", f"bytes={placed}-{total - 1}"), *((("If-Match", etag),) if etag else ()))
            return Request("GetObject", "GET", key, amz_headers=self._always, headers=headers, asks=True)

        def arrived(count: int) -> None:
            nonlocal placed
            placed += count
            self._stats.s3_bytes_received += count
            progress(placed)

        async def receive(head: Head, connection: Connection) -> None:
            nonlocal etag, total
            if etag:
                check_version(head.headers, head.status, etag)
                check_range(head.status, head.headers, head.length, placed, total - placed)
            else:
                info, total = beginning_of_headers(key, head.headers, head.length, len(buffer), self._clock())
                etag = info.etag
                known(info)
            if total:
                await connection.read_into([buffer[placed:total]], arrived, self._lags(total - placed))

        await self._perform(request, receive)
