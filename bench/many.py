"""Many mounts under one supervisor: ready, scraped, one of them changed, adopted. `python -m bench.many`, as root.

Prints seconds and, as a busy machine makes those longer, what CPU all its processes took in them, and the memory of an
engine that has done nothing yet. Needs Debian's nginx (bench/fast_s3.py).
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from bench.fast_s3 import FastS3, telling_what_is_missing
from bench.peers import BUCKET
from bench.takeover import WAIT_SECONDS_MAX, Supervised
from engine.link import HEARTBEAT_SECONDS
from mountctl.control.client import SOCKET_NAME
from mountctl.control.exchange import Exchange

MOUNTS: Final = 200
KILL_WAIT_SECONDS_MAX: Final = 10.0
# The list of mounts is looked at so often: a status of hundreds takes as long to make.
_POLL_SECONDS: Final = 0.05
_SCRAPES: Final = 15
_BETWEEN_SCRAPES_SECONDS: Final = 0.3
_TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")
_PSS: Final = re.compile(r"^Pss: +(\d+) kB", re.MULTILINE)
# What is changed of one mount, one after the other: `[mount.m0]` is followed by these.
_CHANGES: Final = {
    "live": "debug = true",
    "handover": "debug = true\nuid = 5",
    "replace": 'debug = true\nprefix = "p/"',
}


class Many(Supervised):
    """The supervisor, its mounts, and what they cost."""

    def __init__(self, s3: FastS3, work: Path, mounts: int) -> None:
        super().__init__(s3, work, mounts)
        self._all = mounts
        self._place = f" {work}/mnt/"
        self._text = self._config.read_text()

    def wait(self, good: Callable[[list[dict[str, Any]]], bool]) -> None:
        """Until all are mounted, and the status is so."""
        deadline = time.monotonic() + WAIT_SECONDS_MAX
        while (
            Path("/proc/self/mountinfo").read_text(errors="surrogateescape").count(self._place) < self._all
            and time.monotonic() < deadline
        ):
            time.sleep(_POLL_SECONDS)
        super().wait(good)

    def change(self, lines: str) -> None:
        """The first mount, and reload."""
        self._config.write_text(self._text.replace("[mount.m0]", f"[mount.m0]\n{lines}"))
        self.run("reload")

    def kill(self) -> None:
        """The supervisor only."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(KILL_WAIT_SECONDS_MAX)

    def cpu(self) -> float:
        """Seconds that all its processes have had, and those that they have waited for."""
        assert self.process is not None
        return sum(map(_cpu, (self.process.pid, *self._children())))

    def pss(self) -> float:
        """Of an engine, in MiB: the median."""
        found = [_PSS.search(Path(f"/proc/{pid}/smaps_rollup").read_text()) for pid in self._children(engines=True)]
        return statistics.median(int(each[1]) for each in found if each is not None) / 1024

    def use(self) -> None:
        """Each mount a little, so that there is something to tell of it; until the supervisor has heard of it."""
        for number in range(self._all):
            os.listdir(self.path(number))
            (self.path(number) / "object").read_bytes()
        time.sleep(2 * HEARTBEAT_SECONDS)

    def scrape(self, between: Callable[[], None]) -> str:
        """All metrics on the control socket, some times, with this done before each. What it took, in words."""
        took, cpu, lines = [], [], 0
        for _ in range(_SCRAPES):
            between()
            began, before = time.perf_counter(), self._supervisors_cpu()
            with Exchange(self._work / "run" / SOCKET_NAME, KILL_WAIT_SECONDS_MAX) as exchange:
                _, body = exchange.ask("GET", "/metrics")
                text = b"".join(body)
            took.append(time.perf_counter() - began)
            cpu.append(self._supervisors_cpu() - before)
            lines = text.count(b"\n")
        middle, best, busy = statistics.median(took) * 1000, min(took) * 1000, statistics.median(cpu) * 1000
        return f"{lines} lines: {middle:.0f} ms, the fastest {best:.0f} ms; {busy:.0f} ms of CPU"

    def _supervisors_cpu(self) -> float:
        """Heartbeats that came in between are in it."""
        assert self.process is not None
        return int(Path(f"/proc/{self.process.pid}/schedstat").read_text().split()[0]) / 1e9

    def _children(self, *, engines: bool = False) -> list[int]:
        assert self.process is not None
        pids = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [int(pid) for pid in pids if not engines or Path(f"/proc/{pid}/comm").read_text().startswith("s3:m")]


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / _TICKS_PER_SECOND


def measure(many: Many, mounts: int) -> None:
    """All of it, told line by line."""
    seconds = many.start()
    print(f"{mounts} mounts ready: {seconds:.2f} s, {many.cpu():.2f} s of CPU; an engine: {many.pss():.1f} MiB PSS")
    many.use()
    print(f"a scrape of all metrics, {many.scrape(lambda: time.sleep(_BETWEEN_SCRAPES_SECONDS))}")
    print(f"a scrape when all were used since the last one, {many.scrape(many.use)}")
    for kind, lines in _CHANGES.items():
        began, cpu = time.monotonic(), many.cpu()
        many.change(lines)
        print(f"one changed, {kind}: {time.monotonic() - began:.2f} s, {many.cpu() - cpu:.2f} s of CPU")
    many.kill()
    seconds = many.start()  # no engine is its child now
    print(f"the supervisor killed, all adopted by the next: {seconds:.2f} s, {many.cpu():.2f} s of CPU")


@telling_what_is_missing
def main() -> int:
    """Measure, print, return 0."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mounts", type=int, default=MOUNTS)
    mounts: int = parser.parse_args().mounts
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    with FastS3() as s3, tempfile.TemporaryDirectory(prefix="mountctl-bench-") as work:
        s3.put(BUCKET, "object", 1)
        many = Many(s3, Path(work), mounts)
        try:
            measure(many, mounts)
        finally:
            many.stop()
            subprocess.run(f"umount --lazy {work}/mnt/* 2> {os.devnull}", shell=True, check=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
