"""What reading costs S3 when programs read one file together, and when they read at random, in strides or backwards."""

import mmap
import os
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.conformance.observed import ObservedProxy
from tests.conformance.sharing import eventually
from tests.faults import FaultyProxy
from tests.servers import S3Server
from tests.sink import SinkServer

MiB: Final = 1024 * 1024
KiB: Final = 1024
SIZE: Final = 16 * MiB + 4321
DATA: Final = random.Random(9).randbytes(SIZE)

# Far more than it takes until random reads have paid for a file of SIZE, on a busy machine, too.
SECONDS_MAX: Final = 60.0


@dataclass
class Files:
    """Files of the same DATA, each to be read by one case; and what S3 is asked for.

    Each has a directory to itself: where others were read after their lookups, a lookup brings bytes along.
    """

    path: Path
    proxy: FaultyProxy
    mounted: ObservedProxy
    _next: int = 0

    def fresh(self) -> Path:
        """A file that nobody has read."""
        self._next += 1
        self.proxy.seen.clear()
        return self.path / f"{self._next - 1}" / "f"

    def ranges(self) -> list[tuple[int, int]]:
        """What was asked for since."""
        told = [seen.headers["range"] for seen in self.proxy.seen if seen.method == "GET" and "range" in seen.headers]
        parts = [each.removeprefix("bytes=").split("-") for each in told]
        return [(int(first), int(last) + 1) for first, last in parts]

    def fetched(self) -> int:
        """Bytes that were asked for since."""
        return sum(end - start for start, end in self.ranges())


def _files(server: S3Server, count: int) -> Iterator[Files]:
    bucket = server.bucket()
    for number in range(count):
        server.put(bucket, f"{number}/f", DATA)
    with FaultyProxy(server.endpoint) as proxy, ObservedProxy(proxy, bucket) as mounted:
        yield Files(mounted.path, proxy, mounted)


@pytest.fixture(scope="module")
def files(able_server: S3Server) -> Iterator[Files]:
    yield from _files(able_server, 8)


def _picking(path: Path, offsets: Sequence[int], size: int, flags: int = 0, data: bytes = DATA) -> None:
    """Read pieces, past the page cache if it is asked for."""
    file = os.open(path, os.O_RDONLY | flags)
    try:
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_RANDOM)  # the kernel reads nothing ahead by itself
        buffer = mmap.mmap(-1, size)
        for offset in offsets:
            count = os.preadv(file, [buffer], offset)
            assert buffer[:count] == data[offset : offset + size]
    finally:
        os.close(file)


def _side_by_side(*tasks: Callable[[], None]) -> None:
    failed: list[BaseException] = []

    def run(task: Callable[[], None]) -> None:
        try:
            task()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=run, args=(task,)) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed, failed


@pytest.mark.parametrize("readers", [2, 4])
def test_programs_that_read_a_file_side_by_side_have_each_byte_asked_for_once(files: Files, readers: int) -> None:
    """S140: through the page cache, where the kernel's requests come by either descriptor."""
    path = files.fresh()

    def read() -> None:
        with path.open("rb", buffering=0) as file:
            assert b"".join(iter(lambda: file.read(MiB), b"")) == DATA

    _side_by_side(*[read] * readers)
    assert files.fetched() <= SIZE + 2 * MiB


def test_one_that_follows_another_past_the_page_cache_gets_what_that_one_has_read(files: Files) -> None:
    """S140: sixteen reads behind, which is more than is kept for a single reader."""
    path = files.fresh()
    first, second = (os.open(path, os.O_RDONLY | os.O_DIRECT) for _ in range(2))
    buffer = mmap.mmap(-1, 256 * KiB)
    try:
        asked = list(range(0, SIZE, 256 * KiB))
        for number in range(len(asked) + 16):
            for file, at in ((first, number), (second, number - 16)):
                if 0 <= at < len(asked):
                    count = os.preadv(file, [buffer], asked[at])
                    assert buffer[:count] == DATA[asked[at] : asked[at] + 256 * KiB]
    finally:
        os.close(first)
        os.close(second)
    assert files.fetched() <= SIZE + 8 * MiB  # what was read before it began, and a little


def test_three_places_of_a_file_cost_what_they_need(files: Files) -> None:
    """S141: however long S3 takes."""
    path = files.fresh()
    _picking(path, [14 * MiB, 3 * MiB, 11 * MiB + 4096], 16 * KiB)
    assert len(files.ranges()) == 3
    assert files.fetched() <= 3 * 128 * KiB


def test_random_reads_that_have_waited_long_enough_have_the_file_and_ask_for_nothing_more(files: Files) -> None:
    """S141: past the page cache, so that all of it is ours."""
    path = files.fresh()
    places = random.Random(4)
    file = os.open(path, os.O_RDONLY | os.O_DIRECT)
    buffer = mmap.mmap(-1, 4096)
    deadline = time.monotonic() + SECONDS_MAX
    quiet = 0
    try:
        while quiet < 200:
            assert time.monotonic() < deadline, "it was never bought"
            before = len(files.ranges())
            offset = places.randrange(SIZE // 4096) * 4096
            assert buffer[: os.preadv(file, [buffer], offset)] == DATA[offset : offset + 4096]
            quiet = quiet + 1 if len(files.ranges()) == before else 0
    finally:
        os.close(file)
    large = [(start, end) for start, end in files.ranges() if end - start >= MiB]
    assert sum(end - start for start, end in large) >= SIZE - 2 * MiB
    eventually(lambda: files.mounted.counters()["arena_bytes"] == 0)


@pytest.mark.parametrize("step", [2 * MiB, -2 * MiB])
def test_a_stride_has_its_pieces_asked_for_and_nothing_between(files: Files, step: int) -> None:
    """S142: forwards and backwards."""
    path = files.fresh()
    offsets = list(range(0, SIZE - MiB, 2 * MiB))
    _picking(path, offsets if step > 0 else offsets[::-1], 64 * KiB)
    # The first read of a file's first bytes fetches a whole MiB, as most go on; the next two are read as any other.
    assert files.fetched() <= MiB + (len(offsets) + 1) * 128 * KiB
    assert len(files.ranges()) <= len(offsets) + 1


def test_reading_backwards_has_each_byte_asked_for_once_and_by_few_requests(files: Files) -> None:
    """S142: in pieces of 64 KiB."""
    path = files.fresh()
    _picking(path, range((SIZE - 1) // (64 * KiB) * 64 * KiB, -1, -64 * KiB), 64 * KiB)
    assert files.fetched() <= SIZE + 2 * MiB
    assert len(files.ranges()) <= SIZE // MiB + 8


def test_random_readers_of_a_small_memory_share_it() -> None:
    """S27: twelve programs that read four files at random, in 24 MiB."""
    with SinkServer() as sink, FaultyProxy(sink.endpoint) as proxy:
        bucket = sink.bucket()
        for number in range(4):
            sink.put(bucket, f"f{number}", bytes(SIZE))
        with ObservedProxy(proxy, bucket, memory_target=24) as mounted:

            def reader(number: int) -> Callable[[], None]:
                places = random.Random(number)
                offsets = [places.randrange((SIZE - MiB) // 4096) * 4096 for _ in range(120)]
                return lambda: _picking(mounted.path / f"f{number % 4}", offsets, 16 * KiB, os.O_DIRECT, bytes(SIZE))

            ended: list[None] = []
            readers = threading.Thread(target=lambda: ended.append(_side_by_side(*map(reader, range(12)))))
            readers.start()
            most = 0
            while readers.is_alive():
                most = max(most, mounted.counters()["arena_bytes"])
            assert ended, "some reader failed"
            assert 8 * MiB < most <= 24 * MiB
            eventually(lambda: mounted.counters()["arena_bytes"] == 0)
