"""A fetcher: a process that gets ranges of objects into an engine's arena, and does nothing else.

Forked by spawner.py. Has the arena, one socket to its engine, and its own connections to S3; never a session, a journal
or a link to the supervisor. It knows of no file, decides nothing, and ends when its engine does.
"""

import logging
import mmap
import socket
from collections.abc import Callable
from typing import Protocol

import trio

from engine.arena import SLOT_BYTES
from engine.errors import S3Error
from engine.fetch.messages import (
    PACKET_BYTES_MAX,
    Cancel,
    Get,
    Keep,
    LogFrom,
    Message,
    Ping,
    Rejected,
    Report,
    Use,
    decode,
    failure_of,
)
from engine.fetch.reporting import Reporter
from engine.link import Access
from engine.log import set_level
from engine.s3.interface import RangeReader
from engine.stats import EngineStats


class Client(RangeReader, Protocol):
    """S3, as far as a fetcher needs it; by HttpClient."""

    def use(self, access: Access) -> None:
        """From now on use this access."""
        ...

    def keep(self) -> None:
        """There are no other keys for now."""
        ...


MakeClient = Callable[[Access, EngineStats, Callable[[], None]], Client]
"""Makes a client of an access, of where to count, and of whom to tell that S3 refuses the keys."""


class Fetcher:
    """What a fetcher's process does.

    Args:
        sock: to the engine; owned.
        arena: the engine's memory.
        make_client: makes the S3 client.
    """

    def __init__(self, sock: socket.socket, arena: mmap.mmap, make_client: MakeClient) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._arena = memoryview(arena)
        self._make_client = make_client
        self._client: Client | None = None
        self._getting: dict[int, trio.CancelScope] = {}
        self._reporter = Reporter(sock)

    async def run(self) -> None:
        """Fetch until the engine is gone."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._reporter.run)
            while (message := await self._receive()) is not None:
                self._obey(message, nursery)
            nursery.cancel_scope.cancel()

    def log(self, record: logging.LogRecord, text: str) -> None:
        """Have the engine log a record."""
        self._reporter.log(record, text)

    async def _receive(self) -> Message | None:
        """The engine's next message; None when it is gone."""
        while True:
            await trio.lowlevel.checkpoint_if_cancelled()
            try:
                packet = self._sock.recv(PACKET_BYTES_MAX)
            except BlockingIOError:
                await trio.lowlevel.wait_readable(self._sock)
            except ConnectionResetError:
                return None
            else:
                return decode(packet) if packet else None

    def _obey(self, message: Message, nursery: trio.Nursery) -> None:
        match message:
            case Get():
                scope = self._getting[message.number] = trio.CancelScope()
                nursery.start_soon(self._get, message, scope)
            case Cancel():
                if message.number in self._getting:  # or it has just ended
                    self._getting[message.number].cancel()
            case Use():
                self._use(message)
            case Keep():
                if self._client is not None:
                    self._client.keep()
            case LogFrom():
                set_level(message.level)
            case Ping():
                self._reporter.say(Report([], [], {}, []))
            case _:
                raise AssertionError(f"not for a fetcher: {message}")

    def _use(self, message: Use) -> None:
        access = Access.model_validate_json(message.access)
        stats = self._reporter.stats
        stats.use += 1
        if self._client is None:
            self._client = self._make_client(access, stats, lambda: self._reporter.say(Rejected(stats.use)))
        else:
            self._client.use(access)

    async def _get(self, get: Get, scope: trio.CancelScope) -> None:
        assert self._client is not None, "Use comes first"
        total = sum(length for _, length in get.places)
        # Of a GET within one slot, which a program may wait for, the first bytes are told of; of others, which are read
        # ahead, each slot that is full: a report costs the engine 50 us. The end is told as such.
        first, last = get.offset // SLOT_BYTES, (get.offset + total - 1) // SLOT_BYTES
        told = first if first < last else first - 1

        def progress(placed: int) -> None:
            nonlocal told
            if placed < total:
                self._reporter.placed(get.number, placed)
                if (slot := (get.offset + placed) // SLOT_BYTES) > told:
                    told = slot
                    self._reporter.flush()

        complete, failure = False, None
        try:
            with scope:
                await self._client.get_object(
                    get.key,
                    offset=get.offset,
                    buffers=[self._arena[start : start + length] for start, length in get.places],
                    if_match=get.etag,
                    progress=progress,
                )
                complete = True
        except S3Error as error:
            failure = failure_of(error)
        del self._getting[get.number]
        self._reporter.ended(get.number, complete=complete, failure=failure)
