"""What programs wait when whatever serves their mount dies or changes: `python -m bench.takeover [--help]`.

A reader reads at random, past the page cache, through a mount of the bench's S3. Meanwhile its engine is killed, is
handed over, and its supervisor is killed and started again, time after time. Printed is the longest that one read took
each time, the median and the worst; also while nothing happens, which is the machine's own noise.
"""

import argparse
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from bench.fast_s3 import FastS3, telling_what_is_missing
from bench.peers import BUCKET, ENVIRONMENT, MOUNTCTL
from mountctl.control.client import ControlClient
from mountctl.errors import SupervisorNotRunning

MIB: Final = 1 << 20
ROUNDS: Final = 15
MOUNTS: Final = 20
FILE_MIB: Final = 64
WAIT_SECONDS_MAX: Final = 60.0
POLL_SECONDS: Final = 0.01
# After a mount is ready again, for reads that had waited to be done.
SETTLE_SECONDS: Final = 0.2

# Reads until its stdin is closed; for each line it tells the longest read since the line before, in seconds.
_READER: Final = """
import os, random, select, sys, time
handle = os.open(sys.argv[1], os.O_RDONLY)
size = os.fstat(handle).st_size
longest = 0.0
while True:
    if select.select([sys.stdin], [], [], 0)[0]:
        if not sys.stdin.readline():
            break
        print(longest, flush=True)
        longest = 0.0
    os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
    began = time.monotonic()
    assert len(os.pread(handle, 65536, random.randrange(size - 65536))) == 65536
    longest = max(longest, time.monotonic() - began)
"""


class Supervised:
    """A supervisor of some mounts of one bucket."""

    def __init__(self, s3: FastS3, work: Path, mounts: int) -> None:
        self._work = work
        self._environment = os.environ | ENVIRONMENT | {"MOUNTCTL_STATE_DIR": str(work / "state")}
        self._environment.pop("AWS_CA_BUNDLE", None)  # an engine would read it first, and the bench speaks plain HTTP
        self._config = work / "mounts.toml"
        lines = [f'[defaults]\nendpoint-url = "{s3.endpoint}"\nforce-path-style = true\nregion = "us-east-1"\n']
        lines += [
            f'[mount.m{number}]\nbucket = "{BUCKET}"\nmountpoint = "{self.path(number)}"\n' for number in range(mounts)
        ]
        self._config.write_text("\n".join(lines))
        self._client = ControlClient(work / "run")
        self.process: subprocess.Popen[bytes] | None = None

    def path(self, number: int) -> Path:
        """Where a mount is."""
        return self._work / "mnt" / str(number)

    def start(self) -> float:
        """Start it; returns after how many seconds all mounts are ready."""
        began = time.monotonic()
        with (self._work / "log").open("ab") as log:
            self.process = subprocess.Popen(
                self._command("run"), env=self._environment, stderr=log, stdin=subprocess.DEVNULL
            )
        self.wait(lambda mounts: all(mount["state"] == "ready" for mount in mounts))
        return time.monotonic() - began

    def stop(self) -> None:
        """Unmount all."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(WAIT_SECONDS_MAX)

    def run(self, *arguments: str) -> None:
        """A command, which must succeed."""
        subprocess.run(self._command(*arguments), env=self._environment, check=True, stdout=subprocess.DEVNULL)

    def engine(self) -> dict[str, Any]:
        """Of the first mount."""
        found: dict[str, Any] = self._client.status(["m0"])["mounts"][0]["engine"]
        return found

    def wait(self, good: Callable[[list[dict[str, Any]]], bool]) -> None:
        """Until the status of the mounts is so."""
        deadline = time.monotonic() + WAIT_SECONDS_MAX
        while time.monotonic() < deadline:
            with contextlib.suppress(SupervisorNotRunning):
                if good(self._client.status()["mounts"]):
                    return
            time.sleep(POLL_SECONDS)
        raise RuntimeError(f"it does not come to be so: {json.dumps(self._client.status())}")

    def _command(self, *arguments: str) -> list[str]:
        return [*MOUNTCTL, "--runtime-dir", str(self._work / "run"), "--config", str(self._config), *arguments]


class Reader:
    """A program that reads a file of a mount all the while."""

    def __init__(self, path: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _READER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def longest(self) -> float:
        """Seconds that its longest read took since the last call."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()


def kill_engine(supervised: Supervised) -> None:
    """SIGKILL, and wait for the next one."""
    before = supervised.engine()
    os.kill(before["pid"], signal.SIGKILL)
    supervised.wait(lambda mounts: mounts[0]["engine"]["takeovers"] > before["takeovers"])


def kill_supervisor(supervised: Supervised) -> None:
    """SIGKILL, and start another one, which adopts."""
    assert supervised.process is not None
    supervised.process.kill()
    supervised.process.wait()
    supervised.start()


EVENTS: Final[dict[str, Callable[[Supervised], None]]] = {
    "nothing happens": lambda _supervised: time.sleep(0.5),
    "engine killed": kill_engine,
    "handover (restart)": lambda supervised: supervised.run("restart", "m0"),
    "supervisor killed and started": kill_supervisor,
}


@contextlib.contextmanager
def supervised(s3: FastS3, mounts: int) -> Iterator[Supervised]:
    """So many mounts, ready."""
    with tempfile.TemporaryDirectory(prefix="mountctl-bench-") as work:
        made = Supervised(s3, Path(work), mounts)
        try:
            made.start()
            yield made
        finally:
            made.stop()


def measure(s3: FastS3, rounds: int) -> None:
    """Print the pauses of a reader."""
    with supervised(s3, 1) as one:
        reader = Reader(one.path(0) / "takeover")
        try:
            for name, event in EVENTS.items():
                pauses = []
                reader.longest()
                for _ in range(rounds):
                    event(one)
                    time.sleep(SETTLE_SECONDS)
                    pauses.append(reader.longest() * 1000)
                print(f"{name:32} median {statistics.median(pauses):6.0f} ms   worst {max(pauses):6.0f} ms")
        finally:
            reader.close()


def measure_many(s3: FastS3, rounds: int, mounts: int) -> None:
    """Print how long a supervisor of many mounts takes to be ready, at first and again."""
    with supervised(s3, mounts) as many:
        times = []
        for _ in range(rounds):
            assert many.process is not None
            many.process.kill()
            many.process.wait()
            times.append(many.start())
        print(f"a supervisor of {mounts} mounts, started after a kill, has adopted all: {_told(times)}")
        began = time.monotonic()
        many.run("upgrade")
        print(f"mountctl upgrade of {mounts} mounts: {time.monotonic() - began:.1f} s")


def _told(seconds: list[float]) -> str:
    return f"median {statistics.median(seconds):.2f} s, worst {max(seconds):.2f} s"


@telling_what_is_missing
def main() -> int:
    """Run the bench."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of each event")
    parser.add_argument("--mounts", type=int, default=MOUNTS, help="of the supervisor that has many")
    arguments = parser.parse_args()
    with FastS3() as s3:
        s3.put(BUCKET, "takeover", FILE_MIB * MIB)
        measure(s3, arguments.rounds)
        measure_many(s3, max(3, arguments.rounds // 3), arguments.mounts)
    return 0


if __name__ == "__main__":
    sys.exit(main())
