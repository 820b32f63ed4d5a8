"""A world for tests of reading: a Prefetcher over a client with objects in memory that is slow, fails, and counts."""

import contextlib
import itertools
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import trio
import trio.testing

from engine.arena import Arena
from engine.errors import EngineError, PreconditionFailed
from engine.read import Prefetcher, ReadStream
from engine.s3.interface import ListPage, ObjectInfo
from engine.spec import KiB, MiB
from engine.stats import EngineStats

ETAG = '"1"'

# Bytes a slow client places at a time, as a socket would.
CHUNK_BYTES = 256 * KiB


# What objects repeat after: no multiple of a slot, so that bytes from a wrong place are wrong bytes.
PERIOD_BYTES = 7 * MiB + 13


def body(size: int) -> bytes:
    """Bytes in which no two places less than 7 MiB apart look alike."""
    period = random.Random(size).randbytes(min(size, PERIOD_BYTES))
    return (period * (size // PERIOD_BYTES + 1))[:size]


def several(count: int, data: bytes) -> dict[str, bytes]:
    """Objects `object0`, `object1`, ... for readers that share nothing but the memory."""
    return {f"object{number}": data for number in range(count)}


@dataclass
class Get:
    """One GET that the client saw."""

    key: str
    start: int
    end: int
    state: str = "running"  # then "done", "failed" or "cancelled"


@dataclass
class SlowClient:
    """Answers GETs of `objects`; the other requests are not for readers.

    `first_byte` and `per_mib` are seconds; `fail` may raise at the start of a GET and `halfway` in the midst of it.
    """

    objects: dict[str, bytes]
    first_byte: float = 0.0
    per_mib: float = 0.0
    etag: str = ETAG
    fail: Callable[[Get], EngineError | None] = lambda get: None
    halfway: Callable[[Get], EngineError | None] = lambda get: None
    gets: list[Get] = field(default_factory=list)
    gate: trio.Event | None = None

    @property
    def running(self) -> list[Get]:
        return [get for get in self.gets if get.state == "running"]

    @property
    def ranges(self) -> list[tuple[int, int]]:
        return [(get.start, get.end) for get in self.gets]

    async def get_object(
        self, key: str, *, offset: int, buffers: Sequence[memoryview], if_match: str, progress: Callable[[int], None]
    ) -> None:
        want = sum(len(buffer) for buffer in buffers)
        assert want >= 1
        assert offset + want <= len(self.objects[key])
        get = Get(key, offset, offset + want)
        self.gets.append(get)
        try:
            await self._answer(get, buffers, if_match, progress)
            get.state = "done"
        except EngineError:
            get.state = "failed"
            raise
        finally:
            if get.state == "running":
                get.state = "cancelled"

    async def _answer(
        self, get: Get, buffers: Sequence[memoryview], if_match: str, progress: Callable[[int], None]
    ) -> None:
        await trio.sleep(self.first_byte)
        if self.gate is not None:
            await self.gate.wait()
        if error := self.fail(get):
            raise error
        if if_match != self.etag:
            raise PreconditionFailed("changed", key=get.key)
        data = memoryview(self.objects[get.key])
        place = get.start
        for buffer in buffers:
            for low in range(0, len(buffer), CHUNK_BYTES):
                high = min(low + CHUNK_BYTES, len(buffer))
                await trio.sleep((high - low) / MiB * self.per_mib)
                buffer[low:high] = data[place : place + high - low]
                place += high - low
                progress(place - get.start)
                if error := self.halfway(get):
                    raise error

    async def head_object(self, key: str) -> ObjectInfo:
        raise NotImplementedError

    async def list_objects(
        self, prefix: str, *, delimiter: str = "/", token: str | None = None, max_keys: int = 1000
    ) -> ListPage:
        raise NotImplementedError

    async def probe(self) -> None:
        raise NotImplementedError

    async def aclose(self) -> None:
        raise NotImplementedError


@dataclass
class World:
    """A Prefetcher and everything around it."""

    client: SlowClient
    arena: Arena
    stats: EngineStats
    prefetcher: Prefetcher
    nursery: trio.Nursery

    def open(self, key: str = "object", etag: str = ETAG) -> ReadStream:
        return self.prefetcher.open(key, etag, len(self.client.objects[key]))

    async def until_quiet(self) -> None:
        """Wait until no GET runs."""
        while self.client.running or self.nursery.child_tasks:
            await trio.testing.wait_all_tasks_blocked()
            if self.client.running or self.nursery.child_tasks:
                await trio.sleep(1)


@contextlib.asynccontextmanager
async def world(client: SlowClient, *, slots: int = 64, part_bytes: int = 8 * MiB) -> AsyncIterator[World]:
    """A Prefetcher with an arena of so many slots; at the end its GETs are cancelled and the arena is closed."""
    arena = Arena(slots * MiB)
    stats = EngineStats()
    try:
        async with trio.open_nursery() as nursery:
            prefetcher = Prefetcher(client, arena, nursery, part_bytes=part_bytes, stats=stats)
            yield World(client, arena, stats, prefetcher, nursery)
            nursery.cancel_scope.cancel()
    finally:
        arena.close()


def run(test: Callable[[], Awaitable[None]]) -> None:
    """Run an async test; its clock jumps to the next deadline when everybody waits, so delays cost no time."""
    trio.run(test, clock=trio.testing.MockClock(autojump_threshold=0))


async def read_all(stream: ReadStream, size: int, step: int = MiB) -> bytes:
    """A stream from its first byte on."""
    return await read_range(stream, 0, size, step)


async def read_range(stream: ReadStream, start: int, end: int, step: int = MiB) -> bytes:
    """Read one piece after the other, as a program does."""
    pieces = []
    for offset in range(start, end, step):
        pieces.append(bytes(await stream.read(offset, step)))
        await trio.lowlevel.checkpoint()  # as the reply to the kernel is one; a read of what is there is none
    return b"".join(pieces)


def fetched_twice(gets: Sequence[Get]) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Pairs of GETs that have bytes in common."""
    return [(a, b) for a, b in itertools.pairwise(sorted((get.start, get.end) for get in gets)) if a[1] > b[0]]
