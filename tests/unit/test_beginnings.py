"""Files that are read after they are looked up come with their lookups: S3Filesystem over a bucket in memory."""

import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import trio
import trio.testing

from engine.arena import Arena
from engine.errors import AccessDenied, EngineError, NotFound
from engine.fs.beginnings import BEGINNING_BYTES, KEPT_SECONDS
from engine.fs.filesystem import S3Filesystem
from engine.fs.habits import BEFORE_READ_MAX, READS_MIN, TRUST_MAX, Habit
from engine.read.prefetcher import Prefetcher
from engine.s3.interface import ObjectInfo
from engine.spec import MiB, MountSpec
from engine.stats import EngineStats
from tests.unit.bucket import GET, HEAD, LIST, Bucket

ROOT = 1


class Breaking(Bucket):
    """Beginnings of some keys fail, at once or after some bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.refused: dict[str, EngineError] = {}
        self.broken: dict[str, int] = {}

    async def get_beginning(
        self, key: str, *, buffer: memoryview, known: Callable[[ObjectInfo], None], progress: Callable[[int], None]
    ) -> None:
        if key in self.refused:
            self.requests[GET] += 1
            raise self.refused[key]
        part = buffer[: self.broken.get(key, len(buffer))]
        await super().get_beginning(key, buffer=part, known=known, progress=progress)
        if key in self.broken:
            raise AccessDenied("no more", status=403)


class Mount:
    def __init__(self, bucket: Breaking, fs: S3Filesystem, directory: int) -> None:
        self.bucket = bucket
        self.fs = fs
        self.directory = directory

    async def look(self, name: str) -> int:
        return (await self.fs.lookup(self.directory, name.encode())).number

    async def cat(self, name: str) -> bytes:
        handle = (await self.fs.open(await self.look(name), os.O_RDONLY)).handle
        try:
            data = b""
            while piece := bytes(await self.fs.read(handle, len(data), MiB)):
                data += piece
            return data
        finally:
            self.fs.release(handle)

    async def get_used_to(self) -> None:
        """Programs read what they look up."""
        for number in range(READS_MIN):
            await self.check(f"first{number}")
        self.bucket.requests.clear()

    async def check(self, name: str) -> None:
        assert await self.cat(name) == self.bucket.memory.stored(f"d/{name}").data

    def requests(self) -> dict[str, int]:
        found = dict(self.bucket.requests)
        self.bucket.requests.clear()
        return found


@contextlib.asynccontextmanager
async def mounted(**options: Any) -> AsyncIterator[Mount]:
    bucket = Breaking()
    for number in range(40):
        bucket.put(f"d/first{number}", b"%d" % number)
        bucket.put(f"d/f{number}", b"%d" % number * 1000)
    stats, arena = EngineStats(), Arena(64 * MiB)
    spec = MountSpec(name="m", bucket="bucket", mountpoint="/mnt", **{"metadata_ttl": "minimal", **options})
    try:
        async with trio.open_nursery() as nursery:
            prefetcher = Prefetcher(bucket, arena, nursery, part_bytes=8 * MiB, stats=stats)
            fs = S3Filesystem(spec, bucket, prefetcher, generation=0, stats=stats, nursery=nursery)
            yield Mount(bucket, fs, (await fs.lookup(ROOT, b"d")).number)
            nursery.cancel_scope.cancel()
    finally:
        arena.close()


def run(test: Callable[[Mount], Awaitable[None]], **options: Any) -> None:
    async def main() -> None:
        async with mounted(**options) as mount:
            await test(mount)

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


@pytest.mark.parametrize("ttl", ["minimal", 60])
def test_where_files_are_read_after_their_lookup_it_brings_their_bytes(ttl: Any) -> None:
    async def test(mount: Mount) -> None:
        await mount.get_used_to()
        await mount.check("f1")
        assert mount.requests() == {GET: 1, LIST: 1}

    run(test, metadata_ttl=ttl)


def test_who_only_looks_costs_no_get() -> None:
    async def test(mount: Mount) -> None:
        for number in range(40):
            await mount.look(f"f{number}")
        assert GET not in mount.requests()

    run(test)


def test_who_reads_and_then_only_looks_costs_no_more_gets_than_were_read() -> None:
    async def test(mount: Mount) -> None:
        reads = 5
        for number in range(reads):
            await mount.check(f"first{number}")
        mount.requests()
        for number in range(40):
            await mount.look(f"f{number}")
        assert mount.requests()[GET] == reads
        await trio.sleep(2 * KEPT_SECONDS)
        await mount.look("f1")
        assert GET not in mount.requests(), "trust is lost"

    run(test)


def test_one_file_that_is_looked_at_again_and_again_loses_trust() -> None:
    async def test(mount: Mount) -> None:
        await mount.get_used_to()
        for _ in range(10):
            await mount.look("f1")
            await trio.sleep(2 * KEPT_SECONDS)
        assert mount.requests()[GET] == 1

    run(test)


def test_a_name_that_is_missing_or_a_directory_is_found_to_be_so() -> None:
    async def test(mount: Mount) -> None:
        mount.bucket.put("d/sub/x", b"")
        await mount.get_used_to()
        with pytest.raises(NotFound):
            await mount.look("missing")
        attributes = await mount.fs.lookup(mount.directory, b"sub")
        assert attributes.nlink == 2

    run(test)


@pytest.mark.parametrize("size", [1, BEGINNING_BYTES - 1, BEGINNING_BYTES, BEGINNING_BYTES + 1, 3 * MiB + 5])
def test_files_of_any_size_are_read_as_they_are(size: int) -> None:
    async def test(mount: Mount) -> None:
        mount.bucket.put("d/any", os.urandom(size))
        await mount.get_used_to()
        await mount.check("any")
        assert HEAD not in mount.requests()

    run(test)


def test_an_empty_file_is_known_by_a_head_and_trusted_less() -> None:
    async def test(mount: Mount) -> None:
        mount.bucket.put("d/empty", b"")
        await mount.get_used_to()
        assert await mount.cat("empty") == b""
        assert mount.requests() == {GET: 1, HEAD: 1, LIST: 1}
        await mount.check("f1")
        assert mount.requests() == {GET: 1, HEAD: 1, LIST: 1}

    run(test)


def test_a_file_whose_bytes_are_refused_shows_its_attributes_all_the_same() -> None:
    async def test(mount: Mount) -> None:
        await mount.get_used_to()
        mount.bucket.refused["d/f1"] = AccessDenied("a key of KMS", status=403)
        assert (await mount.fs.lookup(mount.directory, b"f1")).size == 1000

    run(test)


def test_what_breaks_off_is_fetched_by_who_reads_it() -> None:
    async def test(mount: Mount) -> None:
        await mount.get_used_to()
        mount.bucket.broken["d/f1"] = 100
        await mount.check("f1")

    run(test)


def test_an_object_that_was_replaced_after_its_lookup_is_opened_as_what_it_is() -> None:
    """S24: no byte of the version before."""

    async def test(mount: Mount) -> None:
        await mount.get_used_to()
        await mount.look("f1")
        mount.bucket.put("d/f1", b"new")
        await trio.sleep(0.5)  # what minimal believes
        await mount.check("f1")

    run(test)


def test_what_nobody_reads_is_let_go() -> None:
    async def test(mount: Mount) -> None:
        await mount.get_used_to()
        number = await mount.look("f1")
        await trio.sleep(2 * KEPT_SECONDS)
        mount.requests()
        handle = (await mount.fs.open(number, os.O_RDONLY)).handle
        assert bytes(await mount.fs.read(handle, 0, MiB)) == b"1" * 1000
        assert mount.requests() == {HEAD: 1, GET: 1}

    run(test)


def test_a_file_that_the_kernel_has_pages_of_is_asked_for_by_head() -> None:
    async def test(mount: Mount) -> None:
        await mount.get_used_to()
        await mount.check("f1")
        mount.requests()
        await trio.sleep(0.5)
        await mount.look("f1")
        assert mount.requests() == {HEAD: 1, LIST: 1}

    run(test)


def test_trust_is_earned_by_reads_bounded_and_lost_by_a_lookup_without_one() -> None:
    habit = Habit()
    assert not habit.reads
    for number in range(2 * TRUST_MAX):
        habit.looked(number)
        habit.read(number)
    assert habit.reads
    habit.coming = TRUST_MAX
    assert not habit.reads
    habit.coming = 0
    for number in range(100, 100 + BEFORE_READ_MAX):
        habit.looked(number)
    assert habit.reads, "they may all be read still"
    habit.looked(200)
    assert not habit.reads


def test_a_file_that_was_not_looked_up_earns_nothing() -> None:
    """It was listed."""
    habit = Habit()
    for number in range(10):
        habit.read(number)
    assert not habit.reads
