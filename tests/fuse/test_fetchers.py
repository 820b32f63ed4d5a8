"""An engine that runs alone has fetchers, too."""

import mmap
import os
import random
import select
from pathlib import Path

from tests.fuse.mounted import Mounted
from tests.servers import MotoServer

END_SECONDS_MAX = 30.0
DATA = random.Random(1).randbytes(12 << 20)


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _read(path: Path) -> bytes:
    """Past the page cache."""
    file, buffer, count = os.open(path, os.O_RDONLY | os.O_DIRECT), mmap.mmap(-1, len(DATA)), 0
    try:
        while more := os.preadv(file, [memoryview(buffer)[count:]], count):
            count += more
    finally:
        os.close(file)
    return buffer[:count]


def test_an_engine_alone_reads_by_its_fetchers_which_end_with_it(moto: MotoServer) -> None:
    """S130: reads are what they are without."""
    bucket = moto.bucket()
    moto.put(bucket, "f", DATA)
    with Mounted(moto, bucket, fetchers=1) as mounted:
        (spawner,) = _children(mounted.pid)
        assert _children(spawner) == []  # nobody reads yet
        for _ in range(3):
            assert _read(mounted.path / "f") == DATA
        (fetcher,) = _children(spawner)
        ends = [os.pidfd_open(pid) for pid in (spawner, fetcher)]
        counted = mounted.stop()
        assert (mounted.exit_code, counted["s3_errors"], counted["bytes_read"]) == (0, {}, 3 * len(DATA))
        assert counted["s3_bytes_received"] >= 3 * len(DATA)
        for pidfd in ends:
            assert select.select([pidfd], [], [], END_SECONDS_MAX)[0]
            os.close(pidfd)
        assert [line for line in mounted.log.splitlines() if "WARNING" in line] == []
