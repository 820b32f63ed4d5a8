"""What people and scripts wait for: `check` of a thousand mounts, `status`, TAB. `python -m bench.commands`, as root.

Starts the program as a shell does, again and again, and prints medians beside the bare interpreter's start, which is in
each of them. `status` and what comes behind it ask a real supervisor, which has no mounts.
"""

import contextlib
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench import CHECKOUT
from bench.peers import MOUNTCTL

MOUNTS: Final = 1000
ROUNDS: Final = 9
START_SECONDS_MAX: Final = 60.0
POLL_SECONDS: Final = 0.02

_ENVIRONMENT: Final = os.environ | {"PYTHONPATH": str(CHECKOUT)}

# What `status` imports: the time is taken inside the process, so the interpreter's start is not in it.
_IMPORTS: Final = (
    "import time; began, cpu = time.perf_counter(), time.process_time(); "
    "import mountctl.cli, mountctl.commands.status; "
    "print(time.perf_counter() - began, time.process_time() - cpu)"
)
# What a shell asks when somebody presses TAB.
_TAB: Final = ("_MOUNTCTL_COMPLETE=complete_bash", "COMP_WORDS=mountctl status ", "COMP_CWORD=2")


@dataclass(frozen=True)
class Taken:
    """Of one command: medians in milliseconds."""

    wall: float
    cpu: float


def take(command: Sequence[str | Path], *, exit_code: int = 0) -> Taken:
    """Run a command ROUNDS times, after once for the page cache."""
    walls, cpus = [], []
    for round_ in range(ROUNDS + 1):
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        done = subprocess.run(command, capture_output=True, check=False, env=_ENVIRONMENT)
        wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode != exit_code:
            raise RuntimeError(f"{command}: exit code {done.returncode}: {done.stderr.decode()}")
        if round_:
            walls.append(wall)
            cpus.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return Taken(1000 * statistics.median(walls), 1000 * statistics.median(cpus))


def imports() -> Taken:
    """What `status` imports."""
    rounds = [
        subprocess.run(
            [sys.executable, "-c", _IMPORTS], capture_output=True, check=True, env=_ENVIRONMENT
        ).stdout.split()
        for _ in range(ROUNDS)
    ]
    walls, cpus = zip(*rounds, strict=True)
    return Taken(1000 * statistics.median(map(float, walls)), 1000 * statistics.median(map(float, cpus)))


def write(path: Path, line: str = "") -> None:
    """A file with MOUNTS mounts, each with one more line."""
    mounts = (
        f'[mount.m{number}]\nbucket = "bucket-{number}"\nprefix = "data/{number}/"\n'
        f'mountpoint = "/srv/mounts/m{number}"\nmetadata-ttl = 60\n{line}\n'
        for number in range(MOUNTS)
    )
    path.write_text('[defaults]\nregion = "eu-west-1"\n\n' + "".join(mounts))


@contextlib.contextmanager
def supervisor(directory: Path) -> Iterator[list[str | Path]]:
    """A supervisor without mounts; gives the options that lead to it."""
    config = directory / "empty.toml"
    config.touch()
    options: list[str | Path] = ["--runtime-dir", directory / "run", "--state-dir", directory / "state"]
    process = subprocess.Popen(
        [*MOUNTCTL, "run", "--config", config, *options],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=_ENVIRONMENT,
    )
    try:
        deadline = time.monotonic() + START_SECONDS_MAX
        while not (directory / "run" / "control.sock").exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("the supervisor did not start")
            time.sleep(POLL_SECONDS)
        yield options[:2]
    finally:
        process.terminate()
        process.wait(START_SECONDS_MAX)


def main() -> None:
    """Measure and print."""
    if os.geteuid() != 0:
        sys.exit("bench.commands starts a supervisor, which needs root")
    with tempfile.TemporaryDirectory(prefix="mountctl-bench-") as name:
        directory = Path(name)
        good, wrong, unwise = (directory / f"{each}.toml" for each in ("good", "wrong", "unwise"))
        write(good)
        write(wrong, "regoin = 1")
        write(unwise, "uid = 5")
        rows = {
            "python -c pass": take([sys.executable, "-c", "pass"]),
            f"check, {MOUNTS} mounts": take([*MOUNTCTL, "check", "--config", good]),
            f"check, {MOUNTS} errors": take([*MOUNTCTL, "check", "--config", wrong], exit_code=2),
            f"check, {MOUNTS} warnings": take([*MOUNTCTL, "check", "--config", unwise]),
            f"config show --origin, {MOUNTS} mounts": take([*MOUNTCTL, "config", "show", "--origin", "--config", good]),
        }
        with supervisor(directory) as options:
            rows["status"] = take([*MOUNTCTL, "status", *options])
            rows["of which imports of status"] = imports()
            rows["events"] = take([*MOUNTCTL, "events", *options])
            rows["wait --all"] = take([*MOUNTCTL, "wait", "--all", *options])
            rows["TAB behind status"] = take(["env", *_TAB, f"MOUNTCTL_RUNTIME_DIR={options[1]}", *MOUNTCTL])
    print(f"{'medians of ' + str(ROUNDS):<36} {'wall, ms':>9} {'CPU, ms':>9}")
    for what, taken in rows.items():
        print(f"{what:<36} {taken.wall:>9.0f} {taken.cpu:>9.0f}")


if __name__ == "__main__":
    main()
