"""How fast engine/read and engine/s3 are without the kernel: `python -m bench.read_path [--first-byte-ms 20 ...]`.

Reads as the kernel's read-ahead does: so many requests of 1 MiB at once, each a task. For tuning the constants of
engine/read; what programs see is measured by bench/sequential.py.
"""

import argparse
import cProfile
import pstats
import resource
import time
from typing import Final

import trio

from bench.fast_s3 import FastS3, Manners
from engine.arena import Arena
from engine.link import Access
from engine.read import Prefetcher, ReadStream
from engine.s3.client import HttpClient
from engine.spec import MiB
from engine.stats import EngineStats

# Requests of the kernel in flight with read_ahead_kb 4096.
IN_FLIGHT: Final = 8

ARENA_BYTES: Final = 512 * MiB
PART_BYTES: Final = 8 * MiB


def key(number: int) -> str:
    """The object of a reader: each has its own, as readers of one share what they fetch."""
    return f"object{number}"


async def _kernel(stream: ReadStream, size: int) -> None:
    """Read a file from start to end, IN_FLIGHT requests at a time."""
    offsets = iter(range(0, size, MiB))

    async def reader() -> None:
        for offset in offsets:
            await stream.read(offset, MiB)
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as readers:
        for _ in range(IN_FLIGHT):
            readers.start_soon(reader)


async def _measure(s3: FastS3, size: int, readers: int) -> None:
    stats = EngineStats()
    access = Access(name="bench", endpoint=s3.endpoint + "/bucket", region="us-east-1", credentials=None)
    client = HttpClient(access, stats=stats, requester_pays=False, rejected=lambda: None)
    arena = Arena(ARENA_BYTES)
    objects = [await client.head_object(key(number)) for number in range(readers)]
    async with trio.open_nursery() as nursery:
        prefetcher = Prefetcher(client, arena, nursery, part_bytes=PART_BYTES, stats=stats)
        for _ in range(3):
            began, cpu, requests = time.perf_counter(), time.process_time(), s3.requests()["GET"]
            streams = [prefetcher.open(info.key, info.etag, size) for info in objects]
            async with trio.open_nursery() as tasks:
                for stream in streams:
                    tasks.start_soon(_kernel, stream, size)
            seconds = time.perf_counter() - began
            gigabytes = readers * size / 1e9
            windows = [walk.window.width // MiB for stream in streams for walk in stream._walks]  # noqa: SLF001
            print(
                f"{gigabytes * 1000 / seconds:6.0f} MB/s  {(time.process_time() - cpu) / gigabytes:.2f} CPU s/GB  "
                f"{s3.requests()['GET'] - requests} GETs  windows {windows}  "
                f"peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MiB"
            )
            for stream in streams:
                stream.close()
        nursery.cancel_scope.cancel()
    await client.aclose()
    arena.close()


def main() -> None:
    """Print a line for each of three rounds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=1024, help="size of the object")
    parser.add_argument("--readers", type=int, default=1)
    parser.add_argument("--first-byte-ms", type=int, default=0)
    parser.add_argument("--connection-mb", type=int, default=0)
    parser.add_argument("--profile", action="store_true")
    told = parser.parse_args()
    manners = Manners(told.first_byte_ms, told.connection_mb)
    with FastS3(manners) as s3:
        for number in range(told.readers):
            s3.put("bucket", key(number), told.mib * MiB)
        print(manners)
        if not told.profile:
            trio.run(_measure, s3, told.mib * MiB, told.readers)
            return
        profile = cProfile.Profile()
        profile.runcall(trio.run, _measure, s3, told.mib * MiB, told.readers)
        pstats.Stats(profile).sort_stats("tottime").print_stats(25)


if __name__ == "__main__":
    main()
