"""What an engine is made of, put together: memory, reader, file system, operations.

Used by run.py (under a supervisor) and __main__.py (alone). Opens no connection and no session.
"""

import contextlib
from collections.abc import AsyncIterator

import trio

from engine.arena import Arena
from engine.fs.filesystem import S3Filesystem
from engine.fuse.operations import Operations
from engine.read.prefetcher import TRIM_SECONDS, Prefetcher
from engine.read.window import width_for
from engine.s3.interface import ObjectClient
from engine.spec import MiB, MountSpec
from engine.stats import EngineStats


@contextlib.asynccontextmanager
async def serving(
    client: ObjectClient, spec: MountSpec, stats: EngineStats, *, generation: int
) -> AsyncIterator[Operations]:
    """Operations that answer from S3. On leaving, all that open files still fetch is cancelled and memory freed.

    Args:
        client: S3; stays the caller's.
        spec: the mount.
        stats: counts.
        generation: which engine of its session this is, from 0.
    """
    arena = Arena(spec.memory_target * MiB)
    try:
        async with trio.open_nursery() as fetching:
            prefetcher = Prefetcher(
                client,
                arena,
                fetching,
                part_bytes=spec.read_part_size,
                stats=stats,
                width_max=width_for(spec.maximum_throughput_gbps),
            )
            fetching.start_soon(_trim, prefetcher)
            yield Operations(S3Filesystem(spec, client, prefetcher, generation=generation, stats=stats), stats)
            fetching.cancel_scope.cancel()
        prefetcher.close()
    finally:
        arena.close()


async def _trim(prefetcher: Prefetcher) -> None:
    while True:
        await trio.sleep(TRIM_SECONDS)
        prefetcher.trim()
