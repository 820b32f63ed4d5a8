"""What programs pay for the journal: `python -m bench.journalling [--help]`.

Two mounts of the bench's S3 by engines that differ in one thing: one writes a journal, as under a supervisor, the other
one none. A program does the same on both, a tenth of a second on each in turn, so that a busy moment of the machine
hits both. Printed is, of each work, what the journal makes of the engine's CPU time and of the time that the program
needs: the median of the rounds' ratios, with their quartiles. CPU time is the more robust of the two.
"""

import argparse
import contextlib
import math
import operator
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.fast_s3 import FastS3, telling_what_is_missing
from bench.mounts import UNMOUNT_SECONDS_MAX
from bench.peers import BUCKET, ENVIRONMENT
from bench.workloads import read_whole

MIB: Final = 1 << 20
ROUNDS: Final = 15
TURNS: Final = 10  # of a round, on each mount
FILES: Final = 50  # small ones in a turn
FILE_BYTES: Final = 16 << 10
CREATED_BYTES: Final = 1 << 10
LARGE_MIB: Final = 64
MODES: Final = ("on", "off")


@dataclass
class Cost:
    """Of one work in one round, in seconds."""

    cpu: float = 0.0
    time: float = 0.0


@dataclass
class Engine:
    """One that serves now."""

    directory: Path
    pid: int

    def cpu_seconds(self) -> float:
        """Of all its threads so far, to the nanosecond; /proc/PID/stat counts in hundredths of a second."""
        tasks = Path(f"/proc/{self.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9

    def measure(self, cost: Cost, work: Callable[[Path], None]) -> None:
        """Do a turn of one work on its mount."""
        cpu, began = self.cpu_seconds(), time.perf_counter()
        work(self.directory)
        cost.time += time.perf_counter() - began
        cost.cpu += self.cpu_seconds() - cpu


@contextlib.contextmanager
def serving(mode: str, s3: FastS3) -> Iterator[Engine]:
    """An engine with the journal on or off, and its mount."""
    with tempfile.TemporaryDirectory(prefix="mountctl-bench-") as directory:
        options = ("--endpoint-url", s3.endpoint, "--force-path-style", "--region", "us-east-1", "--no-log")
        command = (sys.executable, "-m", "bench.journalled_engine", mode, f"s3://{BUCKET}/", directory, *options)
        with subprocess.Popen(command, env=os.environ | ENVIRONMENT, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                if process.stdout.readline() != "mounted\n":
                    raise RuntimeError(f"the engine with its journal {mode} does not mount")
                yield Engine(Path(directory), process.pid)
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(UNMOUNT_SECONDS_MAX)


def works(turn: int) -> dict[str, Callable[[Path], object]]:
    """What programs do in a turn; with files that no turn before has touched."""

    def read_small(mount: Path) -> None:
        for file in range(FILES):
            (mount / f"unlisted-{turn}" / f"{file:05}").read_bytes()

    def list_and_read(mount: Path) -> None:
        for path in sorted((mount / f"listed-{turn}").iterdir()):
            path.stat()
            path.read_bytes()

    def create(mount: Path) -> None:
        # Each mount its own: none shall find what was made by the other one.
        directory = mount / f"created-on-{mount.name}-{turn}"
        directory.mkdir()
        for file in range(FILES):
            (directory / f"{file:05}").write_bytes(b"x" * CREATED_BYTES)

    return {
        "small files read": read_small,
        "small files listed and read": list_and_read,
        "small files created": create,
        "large file read": lambda mount: read_whole(str(mount / "large"))(math.inf),
    }


def told(name: str, costs: dict[str, list[Cost]]) -> str:
    """A line: medians of a round, and quartiles of the ratios."""
    cells = [f"{name:30}"]
    for kind in ("cpu", "time"):
        on, off = ([getattr(cost, kind) * 1e3 for cost in costs[mode]] for mode in MODES)
        low, middle, high = statistics.quantiles(map(operator.truediv, on, off), n=4)
        cells.append(
            f"{statistics.median(off):8.0f} {statistics.median(on):8.0f} ms {middle:7.3f} ({low:.3f}-{high:.3f})"
        )
    return "".join(cells)


def run(rounds: int) -> None:
    """Measure and print."""
    with FastS3() as s3, contextlib.ExitStack() as stack:
        for turn in range(1 + rounds * TURNS):
            for kind in ("unlisted", "listed"):
                for file in range(FILES):
                    s3.put(BUCKET, f"{kind}-{turn}/{file:05}", FILE_BYTES)
        s3.put(BUCKET, "large", LARGE_MIB * MIB)
        engines = {mode: stack.enter_context(serving(mode, s3)) for mode in MODES}
        for engine in engines.values():  # what is made once is made now
            for work in works(0).values():
                engine.measure(Cost(), work)
        costs = {name: {mode: [Cost() for _ in range(rounds)] for mode in MODES} for name in works(0)}
        for turn in range(1, 1 + rounds * TURNS):
            for name, work in works(turn).items():
                for mode in MODES if turn % 2 else reversed(MODES):
                    engines[mode].measure(costs[name][mode][(turn - 1) // TURNS], work)
    print(f"{'':30}{'engine: CPU off, on, on / off':>44}{'program: time off, on, on / off':>44}")
    for name, measured in costs.items():
        print(told(name, measured))


@telling_what_is_missing
def main() -> int:
    """Run the bench."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of each work (default: %(default)s)")
    arguments = parser.parse_args()
    print(
        f"{arguments.rounds} rounds of {TURNS * FILES} small files and {TURNS} x {LARGE_MIB} MiB; "
        f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores before",
        flush=True,
    )
    run(arguments.rounds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
