"""All fetchers of one engine, and the client that has large reads done by them.

run.py makes one `Fetchers` an engine; assembly.py puts its client in front of the engine's own, for reading only.
Fetchers are started when large reads come in numbers, and ended when none has come for a while: so a mount that nobody
reads from costs one small process that waits (spawner.py).
"""

import contextlib
import logging
import math
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final, Protocol

import trio

from engine.arena import Arena
from engine.facts import about
from engine.fetch.remote import Process, Remote
from engine.fetch.spawner import SpawnFailed
from engine.link import Access
from engine.logged import Level
from engine.message_ids import FETCHER_GONE
from engine.s3.client import behind
from engine.s3.interface import RangeReader
from engine.spec import KiB
from engine.stats import EngineStats

_log = logging.getLogger(__name__)

# A smaller read is done by the engine itself. Its CPU for a GET of 128 KiB, done itself and asked for: 160 and 130 us,
# of 256 KiB 190 and 140, of 1 MiB 430 and 150; over TLS 260 and 130, 360 and 120, 1,150 and 230. A reader waits longer.
FETCHED_BYTES_MIN: Final = 256 * KiB

# So many large reads on their way at a time mean that somebody reads on: fetchers are worth their start.
READS_AT_ONCE: Final = 2

# How often fetchers are looked at: one that is stuck holds up reads for twice that at most.
CHECK_SECONDS: Final = 2.0

# Without a large read for that long they are ended: each has 6 to 8 MiB of its own, and takes 10 ms to start.
IDLE_SECONDS: Final = 60.0

# After one has died, or could not be started: what keeps happening must not keep a host busy.
PAUSE_SECONDS: Final = 30.0


class Source(Protocol):
    """Where fetchers come from."""

    @property
    def count(self) -> int:
        """How many to have."""
        ...

    async def spawn(self, number: int, arena_fd: int) -> Process:
        """A new one. Raises SpawnFailed."""
        ...


class Fetchers:
    """The fetchers of an engine.

    Args:
        source: makes them; None: there shall be none.
        stats: what they count is added here.
        rejected: S3 refuses the keys; whoever fetches others calls `use`.
    """

    def __init__(self, source: Source | None, stats: EngineStats, rejected: Callable[[], None] = lambda: None) -> None:
        self._source = source
        self._stats = stats
        self._rejected = rejected
        self._access = ""
        self._log_level: Level | None = None  # None: as when the engine started
        self._running: list[Remote] = []
        self._not_before = -math.inf  # no other one is started
        self._lacks = False  # one could not be started, and that was told
        self._needed = trio.Event()
        self._numbers = 0

    @property
    def count(self) -> int:
        """How many there are while much is read."""
        return 0 if self._source is None else self._source.count

    def use(self, access: Access) -> None:
        """From now on fetch with these keys and from this endpoint."""
        self._access = access.model_dump_json(by_alias=True)
        for remote in self._running:
            remote.use(self._access)

    def keep(self) -> None:
        """There are no other keys for now."""
        for remote in self._running:
            remote.keep()

    def set_log_level(self, level: Level) -> None:
        """Log what is of this level, or above it, from now on."""
        self._log_level = level
        for remote in self._running:
            remote.set_log_level(level)

    @contextlib.asynccontextmanager
    async def reading(self, own: RangeReader, arena: Arena) -> AsyncIterator[RangeReader]:
        """A client that has large reads into this arena done by fetchers; what they can't do is done by `own`."""
        if self._source is None:
            yield own
            return
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._keep_running, self._source, arena.fd)
            yield _Delegating(self, own, arena)
            nursery.cancel_scope.cancel()

    def pick(self) -> Remote | None:
        """The fetcher that has least to do."""
        return min((each for each in self._running if each.alive), key=_outstanding, default=None)

    def need(self) -> None:
        """There is something for them to do."""
        self._needed.set()

    async def _keep_running(self, source: Source, arena_fd: int) -> None:
        """While they are needed, have as many as there should be."""
        while True:
            await self._needed.wait()
            async with trio.open_nursery() as serving:
                idle_at = trio.current_time() + IDLE_SECONDS
                while (now := trio.current_time()) < idle_at:
                    if now >= self._not_before:
                        await self._start_missing(source, arena_fd, serving)
                    await trio.sleep(CHECK_SECONDS)
                    for remote in list(self._running):
                        remote.check()
                        if remote.take_used():
                            idle_at = trio.current_time() + IDLE_SECONDS
                serving.cancel_scope.cancel()
            self._needed = trio.Event()

    async def _start_missing(self, source: Source, arena_fd: int, serving: trio.Nursery) -> None:
        for _ in range(source.count - len(self._running)):
            self._numbers += 1
            try:
                process = await source.spawn(self._numbers, arena_fd)
            except SpawnFailed as error:
                level = logging.DEBUG if self._lacks else logging.WARNING
                _log.log(
                    level,
                    "a fetcher could not be started: %s; the engine fetches itself",
                    error,
                    extra=about(FETCHER_GONE),
                )
                self._lacks, self._not_before = True, trio.current_time() + PAUSE_SECONDS
                return
            self._lacks = False
            remote = Remote(process, self._stats, self._rejected)
            remote.use(self._access)
            if self._log_level is not None:
                remote.set_log_level(self._log_level)
            self._running.append(remote)  # at once: news of keys in between are for it, too
            serving.start_soon(self._serve, remote)

    async def _serve(self, remote: Remote) -> None:
        """One fetcher, to its end. Another takes its place, if there is one, after a pause."""
        self._stats.fetchers = len(self._running)
        try:
            await remote.serve()
        finally:
            self._running.remove(remote)
            self._stats.fetchers = len(self._running)
        self._not_before = trio.current_time() + PAUSE_SECONDS


class _Delegating:
    """Reads by fetchers, and what is too small for them, or left by them, by the engine itself."""

    def __init__(self, fetchers: Fetchers, own: RangeReader, arena: Arena) -> None:
        self._fetchers = fetchers
        self._own = own
        self._arena = arena
        self._large = 0  # of the engine's own, on their way

    async def get_object(
        self,
        key: str,
        *,
        offset: int,
        buffers: Sequence[memoryview],
        if_match: str,
        progress: Callable[[int], None],
    ) -> None:
        """Fill `buffers` with the object's bytes from `offset` on."""
        total, placed = sum(map(len, buffers)), 0
        if total < FETCHED_BYTES_MIN or (places := self._arena.places(buffers)) is None:
            await self._own.get_object(key, offset=offset, buffers=buffers, if_match=if_match, progress=progress)
            return
        if (remote := self._fetchers.pick()) is not None:
            placed = await remote.get(key, offset=offset, places=places, if_match=if_match, progress=progress)
        if placed < total:
            self._large += 1
            if self._large >= READS_AT_ONCE:
                self._fetchers.need()
            try:
                await self._own.get_object(
                    key,
                    offset=offset + placed,
                    buffers=behind(buffers, placed),
                    if_match=if_match,
                    progress=lambda count: progress(placed + count),
                )
            finally:
                self._large -= 1


def _outstanding(remote: Remote) -> int:
    return remote.outstanding
