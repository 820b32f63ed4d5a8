"""What an engine is made of, put together: memory, reader, file system, operations.

Used by run.py (under a supervisor) and __main__.py (alone). Opens no connection and no session.
"""

import contextlib
from collections.abc import AsyncIterator
from mmap import mmap

import trio

from engine import collector, malloc
from engine.arena import SLOT_BYTES, Arena
from engine.fetch.fetchers import Fetchers
from engine.fs.filesystem import S3Filesystem
from engine.fs.inherited import Inherited
from engine.fs.ledger import Ledger, inherit
from engine.fs.moving import Arrival
from engine.fuse.operations import Operations
from engine.fuse.served import Served, left
from engine.journal import Journal, Replay, notes
from engine.read.prefetcher import TRIM_SECONDS, Prefetcher
from engine.read.window import width_for
from engine.s3.interface import ObjectClient, RangeReader
from engine.spec import MiB, MountSpec
from engine.stats import EngineStats
from engine.telling import UploadTeller
from engine.write.uploader import Uploader


@contextlib.asynccontextmanager
async def serving(
    client: ObjectClient,
    spec: MountSpec,
    stats: EngineStats,
    *,
    generation: int,
    journal_fd: int | None = None,
    handed: tuple[int, ...] | None = None,
    teller: UploadTeller | None = None,
    fetchers: Fetchers | None = None,
) -> AsyncIterator[Operations]:
    """Operations that answer from S3. On leaving, all that open files still fetch is cancelled, what is not written to
    its end is given up, and memory freed.

    Args:
        client: S3; stays the caller's.
        spec: the mount.
        stats: counts.
        generation: which engine of its session this is, from 0.
        journal_fd: what the engine before left is there, and what the next one must know will be; owned.
        handed: the engine before has handed over, with these descriptors; None: it died, or there was none.
        teller: tells the supervisor of uploads; None: there is no supervisor.
        fetchers: do large reads; None: the client does all.
    """
    malloc.set_up()
    teller = teller or UploadTeller()
    arrival = Arrival(handed or ())
    arena = Arena(max(spec.memory_target * MiB, arrival.bytes))
    stats.arena_bytes_max = arena.slots * SLOT_BYTES
    try:
        async with _reader(client, arena, fetchers) as reader, trio.open_nursery() as fetching:
            prefetcher = _prefetcher(reader, arena, fetching, spec, stats)
            with collector.paused():  # hundreds of thousands of objects, none of them garbage
                journal = _Journalling(journal_fd, arrival, arena)
                ledger, uploader = journal.ledger, None
                if not spec.read_only:
                    uploader = Uploader(client, arena, fetching, spec=spec, stats=stats, records=teller.over(ledger))
                filesystem = S3Filesystem(
                    spec,
                    client,
                    prefetcher,
                    generation=generation,
                    stats=stats,
                    uploader=uploader,
                    ledger=ledger,
                    inherited=journal.inherited,
                    nursery=fetching,
                )
                journal.begin(filesystem)
            if uploader is not None:
                teller.begin(uploader)
            try:
                operations = Operations(filesystem, stats, Served(journal.notes))
                if handed is None:
                    operations.inherit(journal.unanswered)
                yield operations
            finally:
                if uploader is not None:
                    await uploader.aclose()
                journal.close()
            fetching.cancel_scope.cancel()
        prefetcher.close()
    finally:
        arena.close()


def _reader(
    client: ObjectClient, arena: Arena, fetchers: Fetchers | None
) -> contextlib.AbstractAsyncContextManager[RangeReader]:
    """Reads by fetchers, if there are any. They outlive what reads by them."""
    return contextlib.nullcontext(client) if fetchers is None else fetchers.reading(client, arena)


def _prefetcher(
    client: RangeReader, arena: Arena, fetching: trio.Nursery, spec: MountSpec, stats: EngineStats
) -> Prefetcher:
    """Reads as the mount's options ask; what it does not need goes back to the system now and then."""
    prefetcher = Prefetcher(
        client,
        arena,
        fetching,
        part_bytes=spec.read_part_bytes,
        stats=stats,
        width_max=width_for(spec.maximum_throughput_gbps),
    )
    fetching.start_soon(_trim, prefetcher)
    return prefetcher


class _Journalling:
    """The journal that a file system goes on from, and then writes. Without a file descriptor nothing is written.

    What the engine before has handed over is taken into this arena.
    """

    def __init__(self, fd: int | None, arrival: Arrival, arena: Arena) -> None:
        self._fd = fd
        self._journal: Journal | None = None
        self.notes: mmap | bytearray = bytearray(0) if fd is None else notes(fd)
        self.unanswered = left(self.notes)
        self._replayed = None if fd is None else Replay(fd)
        self.inherited = inherit(self._replayed or ())
        self.ledger = Ledger(self._append, self.inherited)
        self.inherited.moved = arrival.unpack(arena)
        self.ledger.uploads.update(self.inherited.moved.uploads)

    def begin(self, filesystem: S3Filesystem) -> None:
        """Replace what the engine before wrote by what its successor has taken up; follow that from now on."""
        if self._fd is not None:
            self._journal = Journal(self._fd, filesystem.snapshot, self._replayed)
            self.ledger.flush()
        self.inherited, self._replayed = Inherited(), None  # as large as all inodes, and taken up

    def close(self) -> None:
        """Nothing more is written."""
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    def _append(self, records: list[str]) -> None:
        if self._journal is not None:
            self._journal.append(records)


async def _trim(prefetcher: Prefetcher) -> None:
    while True:
        await trio.sleep(TRIM_SECONDS)
        prefetcher.trim()
        malloc.trim()
