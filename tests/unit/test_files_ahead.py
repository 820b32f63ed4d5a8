"""Small files that are fetched before they are opened: S3Filesystem and engine/read over a bucket in memory."""

import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import trio
import trio.testing

from engine.arena import Arena
from engine.errors import AccessDenied, NotFound, Stale
from engine.fs.filesystem import S3Filesystem
from engine.fs.walks import STEPS_MIN
from engine.read.prefetcher import Prefetcher
from engine.spec import KiB, MiB, MountSpec
from engine.stats import EngineStats
from tests.model.kernel import Kernel
from tests.model.things import Rights, Ttl
from tests.unit.bucket import GET, HEAD, LIST, Bucket

ROOT = 1


class Failing(Bucket):
    """GETs of some keys fail once."""

    def __init__(self) -> None:
        super().__init__()
        self.failing: set[str] = set()

    async def get_object(self, key: str, **rest: Any) -> None:
        if key in self.failing:
            self.failing.remove(key)
            raise AccessDenied("no", status=403)
        await super().get_object(key, **rest)


class Mount:
    """A file system over a bucket of files `f00`, `f01`, ... of `size` bytes in the directory `d`, listed once."""

    def __init__(self, bucket: Failing, fs: S3Filesystem, arena: Arena, prefetcher: Prefetcher) -> None:
        self.bucket = bucket
        self.fs = fs
        self.arena = arena
        self.prefetcher = prefetcher
        self.numbers: dict[str, int] = {}

    async def see(self) -> None:
        directory = (await self.fs.lookup(ROOT, b"d")).number
        handle, position = self.fs.opendir(directory), 0
        while entries := list(await self.fs.readdir(handle, position)):
            self.numbers.update({entry.name.decode(): entry.attributes.number for entry in entries})
            position = entries[-1].position
        self.fs.releasedir(handle)

    async def cat(self, name: str) -> bytes:
        """Open, read to the end, close; then what that has started comes to its end."""
        handle = (await self.fs.open(self.numbers[name], os.O_RDONLY)).handle
        try:
            return bytes(await self.fs.read(handle, 0, MiB))
        finally:
            self.fs.release(handle)
            await trio.testing.wait_all_tasks_blocked()

    async def cat_all(self, names: list[str]) -> None:
        for name in names:
            assert await self.cat(name) == self.bucket.memory.stored(f"d/{name}").data

    async def rest(self) -> None:
        """Nobody reads for a while."""
        self.prefetcher.trim()
        self.prefetcher.trim()
        await trio.testing.wait_all_tasks_blocked()


def names(count: int, start: int = 0) -> list[str]:
    return [f"f{number:02}" for number in range(start, start + count)]


@contextlib.asynccontextmanager
async def mounted(count: int = 40, *, size: int = 1000, slots: int = 64, **options: Any) -> AsyncIterator[Mount]:
    bucket = Failing()
    for name in names(count):
        bucket.put(f"d/{name}", name.encode() + bytes(size - 3))
    stats, arena = EngineStats(), Arena(slots * MiB)
    spec = MountSpec(name="m", bucket="bucket", mountpoint="/mnt", **{"metadata_ttl": 60, **options})
    try:
        async with trio.open_nursery() as nursery:
            prefetcher = Prefetcher(bucket, arena, nursery, part_bytes=8 * MiB, stats=stats)
            mount = Mount(bucket, S3Filesystem(spec, bucket, prefetcher, generation=0, stats=stats), arena, prefetcher)
            await mount.see()
            bucket.requests.clear()
            yield mount
            nursery.cancel_scope.cancel()
    finally:
        arena.close()


def run(test: Callable[[], Awaitable[None]]) -> None:
    trio.run(test, clock=trio.testing.MockClock(autojump_threshold=0))


def test_the_files_behind_those_that_were_read_are_there_before_they_are_opened() -> None:
    async def test() -> None:
        async with mounted() as mount:
            await mount.cat_all(names(STEPS_MIN))
            ahead = mount.bucket.requests[GET]
            assert ahead > STEPS_MIN
            mount.bucket.gates[GET] = trio.Event()  # nothing more comes
            await mount.cat_all(names(ahead - STEPS_MIN, STEPS_MIN))

    run(test)


def test_reading_all_files_costs_one_get_each_and_leaves_nothing() -> None:
    async def test() -> None:
        async with mounted() as mount:
            await mount.cat_all(names(40))
            assert mount.bucket.requests == {GET: 40}
            assert mount.arena.in_use == 0

    run(test)


def test_a_walk_that_ends_has_fetched_no_more_than_it_has_read_and_it_goes_back() -> None:
    """S27: though no file is closed."""

    async def test() -> None:
        async with mounted() as mount:
            await mount.cat_all(names(10))
            assert 10 < mount.bucket.requests[GET] <= 20
            assert mount.arena.in_use
            await mount.rest()
            assert mount.arena.in_use == 0

    run(test)


def test_files_that_are_read_slowly_are_not_fetched_in_vain_for_ever() -> None:
    async def test() -> None:
        async with mounted() as mount:
            for name in names(40):
                await mount.cat(name)
                await mount.rest()
            assert mount.bucket.requests[GET] <= 40 + 10

    run(test)


def test_what_is_given_up_for_memory_is_read_all_the_same() -> None:
    async def test() -> None:
        async with mounted(slots=8) as mount:
            await mount.cat_all(names(6))
            held = [await mount.arena.acquire() for _ in range(8)]
            for slot in held:
                mount.arena.release(slot)
            await mount.cat_all(names(34, 6))

    run(test)


def test_half_of_the_memory_is_left_to_files_that_are_open() -> None:
    async def test() -> None:
        async with mounted(slots=8) as mount:
            await mount.cat_all(names(20))
            assert 0 < mount.arena.in_use <= 4

    run(test)


@pytest.mark.parametrize("ttl", ["minimal", 60])
def test_a_file_that_was_replaced_before_it_was_fetched_ahead_opens_as_what_it_is(ttl: str | int) -> None:
    """S24: it is not believed any more, so no program is told ESTALE by a read."""

    async def test() -> None:
        async with mounted(metadata_ttl=ttl) as mount:
            mount.bucket.put("d/f03", b"new")
            await mount.cat_all(names(STEPS_MIN))
            with pytest.raises(Stale):
                await mount.fs.open(mount.numbers["f03"], os.O_RDONLY)
            directory = (await mount.fs.lookup(ROOT, b"d")).number
            mount.numbers["f03"] = (await mount.fs.lookup(directory, b"f03")).number
            assert await mount.cat("f03") == b"new"

    run(test)


def test_a_file_that_was_deleted_before_it_was_fetched_ahead_is_not_there() -> None:
    async def test() -> None:
        async with mounted() as mount:
            mount.bucket.delete("d/f03")
            await mount.cat_all(names(STEPS_MIN))
            with pytest.raises(Stale):
                await mount.fs.open(mount.numbers["f03"], os.O_RDONLY)
            directory = (await mount.fs.lookup(ROOT, b"d")).number
            with pytest.raises(NotFound):
                await mount.fs.lookup(directory, b"f03")

    run(test)


def test_with_minimal_a_file_that_was_replaced_after_it_was_fetched_ahead_gives_its_new_bytes() -> None:
    """S30: an open sees what S3 has at the time."""

    async def test() -> None:
        async with mounted(metadata_ttl="minimal") as mount:
            await mount.cat_all(names(STEPS_MIN))
            mount.bucket.put("d/f03", b"new")
            await trio.sleep(0.2)
            directory = (await mount.fs.lookup(ROOT, b"d")).number
            mount.numbers["f03"] = (await mount.fs.lookup(directory, b"f03")).number
            assert await mount.cat("f03") == b"new"

    run(test)


def test_a_file_that_was_replaced_here_after_it_was_fetched_ahead_gives_its_new_bytes() -> None:
    kernel = Kernel("", Rights(delete=True, overwrite=True), Ttl(60.0, 60.0), page=1000)
    kernel.start()
    try:
        for name in names(10):
            kernel.bucket.put(name, b"before")
        kernel.listing("")
        for name in names(STEPS_MIN):
            file = kernel.open(name, os.O_RDONLY)
            assert kernel.read(file, 0, 10) == b"before"
            kernel.release(file)
        kernel.wait(0.0)
        assert kernel.bucket.requests[GET] > STEPS_MIN
        name = names(1, STEPS_MIN)[0]
        file = kernel.open(name, os.O_WRONLY | os.O_TRUNC)
        kernel.write(file, 0, b"behind")
        kernel.release(file)
        file = kernel.open(name, os.O_RDONLY)
        assert kernel.read(file, 0, 10) == b"behind"
        kernel.release(file)
    finally:
        kernel.stop()


def test_with_minimal_an_open_asks_whether_what_was_fetched_ahead_is_still_the_file() -> None:
    async def test() -> None:
        async with mounted(metadata_ttl="minimal") as mount:
            for name in names(40):
                await trio.sleep(0.2)
                await mount.cat_all([name])
            assert mount.bucket.requests == {HEAD: 40, GET: 40}

    run(test)


def test_a_fetch_ahead_that_fails_is_tried_again_by_who_reads() -> None:
    async def test() -> None:
        async with mounted() as mount:
            mount.bucket.failing = {"d/f03", "d/f05"}
            await mount.cat_all(names(10))
            assert not mount.bucket.failing

    run(test)


@pytest.mark.parametrize("what", ["empty", "large", "cold", "directory"])
def test_what_is_no_small_file_is_not_fetched_ahead_and_ends_no_walk(what: str) -> None:
    async def test() -> None:
        async with mounted(5) as mount:
            if what == "directory":
                mount.bucket.put("d/f05/x")
            else:
                data = bytes({"empty": 0, "large": MiB + 1, "cold": 10}[what])
                mount.bucket.memory.put("d/f05", data, storage_class="GLACIER" if what == "cold" else "STANDARD")
            mount.bucket.put("d/f06", b"behind it")
            await mount.see()
            mount.bucket.requests.clear()
            await mount.cat_all(names(5))
            assert mount.bucket.requests == {GET: 6}
            mount.bucket.gates[GET] = trio.Event()
            await mount.cat_all(["f06"])

    run(test)


def test_files_whose_pages_the_kernel_has_are_not_fetched_ahead() -> None:
    async def test() -> None:
        async with mounted(100) as mount:
            await mount.cat_all(names(97, 3))
            mount.bucket.requests.clear()
            await mount.cat_all(names(3))
            assert mount.bucket.requests == {GET: 3}

    run(test)


def test_a_directory_below_that_is_read_in_between_ends_no_walk() -> None:
    """As `grep -r` does it: the numbers of what is in it come behind."""

    async def test() -> None:
        async with mounted(10, size=64 * KiB) as mount:
            await mount.cat_all(names(3))
            mount.bucket.put("e/x", b"x")
            directory = (await mount.fs.lookup(ROOT, b"e")).number
            number = (await mount.fs.lookup(directory, b"x")).number
            handle = (await mount.fs.open(number, os.O_RDONLY)).handle
            assert await mount.fs.read(handle, 0, 10) == b"x"
            mount.fs.release(handle)
            mount.bucket.requests.clear()
            await mount.cat_all(names(7, 3))
            assert mount.bucket.requests == {GET: 4}, "three were there"
            assert mount.bucket.requests[LIST] == 0

    run(test)


def test_nothing_stays_when_the_mount_ends() -> None:
    async def test() -> None:
        async with mounted() as mount:
            await mount.cat_all(names(5))
            await mount.fs.drain()
            await trio.testing.wait_all_tasks_blocked()
            assert mount.arena.in_use == 0

    run(test)
