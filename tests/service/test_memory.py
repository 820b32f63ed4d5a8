"""The memory of an engine as it really runs, forked and sharing pages: names and data at their most at once."""

import contextlib
import os
import subprocess
from pathlib import Path

import pytest

from tests.service.running import Running
from tests.service.test_fetchers import children
from tests.sink import SinkServer

TARGET_MIB = 128
BEYOND_TARGET_MIB = 64

# More than are remembered, of 36 characters each.
DIRECTORIES, FILES = 15, 10_000

READERS = 16

# Of a fetcher, and of the process that forks them: 5 to 8 of its own, and its share of what the zygote shares with it.
MIB_EACH = 12


def _mib(engine: int) -> float:
    """Its own memory, and its share of what it shares (PSS); and those of its fetchers."""
    spawners = children(engine)
    return sum(map(_mib_of, [engine, *spawners, *(fetcher for each in spawners for fetcher in children(each))]))


def _mib_of(pid: int) -> float:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a fetcher may end
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("Pss:")).split()[1]) / 1024
    return 0.0


@pytest.mark.slow
@pytest.mark.parametrize("fetchers", [0, 2])
def test_names_and_data_at_their_most_stay_within_the_target(running: Running, fetchers: int) -> None:
    """S53, S50: a walk of 150,000 names, then sixteen readers of large files."""
    beyond = BEYOND_TARGET_MIB + (MIB_EACH * (fetchers + 1) if fetchers else 0)
    with SinkServer(DIRECTORIES, FILES) as sink:
        bucket = sink.bucket()
        for number in range(READERS):
            sink.put(bucket, f"large{number}", bytes(48 << 20))
        running.configure(sink, m={"bucket": bucket, "memory_target": TARGET_MIB, "fetchers": fetchers})
        with running.running():
            path, pid = running.mountpoint("m"), running.mount("m")["engine"]["pid"]
            found = subprocess.run(["find", path, "-type", "f"], check=True, capture_output=True).stdout
            assert len(found.splitlines()) == DIRECTORIES * FILES + READERS
            most = names = _mib(pid)
            how = [f"of={os.devnull}", "bs=1M", "iflag=direct", "status=none"]
            readers = [subprocess.Popen(["dd", f"if={path}/large{number}", *how]) for number in range(READERS)]
            while any(reader.poll() is None for reader in readers):
                most = max(most, _mib(pid))
            assert [reader.returncode for reader in readers] == [0] * READERS
    assert names <= beyond, "nothing is read yet"
    assert most > TARGET_MIB, "memory was not used up: nothing is tested"
    assert most <= TARGET_MIB + beyond
