"""A world for tests of fetchers: each runs as a task of the test's own loop, over a client that answers from memory."""

import contextlib
import dataclasses
import mmap
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import trio
import trio.testing

from engine.arena import Arena, Slot
from engine.errors import S3Error
from engine.fetch.fetcher import Fetcher
from engine.fetch.fetchers import Fetchers
from engine.fetch.spawner import SpawnFailed
from engine.link import Access
from engine.s3.interface import RangeReader
from engine.spec import MiB
from engine.stats import EngineStats
from tests.unit.reading import ETAG, Get, SlowClient, body

ACCESS = Access(name="m", endpoint="http://127.0.0.1:9/b", region="us-east-1")
SIZE = 8 * MiB
OBJECT = body(SIZE)

# Loopback delivers at once, so a loop that is idle for this long has nothing more to come.
IDLE_SECONDS = 0.02


@dataclass
class FetchersClient(SlowClient):
    """A fetcher's client, which notes what it is told."""

    stats: EngineStats = field(default_factory=EngineStats)
    rejected: Callable[[], None] = lambda: None
    used: list[str] = field(default_factory=list)
    kept: int = 0

    def use(self, access: Access) -> None:
        self.used.append(access.region)

    def keep(self) -> None:
        self.kept += 1


class Running:
    """A fetcher that runs as a task: `engine.fetch.remote.Process`."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.scope = trio.CancelScope()
        self.fetcher: Fetcher | None = None
        self.ended = trio.Event()

    async def end(self) -> None:
        self.scope.cancel()
        await self.ended.wait()

    def close(self) -> None:
        self.sock.close()


class Tasks:
    """Makes fetchers as tasks: `engine.fetch.fetchers.Source`."""

    def __init__(self, nursery: trio.Nursery, count: int) -> None:
        self.count = count
        self.deaf = False  # make some that never read and never say a word
        self.refuses = False
        self.running: list[Running] = []
        self.clients: list[FetchersClient] = []
        self.first = FetchersClient({"k": OBJECT})  # what their clients are like
        self._nursery = nursery

    async def spawn(self, number: int, arena_fd: int) -> Running:
        await trio.lowlevel.checkpoint()
        if self.refuses:
            raise SpawnFailed("no more processes")
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        running = Running(ours)
        self.running.append(running)
        self._nursery.start_soon(self._run, running, theirs, os.dup(arena_fd))
        return running

    async def _run(self, running: Running, sock: socket.socket, arena_fd: int) -> None:
        def make(access: Access, stats: EngineStats, rejected: Callable[[], None]) -> FetchersClient:
            client = dataclasses.replace(self.first, stats=stats, rejected=rejected, used=[access.region], gets=[])
            self.clients.append(client)
            return client

        fetcher = running.fetcher = Fetcher(sock, mmap.mmap(arena_fd, 0), make)
        os.close(arena_fd)
        try:
            with running.scope:
                if self.deaf:
                    await trio.sleep_forever()
                await fetcher.run()
        finally:
            trio.lowlevel.notify_closing(sock)
            sock.close()
            running.ended.set()


@dataclass
class World:
    """Fetchers and all that is around them."""

    tasks: Tasks
    fetchers: Fetchers
    stats: EngineStats
    arena: Arena
    own: SlowClient
    reader: RangeReader
    rejections: list[None]
    came: list[int] = field(default_factory=list)  # how far a read has come, of the last one that ended

    async def running(self) -> None:
        """Have the fetchers started."""
        self.fetchers.need()
        await trio.testing.wait_all_tasks_blocked(IDLE_SECONDS)

    @property
    def theirs(self) -> list[Get]:
        """What fetchers were asked for."""
        return [get for client in self.tasks.clients for get in client.gets]

    async def read(self, offset: int = 0, size: int = 2 * MiB, etag: str = ETAG) -> tuple[bytes, list[int]]:
        """Read a range; its bytes, and how they came."""
        slots = [self.arena.acquire_nowait() for _ in range(-(-size // MiB))]
        views = [slot.view[: min(MiB, size - index * MiB)] for index, slot in enumerate(filled(slots))]
        came: list[int] = []
        try:
            await self.reader.get_object("k", offset=offset, buffers=views, if_match=etag, progress=came.append)
            return b"".join(views), came
        finally:
            self.came = came
            for slot in filled(slots):
                self.arena.release(slot)


def filled(slots: list[Slot | None]) -> list[Slot]:
    return [slot for slot in slots if slot is not None]


def run(test: Callable[[World], Awaitable[None]], *, count: int = 1) -> None:
    """Run a test in a world of so many fetchers, in a clock that jumps."""

    async def main() -> None:
        async with world(count) as made:
            await test(made)

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=IDLE_SECONDS))


@contextlib.asynccontextmanager
async def world(count: int) -> AsyncIterator[World]:
    stats, own, rejections, arena = EngineStats(), SlowClient({"k": OBJECT}), list[None](), Arena(16 * MiB)
    async with trio.open_nursery() as nursery:
        tasks = Tasks(nursery, count)
        fetchers = Fetchers(tasks, stats, lambda: rejections.append(None))
        fetchers.use(ACCESS)
        async with fetchers.reading(own, arena) as reader:
            yield World(tasks, fetchers, stats, arena, own, reader, rejections)
    arena.close()


def fails_with(error: S3Error) -> Callable[[Get], S3Error]:
    return lambda _get: error
