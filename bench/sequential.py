"""One sequential read beside the peers, in one run: `make bench`, or `python -m bench.sequential [--help]`.

Reads one large object through an engine of ours and through rclone, turn by turn so that a busy moment of the machine
hits all of them, without anything in the page cache. Prints medians.
"""

import argparse
import contextlib
import os
import statistics
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench.fast_s3 import FastS3, Manners, Missing
from bench.mounts import BUCKET, OURS, Mount, Peer, mount, rclone

MIB: Final = 1 << 20
ROUNDS: Final = 3
SIZE_MIB: Final = 1024

# As `cp` and `dd bs=1M` read.
CHUNK_BYTES: Final = MIB


@dataclass
class Result:
    """What was measured of one peer, a value a round."""

    mb_per_second: list[float] = field(default_factory=list)
    cpu_per_gb: list[float] = field(default_factory=list)
    requests: list[int] = field(default_factory=list)


def read(path: Path) -> None:
    """Read a file from start to end; its pages leave the page cache afterwards."""
    buffer = bytearray(CHUNK_BYTES)
    with path.open("rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        total = 0
        while count := file.readinto(buffer):
            total += count
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    if total != size:
        raise RuntimeError(f"{path}: {total} of {size} bytes")


def measure(served: Mount, s3: FastS3, keys: list[str], result: Result) -> None:
    """One round: read each object by a thread of its own, all at once."""
    paths = [served.directory / key for key in keys]
    gigabytes = sum(path.stat().st_size for path in paths) / 1e9
    before, cpu, began = s3.requests().total(), served.cpu_seconds(), time.perf_counter()
    readers = [threading.Thread(target=read, args=(path,)) for path in paths]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    result.mb_per_second.append(gigabytes * 1000 / (time.perf_counter() - began))
    result.cpu_per_gb.append((served.cpu_seconds() - cpu) / gigabytes)
    result.requests.append(s3.requests().total() - before)


def table(measured: dict[Peer, tuple[Mount, Result]]) -> str:
    """The results as text, with each speed as a share of ours to it."""
    ours = statistics.median(measured[OURS][1].mb_per_second)
    lines = [f"{'':20}{'MB/s':>8}{'CPU s/GB':>10}{'peak RSS':>12}{'peak PSS':>12}{'requests':>10}{'ours is':>10}"]
    for peer, (served, result) in measured.items():
        speed = statistics.median(result.mb_per_second)
        lines.append(
            f"{peer.name:20}{speed:8.0f}{statistics.median(result.cpu_per_gb):10.2f}"
            f"{served.peak_rss / MIB:8.0f} MiB{served.peak_pss / MIB:8.0f} MiB"
            f"{statistics.median(result.requests):10.0f}{ours / speed:9.1f}x"
        )
    return "\n".join(lines)


def run(manners: Manners, size: int, rounds: int, readers: int, peers: list[Peer]) -> str:
    """Measure and tell."""
    with FastS3(manners) as s3, contextlib.ExitStack() as mounts:
        keys = [f"object-{number}" for number in range(readers)]
        for key in keys:
            s3.put(BUCKET, key, size)
        measured = {peer: (mounts.enter_context(mount(peer, s3)), Result()) for peer in peers}
        for _ in range(rounds):
            for served, result in measured.values():
                measure(served, s3, keys, result)
        return table(measured)


def main() -> int:
    """Parse, run, print. Returns the exit code: 1 if something that the bench needs is not installed."""
    parser = argparse.ArgumentParser(prog="python -m bench.sequential", description=__doc__)
    parser.add_argument("--mib", type=int, default=SIZE_MIB, help="size of each object (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="(default: %(default)s)")
    parser.add_argument("--readers", type=int, default=1, help="files read at once (default: %(default)s)")
    parser.add_argument("--first-byte-ms", type=int, default=0, help="S3's delay; S3 itself has about 20")
    parser.add_argument("--connection-mb", type=int, default=0, help="MB/s of a connection; S3 has about 90")
    parser.add_argument("--alone", action="store_true", help="leave the peers out")
    told = parser.parse_args()
    manners = Manners(told.first_byte_ms, told.connection_mb)
    print(f"{told.readers} sequential reader(s) of {told.mib} MiB, {manners}, median of {told.rounds} rounds")
    # Other work on the machine takes more from a program of one thread than from one of many.
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores before", flush=True)
    try:
        peers = [OURS] if told.alone else [OURS, rclone("off"), rclone("writes")]
        print(run(manners, told.mib * MIB, told.rounds, told.readers, peers))
    except Missing as missing:
        print(missing, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
