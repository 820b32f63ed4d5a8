"""What an engine is made of, put together: memory, reader, file system, operations.

Used by run.py (under a supervisor) and __main__.py (alone). Opens no connection and no session.
"""

import contextlib
import functools
from collections.abc import AsyncIterator, Callable

import trio

from engine import malloc
from engine.arena import Arena
from engine.fs.filesystem import S3Filesystem
from engine.fs.ledger import Ledger, inherit, snapshot
from engine.fuse.operations import Operations
from engine.journal import Journal, replay
from engine.read.prefetcher import TRIM_SECONDS, Prefetcher
from engine.read.window import width_for
from engine.s3.interface import ObjectClient
from engine.spec import MiB, MountSpec
from engine.stats import EngineStats
from engine.write.uploader import Uploader


@contextlib.asynccontextmanager
async def serving(
    client: ObjectClient, spec: MountSpec, stats: EngineStats, *, generation: int, journal_fd: int | None = None
) -> AsyncIterator[Operations]:
    """Operations that answer from S3. On leaving, all that open files still fetch is cancelled, what is not written to
    its end is given up, and memory freed.

    Args:
        client: S3; stays the caller's.
        spec: the mount.
        stats: counts.
        generation: which engine of its session this is, from 0.
        journal_fd: what the engine before left is there, and what the next one must know will be; owned.
    """
    malloc.set_up()
    arena = Arena(spec.memory_target * MiB)
    try:
        async with trio.open_nursery() as fetching:
            prefetcher = Prefetcher(
                client,
                arena,
                fetching,
                part_bytes=spec.read_part_bytes,
                stats=stats,
                width_max=width_for(spec.maximum_throughput_gbps),
            )
            fetching.start_soon(_trim, prefetcher)
            uploader = None if spec.read_only else Uploader(client, arena, fetching, spec=spec, stats=stats)
            try:
                with contextlib.ExitStack() as journals:
                    make = functools.partial(
                        S3Filesystem, spec, client, prefetcher, generation=generation, stats=stats, uploader=uploader
                    )
                    filesystem = make() if journal_fd is None else _journalled(make, journal_fd, journals)
                    yield Operations(filesystem, stats)
            finally:
                if uploader is not None:
                    await uploader.aclose()
            fetching.cancel_scope.cancel()
        prefetcher.close()
    finally:
        arena.close()


def _journalled(make: Callable[..., S3Filesystem], fd: int, journals: contextlib.ExitStack) -> S3Filesystem:
    """A file system that goes on where the journal ends, and writes it on."""
    inherited = inherit(replay(fd))
    ledger = Ledger(lambda records: journal.append(records))  # noqa: PLW0108 - the journal is not there yet
    filesystem = make(ledger=ledger, inherited=inherited)
    journal = Journal(fd, lambda: snapshot(filesystem.bequest()))
    journals.callback(journal.close)
    return filesystem


async def _trim(prefetcher: Prefetcher) -> None:
    while True:
        await trio.sleep(TRIM_SECONDS)
        prefetcher.trim()
