"""What fetcher processes bring: `python -m bench.fetchers [--help]`.

Mounts of the same objects with 0, 1, 2, ... fetchers, read in turn in several rounds. Tells the speed, and what a
gigabyte costs the engine and its fetchers in CPU: from the two follows what a host with more cores can reach.
"""

import argparse
import contextlib
import dataclasses
import os
import re
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench.fast_s3 import FastS3, Manners, telling_what_is_missing
from bench.mounts import Mount, mount
from bench.peers import BUCKET, OURS, Peer
from bench.processes import cpu_seconds, family
from bench.workloads import carry_out

MIB: Final = 1 << 20
ROUNDS: Final = 5
SIZE_MIB: Final = 1024
COUNTS: Final = (0, 1, 2)
SECONDS_MAX: Final = 3600.0  # none is cut short
PAUSE_SECONDS: Final = 1.5  # for others, between two turns that let nobody else run

# As engine/fetch/spawner.py names them; 0 is the one that forks.
_FETCHER: Final = re.compile(r"^s3:.*/[1-9]\d*$")


@dataclass
class Result:
    """What was measured with so many fetchers, a value a round."""

    mb_per_second: list[float] = field(default_factory=list)
    engine: list[float] = field(default_factory=list)  # CPU s/GB
    fetchers: list[float] = field(default_factory=list)  # CPU s/GB, all together
    requests: list[int] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)


def with_fetchers(count: int) -> Peer:
    """mountctl with so many of them."""
    return dataclasses.replace(OURS, name=f"{count} fetchers", command=(*OURS.command, "--fetchers", str(count)))


def fetchers_of(served: Mount) -> list[int]:
    """Those that run."""
    return [pid for pid in family(served.pid) if _FETCHER.match(_name(pid))]


def _name(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().rstrip("\n")
    return ""


def measure(served: Mount, s3: FastS3, keys: list[str], result: Result) -> None:
    """One round: read each object by a process of its own, all at once."""
    fetchers = fetchers_of(served)
    requests, every, theirs = s3.requests(served.client).total(), served.cpu_seconds(), cpu_seconds(fetchers)
    with served.watched():
        done = carry_out("sequential", served.directory, {"keys": keys}, SECONDS_MAX)
    every, theirs = served.cpu_seconds() - every, cpu_seconds(fetchers) - theirs
    gigabytes = done.units / 1e9
    result.mb_per_second.append(done.value / 1e6)
    result.engine.append((every - theirs) / gigabytes)
    result.fetchers.append(theirs / gigabytes)
    result.requests.append(s3.requests(served.client).total() - requests)
    result.memory.append(served.peak)


@contextlib.contextmanager
def ahead_of_others() -> Iterator[None]:
    """All processes of the bench, and those that they start meanwhile, run before everybody else's."""
    time.sleep(PAUSE_SECONDS)
    _schedule(os.SCHED_RR, 1)
    try:
        yield
    finally:
        _schedule(os.SCHED_OTHER, 0)


def _schedule(policy: int, priority: int) -> None:
    for pid in family(os.getpid()):
        for task in [int(name) for name in _names(Path(f"/proc/{pid}/task"))]:
            with contextlib.suppress(ProcessLookupError):
                os.sched_setscheduler(task, policy, os.sched_param(priority))


def _names(directory: Path) -> list[str]:
    with contextlib.suppress(FileNotFoundError):
        return os.listdir(directory)
    return []


def run(
    manners: Manners, size: int, rounds: int, readers: int, counts: list[int], *, tls: bool, real_time: bool
) -> Iterator[str]:
    """Measure and tell, a line a number of fetchers."""
    turn = ahead_of_others if real_time else contextlib.nullcontext
    with FastS3(manners, tls=tls, clients=len(counts)) as s3, contextlib.ExitStack() as mounts:
        keys = [f"object-{number}" for number in range(readers)]
        for key in keys:
            s3.put(BUCKET, key, size)
        served = [mounts.enter_context(mount(with_fetchers(n), s3, client=client)) for client, n in enumerate(counts)]
        for each in served:  # fetchers start when they are needed, which is not to be measured
            measure(each, s3, keys, Result())
        measured = {count: Result() for count in counts}
        for _ in range(rounds):
            for count, each in zip(counts, served, strict=True):
                assert len(fetchers_of(each)) == count
                with turn():
                    measure(each, s3, keys, measured[count])
    for count, result in measured.items():
        speed, engine, fetchers = map(statistics.median, (result.mb_per_second, result.engine, result.fetchers))
        yield (
            f"{count:8}{speed:8.0f}{min(result.mb_per_second):8.0f}{max(result.mb_per_second):6.0f}{engine:10.3f}"
            f"{fetchers:10.3f}{statistics.median(result.requests):10.0f}{max(result.memory) / MIB:8.0f} MiB"
        )


@telling_what_is_missing
def main() -> int:
    """Parse, run, print. Returns the exit code: 1 if something that the bench needs is not installed."""
    parser = argparse.ArgumentParser(prog="python -m bench.fetchers", description=__doc__.partition("\n")[0])
    parser.add_argument("--fetchers", type=int, nargs="+", default=list(COUNTS), help="(default: 0 1 2)")
    parser.add_argument("--mib", type=int, default=SIZE_MIB, help="size of each object (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="(default: %(default)s)")
    parser.add_argument("--readers", type=int, default=1, help="files read at once (default: %(default)s)")
    parser.add_argument("--first-byte-ms", type=int, default=0, help="S3's delay; S3 itself has about 20")
    parser.add_argument("--connection-mb", type=int, default=0, help="MB/s of a connection; S3 has about 90")
    parser.add_argument("--tls", action="store_true")
    parser.add_argument(
        "--real-time", action="store_true", help="where the machine has other work: it waits during each turn"
    )
    told = parser.parse_args()
    manners = Manners(told.first_byte_ms, told.connection_mb)
    tls = ", TLS" if told.tls else ""
    print(f"{told.readers} sequential reader(s) of {told.mib} MiB, {manners}{tls}, median of {told.rounds} rounds")
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores before", flush=True)
    print(
        f"{'fetchers':>8}{'MB/s':>8}{'least':>8}{'most':>6}{'engine':>10}{'fetchers':>10}{'requests':>10}{'peak':>12}"
    )
    how = {"tls": told.tls, "real_time": told.real_time}
    for line in run(manners, told.mib * MIB, told.rounds, told.readers, told.fetchers, **how):
        print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
