"""One sequential read beside rclone, in one run: `python -m bench.sequential [--help]`.

The quick one: a row of `python -m bench` with sizes, readers and manners of one's own. Reads large objects through an
engine of ours and through rclone, turn by turn so that a busy moment of the machine hits all of them, without anything
in the page cache. Prints medians.
"""

import argparse
import contextlib
import os
import statistics
import sys
from dataclasses import dataclass, field
from typing import Final

from bench.fast_s3 import FastS3, Manners, telling_what_is_missing
from bench.mounts import Mount, mount
from bench.peers import BUCKET, OURS, Peer, rclone
from bench.workloads import carry_out

MIB: Final = 1 << 20
ROUNDS: Final = 3
SIZE_MIB: Final = 1024

# A run's limit: none, all is read.
SECONDS_MAX: Final = 3600.0


@dataclass
class Result:
    """What was measured of one peer, a value a round."""

    mb_per_second: list[float] = field(default_factory=list)
    cpu_per_gb: list[float] = field(default_factory=list)
    requests: list[int] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)


def measure(served: Mount, s3: FastS3, keys: list[str], result: Result) -> None:
    """One round: read each object by a process of its own, all at once."""
    before, cpu = s3.requests(served.client).total(), served.cpu_seconds()
    with served.watched():
        done = carry_out("sequential", served.directory, {"keys": keys}, SECONDS_MAX)
    result.mb_per_second.append(done.value / 1e6)
    result.cpu_per_gb.append((served.cpu_seconds() - cpu) / done.units * 1e9)
    result.requests.append(s3.requests(served.client).total() - before)
    result.memory.append(served.peak)


def table(measured: dict[Peer, Result]) -> str:
    """The results as text, with each speed as a share of ours to it."""
    ours = statistics.median(measured[OURS].mb_per_second)
    lines = [f"{'':20}{'MB/s':>8}{'CPU s/GB':>10}{'peak PSS':>12}{'requests':>10}{'ours is':>10}"]
    for peer, result in measured.items():
        speed = statistics.median(result.mb_per_second)
        lines.append(
            f"{peer.name:20}{speed:8.0f}{statistics.median(result.cpu_per_gb):10.2f}{max(result.memory) / MIB:8.0f} MiB"
            f"{statistics.median(result.requests):10.0f}{ours / speed:9.1f}x"
        )
    return "\n".join(lines)


def run(manners: Manners, size: int, rounds: int, readers: int, peers: list[Peer]) -> str:
    """Measure and tell."""
    with FastS3(manners, clients=len(peers)) as s3, contextlib.ExitStack() as mounts:
        keys = [f"object-{number}" for number in range(readers)]
        for key in keys:
            s3.put(BUCKET, key, size)
        served = [mounts.enter_context(mount(peer, s3, client=client)) for client, peer in enumerate(peers)]
        measured = {peer: Result() for peer in peers}
        for _ in range(rounds):
            for each in served:
                measure(each, s3, keys, measured[each.peer])
        return table(measured)


@telling_what_is_missing
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
    peers = [OURS] if told.alone else [OURS, rclone("off"), rclone("writes")]
    print(run(manners, told.mib * MIB, told.rounds, told.readers, peers))
    return 0


if __name__ == "__main__":
    sys.exit(main())
