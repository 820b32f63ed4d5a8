"""What a byte and a request cost in CPU, layer by layer: `python -m bench.cost [--help]`.

The HTTP client alone, then with the prefetcher or the uploader, the file system, and through the kernel: each line has
what is above it in it, so that a regression has an address. Best of several rounds: others may use the machine.
"""

import argparse
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import trio

from bench.fast_s3 import FastS3, Manners, Missing, put_same
from bench.layers import LARGE, LISTED, LISTS, SMALL_BYTES, SMALL_FILES, WRITTEN, world
from bench.mounts import Mount, mount
from bench.peers import BUCKET, OURS
from bench.rows import BEGINNING
from bench.workloads import Done, carry_out

MIB: Final = 1 << 20
ROUNDS: Final = 3
SIZE_MIB: Final = 512
SECONDS_MAX: Final = 600.0  # of a workload through the kernel, which is never cut short


@dataclass(frozen=True)
class Cost:
    """The best of some rounds."""

    cpu: float  # seconds
    wall: float  # seconds
    requests: int
    count: int = SMALL_FILES  # of what was done


class Meter:
    """Measures against one S3.

    Args:
        s3: counts requests.
        rounds: of each.
    """

    def __init__(self, s3: FastS3, rounds: int) -> None:
        self._s3 = s3
        self._rounds = rounds

    async def here(self, work: Callable[[], Awaitable[None]], count: int = SMALL_FILES) -> Cost:
        """What a coroutine of this process costs, which does `count` things."""
        found = []
        for _ in range(self._rounds):
            requests, cpu, began = self._s3.requests().total(), time.process_time(), time.perf_counter()
            await work()
            cpu, wall = time.process_time() - cpu, time.perf_counter() - began
            found.append(Cost(cpu, wall, self._s3.requests().total() - requests, count))
            self._s3.forget(BUCKET, WRITTEN)
        return min(found, key=lambda cost: cost.cpu)

    def there(self, served: Mount, work: Callable[[int], Done]) -> Cost:
        """What a mount's processes spend while a program works, which is told the round."""
        found = []
        for number in range(self._rounds):
            requests, cpu = self._s3.requests().total(), served.cpu_seconds()
            done = work(number)
            cpu = served.cpu_seconds() - cpu
            found.append(Cost(cpu, done.seconds, self._s3.requests().total() - requests))
        return min(found, key=lambda cost: cost.cpu)


@dataclass
class Costs:
    """By what was done, each layer with those below it."""

    read: dict[str, Cost]
    written: dict[str, Cost]
    requests: dict[str, Cost]


async def inside(s3: FastS3, meter: Meter) -> Costs:
    """The layers below the kernel."""
    async with world(s3) as made:
        return Costs(
            {
                "HTTP client": await meter.here(made.large_by_client),
                "+ prefetcher": await meter.here(made.large_by_prefetcher),
                "+ file system": await meter.here(made.large_by_filesystem),
            },
            {
                "HTTP client": await meter.here(made.written_by_client),
                "+ uploader, checksums": await meter.here(made.written_by_uploader),
                "+ file system": await meter.here(made.written_by_filesystem),
            },
            {
                "signature (SigV4)": await meter.here(made.signatures),
                "request's head, signature included": await meter.here(made.request_heads),
                "HEAD": await meter.here(made.heads),
                f"GET of {SMALL_BYTES // 1024} KiB": await meter.here(made.gets),
                "PUT of 1 byte": await meter.here(made.puts),
                f"LIST of {LISTED:,} keys": await meter.here(made.lists, LISTS),
                "small file read, below the kernel": await meter.here(made.files),
                "small file made, below the kernel": await meter.here(made.creations),
            },
        )


def through_the_kernel(s3: FastS3, meter: Meter, size: int) -> Costs:
    """The same by a mount."""
    names = [f"{number}" for number in range(SMALL_FILES)]
    with mount(OURS, s3, ttl=True) as served:

        def large(_number: int) -> Done:
            return carry_out("sequential", served.directory, {"keys": [LARGE]}, SECONDS_MAX)

        def write(number: int) -> Done:
            place = f"made-{number}"
            told = {"directory": place, "names": [WRITTEN], "size": size, "published": str(s3.root / BUCKET / place)}
            done = carry_out("write", served.directory, told, SECONDS_MAX)
            s3.forget(BUCKET, f"{place}/{WRITTEN}")
            return done

        def read(number: int) -> Done:
            told = {"directory": f"small-{number}", "readers": 1}
            return carry_out("small_files", served.directory, told, SECONDS_MAX)

        def made(number: int) -> Done:
            place = f"made-{number}"
            told = {"directory": place, "names": names, "published": str(s3.root / BUCKET / place)}
            return carry_out("create", served.directory, told, SECONDS_MAX)

        return Costs(
            {"+ FUSE": meter.there(served, large)},
            {"+ FUSE": meter.there(served, write)},
            {"small file read": meter.there(served, read), "small file made": meter.there(served, made)},
        )


def measured(s3: FastS3, size: int, rounds: int) -> Costs:
    """Make the objects and measure all."""
    folder = s3.root / BUCKET
    s3.put(BUCKET, LARGE, size)
    small = s3.put("content", "small", SMALL_BYTES)
    places = ["small", *(f"small-{number}" for number in range(rounds))]
    put_same(folder, [f"{place}/{number:05}" for place in places for number in range(SMALL_FILES)], small)
    put_same(folder, [f"listed/{number:05}" for number in range(LISTED)], small)
    put_same(folder, [f"{place}/{BEGINNING}" for place in ("made", *(f"made-{n}" for n in range(rounds)))], small)
    meter = Meter(s3, rounds)
    below, whole = trio.run(inside, s3, meter), through_the_kernel(s3, meter, size)
    return Costs(below.read | whole.read, below.written | whole.written, below.requests | whole.requests)


def told(costs: Costs, size: int) -> str:
    """All of them as text."""
    lines = []
    for what, layers in (("a large object is read", costs.read), ("a large file is written", costs.written)):
        lines.append(f"{what:36}{'CPU s/GB':>10}{'more':>8}{'MB/s':>8}{'requests':>10}")
        before = 0.0
        for layer, cost in layers.items():
            each = cost.cpu / size * 1e9
            lines.append(f"{layer:36}{each:10.3f}{each - before:8.3f}{size / cost.wall / 1e6:8.0f}{cost.requests:10}")
            before = each
        lines.append("")
    lines.append(f"{'one by one':36}{'CPU us':>10}{'us':>8}{'requests':>10}")
    for what, cost in costs.requests.items():
        cpu, wall = (seconds / cost.count * 1e6 for seconds in (cost.cpu, cost.wall))
        lines.append(f"{what:36}{cpu:10.0f}{wall:8.0f}{cost.requests / cost.count:10.2f}")
    return "\n".join(lines)


def main() -> int:
    """Returns the exit code: 1 if something that the bench needs is not installed."""
    parser = argparse.ArgumentParser(prog="python -m bench.cost", description=__doc__.partition("\n")[0])
    parser.add_argument("--mib", type=int, default=SIZE_MIB, help="size of the large object (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="(default: %(default)s)")
    parser.add_argument("--first-byte-ms", type=int, default=0, help="S3's delay; S3 itself has about 20")
    parser.add_argument("--connection-mb", type=int, default=0, help="MB/s of a connection; S3 has about 90")
    parser.add_argument("--tls", action="store_true")
    asked = parser.parse_args()
    manners = Manners(asked.first_byte_ms, asked.connection_mb)
    try:
        with FastS3(manners, tls=asked.tls) as s3:
            costs = measured(s3, asked.mib * MIB, asked.rounds)
    except Missing as missing:
        print(missing, file=sys.stderr)
        return 1
    print(f"{manners}{', TLS' if asked.tls else ''}; best of {asked.rounds} rounds")
    print(told(costs, asked.mib * MIB))
    return 0


if __name__ == "__main__":
    sys.exit(main())
