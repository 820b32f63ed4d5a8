"""Directories that are listed before they are opened, when a thread walks a tree: S3Filesystem over a bucket."""

import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import trio
import trio.testing

from engine.errors import NotFound, Throttled
from engine.fs.directories import Listed
from engine.fs.filesystem import S3Filesystem
from engine.fs.lists_ahead import AHEAD_SECONDS_MAX
from engine.fs.trees import STEPS_MIN
from engine.spec import MountSpec
from engine.stats import EngineStats
from tests.model.kernel import Kernel
from tests.model.things import Rights, Ttl
from tests.unit.bucket import LIST, Bucket
from tests.unit.test_filesystem import Opener

ROOT = 1
THREAD, OTHER = 77, 78
COUNT = 30


class Tree:
    """A file system over directories `d00`, `d01`, ... with two files each, seen by a thread."""

    def __init__(self, nursery: trio.Nursery, keys: list[str]) -> None:
        self.bucket = Bucket(*keys)
        spec = MountSpec(name="m", bucket="bucket", mountpoint="/mnt")
        self.fs = S3Filesystem(spec, self.bucket, Opener(), generation=0, stats=EngineStats(), nursery=nursery)

    async def opened(self, number: int, thread: int = THREAD) -> list[Listed]:
        """Open a directory, read it, close it; then what that has started comes to its end."""
        handle, position, found = self.fs.opendir(number, thread), 0, []
        while entries := list(await self.fs.readdir(handle, position)):
            found += entries
            position = entries[-1].position
        self.fs.releasedir(handle)
        await trio.testing.wait_all_tasks_blocked()
        return [entry for entry in found if entry.counted]

    async def begun(self) -> dict[str, int]:
        """A walk that has come so far that directories are listed ahead; the numbers of all in the first one."""
        numbers = {entry.name.decode(): entry.attributes.number for entry in await self.opened(ROOT)}
        for name in sorted(numbers)[:STEPS_MIN]:
            await self.opened(numbers[name])
        return numbers

    @property
    def lists(self) -> int:
        return self.bucket.requests[LIST]

    def stop(self) -> None:
        """S3 answers no listing any more."""
        self.bucket.gates[LIST] = trio.Event()


@contextlib.asynccontextmanager
async def tree(keys: list[str] | None = None) -> AsyncIterator[Tree]:
    async with trio.open_nursery() as nursery:
        yield Tree(nursery, keys or [f"d{number:02}/{name}" for number in range(COUNT) for name in "ab"])
        nursery.cancel_scope.cancel()


def run(test: Callable[[], Awaitable[None]]) -> None:
    trio.run(test, clock=trio.testing.MockClock())


def names(entries: list[Listed]) -> list[str]:
    return [entry.name.decode() for entry in entries]


def test_the_directories_behind_those_that_were_opened_are_listed_before_they_are() -> None:
    async def test() -> None:
        async with tree() as mount:
            numbers = await mount.begun()
            assert mount.lists > 1 + STEPS_MIN
            mount.stop()
            assert names(await mount.opened(numbers["d02"])) == ["a", "b"]

    run(test)


def test_a_whole_tree_costs_one_list_a_directory() -> None:
    async def test() -> None:
        keys = [f"d{number}/{below}/{name}" for number in range(9) for below in ("x", "y", "z") for name in "abc"]
        async with tree(keys) as mount:

            async def walk(number: int) -> int:
                found = await mount.opened(number)
                directories = [entry.attributes.number for entry in found if not entry.attributes.size]
                return len(found) + sum([await walk(directory) for directory in directories])

            assert await walk(ROOT) == 9 + 27 + 81
            assert mount.lists == 1 + 9 + 27

    run(test)


def test_a_walk_that_ends_has_listed_no_more_ahead_than_it_has_opened() -> None:
    """S121: and nothing of it stays."""

    async def test() -> None:
        async with tree() as mount:
            numbers = await mount.begun()
            for name in sorted(numbers)[STEPS_MIN:10]:
                await mount.opened(numbers[name])
            assert 11 < mount.lists <= 1 + 2 * 10
            trio.lowlevel.current_clock().jump(AHEAD_SECONDS_MAX + 0.1)  # type: ignore[attr-defined]
            await trio.testing.wait_all_tasks_blocked()
            assert not mount.fs._directories._lists._lists

    run(test)


def test_a_directory_that_the_walk_comes_to_is_known_to_be_there() -> None:
    """S121: though the kernel believes in its name no more, it is not asked for."""

    async def test() -> None:
        async with tree() as mount:
            numbers = await mount.begun()
            before = mount.bucket.requests.copy()
            assert (await mount.fs.lookup(ROOT, b"d02", THREAD)).number == numbers["d02"]
            assert mount.bucket.requests == before
            await mount.fs.lookup(ROOT, b"d02", OTHER)
            assert mount.lists == before[LIST] + 1

    run(test)


def test_a_directory_that_is_gone_when_it_is_listed_ahead_is_not_there() -> None:
    async def test() -> None:
        async with tree() as mount:
            entries = await mount.opened(ROOT)
            for name in "ab":
                mount.bucket.delete(f"d02/{name}")
            for entry in entries[:STEPS_MIN]:
                await mount.opened(entry.attributes.number)
            with pytest.raises(NotFound):
                await mount.fs.lookup(ROOT, b"d02", THREAD)

    run(test)


@pytest.mark.parametrize("thread", [OTHER, 0])
def test_who_does_not_walk_sees_what_is_there_when_it_opens(thread: int) -> None:
    """S11: though another thread has had it listed ahead."""

    async def test() -> None:
        async with tree() as mount:
            numbers = await mount.begun()
            mount.bucket.put("d02/c")
            assert names(await mount.opened(numbers["d02"], thread)) == ["a", "b", "c"]

    run(test)


def test_a_walk_that_begins_anew_sees_what_is_there() -> None:
    """S121: nothing is older than the walk."""

    async def test() -> None:
        async with tree() as mount:
            numbers = await mount.begun()
            for name in sorted(numbers):
                mount.bucket.put(f"{name}/c")
            await mount.begun()
            for name in sorted(numbers)[STEPS_MIN:]:
                assert names(await mount.opened(numbers[name])) == ["a", "b", "c"]

    run(test)


def test_a_listing_ahead_that_has_become_too_old_is_not_used() -> None:
    """S121: for as long as a directory is believed."""

    async def test() -> None:
        async with tree() as mount:
            numbers = await mount.begun()
            mount.bucket.put("d02/c")
            trio.lowlevel.current_clock().jump(AHEAD_SECONDS_MAX + 0.1)  # type: ignore[attr-defined]
            assert names(await mount.opened(numbers["d02"])) == ["a", "b", "c"]

    run(test)


def test_a_slow_walk_is_not_listed_ahead_in_vain_for_ever() -> None:
    async def test() -> None:
        async with tree() as mount:
            for entry in await mount.opened(ROOT):
                await mount.opened(entry.attributes.number)
                trio.lowlevel.current_clock().jump(AHEAD_SECONDS_MAX + 0.1)  # type: ignore[attr-defined]
                await trio.testing.wait_all_tasks_blocked()
            assert mount.lists <= 1 + COUNT + 4

    run(test)


def test_rewinding_lists_anew() -> None:
    """S11: a directory that was listed ahead, too."""

    async def test() -> None:
        async with tree() as mount:
            numbers = await mount.begun()
            handle = mount.fs.opendir(numbers["d02"], THREAD)
            list(await mount.fs.readdir(handle, 0))
            found = list(await mount.fs.readdir(handle, 2))
            assert names(found) == ["a", "b"]
            mount.bucket.put("d02/c")
            list(await mount.fs.readdir(handle, 0))
            assert names(list(await mount.fs.readdir(handle, 2))) == ["a", "b", "c"]

    run(test)


def test_a_listing_ahead_that_fails_is_tried_again_by_who_opens() -> None:
    async def test() -> None:
        async with tree() as mount:
            entries = await mount.opened(ROOT)
            for entry in entries[: STEPS_MIN - 1]:
                await mount.opened(entry.attributes.number)
            handle = mount.fs.opendir(entries[STEPS_MIN - 1].attributes.number, THREAD)
            mount.bucket.failures[LIST] = Throttled("slow down", status=503)
            await trio.testing.wait_all_tasks_blocked()
            mount.bucket.failures.clear()
            mount.fs.releasedir(handle)
            for entry in entries[STEPS_MIN:]:
                assert names(await mount.opened(entry.attributes.number)) == ["a", "b"]

    run(test)


def test_what_was_written_or_deleted_here_meanwhile_is_seen_in_a_walk() -> None:
    """S121: a listing from before has it not, or still."""
    kernel = Kernel("", Rights(delete=True, overwrite=True), Ttl(), page=1000)
    kernel.start()
    try:
        for number in range(COUNT):
            kernel.bucket.put(f"d{number:02}/a")

        def begun() -> None:
            for path in ("", "d00", "d01"):
                directory = kernel.opendir(path, THREAD)
                kernel.readdir(directory, None)
                kernel.closedir(directory)
            kernel.wait(0.0)

        def read(path: str) -> list[str]:
            directory = kernel.opendir(path, THREAD)
            found = kernel.readdir(directory, None)
            kernel.closedir(directory)
            return found

        begun()
        file = kernel.open("d02/new", os.O_WRONLY | os.O_CREAT)
        kernel.write(file, 0, b"new")
        kernel.release(file)
        assert read("d02") == ["a", "new"]

        begun()
        kernel.unlink("d02/new")
        assert read("d02") == ["a"]
    finally:
        kernel.stop()
