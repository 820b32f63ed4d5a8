"""S3Filesystem without a kernel: attributes, opening, listing with attributes, handles of other engines."""

import gc
import os
import stat
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
import trio.testing

from engine.errors import (
    Archived,
    BadHandle,
    Deleted,
    EngineError,
    InvalidArgument,
    InvalidName,
    IsADirectory,
    NoSuchKey,
    NotADirectory,
    NotFound,
    PreconditionFailed,
    ReadOnly,
    Stale,
)
from engine.fs.directories import LISTED_SECONDS_MAX, WALK_SECONDS_MAX, WALKED_SECONDS, Listed
from engine.fs.filesystem import S3Filesystem
from engine.fs.handles import Handles
from engine.fs.ledger import parsed
from engine.namespace.inode import Inode
from engine.spec import MountSpec
from engine.stats import EngineStats
from tests.unit.bucket import HEAD, LIST, Bucket

ROOT = 1


class Whole:
    """An open object that reads everything at once, or fails."""

    def __init__(self, data: bytes, failures: list[EngineError]) -> None:
        self._data = data
        self._failures = failures
        self.closed = False

    async def read(self, offset: int, size: int) -> bytes:
        await trio.lowlevel.checkpoint()
        if self._failures:
            raise self._failures[0]
        return self._data[offset : offset + size]

    def close(self) -> None:
        self.closed = True


class Opener:
    def __init__(self) -> None:
        self.opened: list[tuple[str, str, int]] = []
        self.streams: list[Whole] = []
        self.failures: list[EngineError] = []

    def open(self, key: str, etag: str, size: int) -> Whole:
        self.opened.append((key, etag, size))
        self.streams.append(Whole(key.encode(), self.failures))
        return self.streams[-1]

    def open_ahead(self, key: str, etag: str, size: int, failed: Callable[[EngineError], None]) -> None:
        """There is never memory to spare."""


class Mount:
    """A file system over a bucket in memory."""

    def __init__(self, *keys: str, generation: int = 0, **options: Any) -> None:
        self.bucket = Bucket(*keys)
        self.opener = Opener()
        self.stats = EngineStats()
        spec = MountSpec(name="m", bucket="bucket", mountpoint="/mnt", **options)
        self.fs = S3Filesystem(spec, self.bucket, self.opener, generation=generation, stats=self.stats)

    async def number(self, name: str) -> int:
        return (await self.fs.lookup(ROOT, name.encode())).number

    async def list(self, handle: int, position: int = 0) -> list[Listed]:
        found: list[Listed] = []
        while entries := list(await self.fs.readdir(handle, position)):
            found += entries
            position = entries[-1].position
        return found


def run(test: Callable[[], Awaitable[None]]) -> None:
    """Sleeps take no time."""
    trio.run(test, clock=trio.testing.MockClock(autojump_threshold=0))


def test_attributes_follow_the_spec_the_object_and_the_kind() -> None:
    async def test() -> None:
        mount = Mount("d/x", uid=7, gid=8, dir_mode=0o700, file_mode=0o400)
        mount.bucket.memory.put("f", b"x" * 513, last_modified=1000.75)
        mount.bucket.memory.put("cold", b"x", storage_class="GLACIER")
        mount.bucket.memory.put("thawed", b"x", storage_class="GLACIER", restored=True)

        file, directory, cold, thawed = [await mount.fs.lookup(ROOT, name) for name in (b"f", b"d", b"cold", b"thawed")]
        assert (file.size, file.blocks, file.nlink, file.uid, file.gid) == (513, 2, 1, 7, 8)
        assert file.time_ns == 1000 * 10**9, "whole seconds, as S3 keeps them"
        assert file.mode == stat.S_IFREG | 0o400
        assert (directory.mode, directory.size, directory.blocks, directory.nlink) == (stat.S_IFDIR | 0o700, 0, 0, 2)
        assert (cold.mode, thawed.mode) == (stat.S_IFREG, stat.S_IFREG | 0o400)

    run(test)


def test_opening_right_after_lookup_sends_nothing_and_later_one_head() -> None:
    async def test() -> None:
        mount = Mount("f")
        number = await mount.number("f")
        before = mount.bucket.requests.copy()
        await mount.fs.open(number, os.O_RDONLY)
        assert mount.bucket.requests == before

        await trio.sleep(0.2)
        await mount.fs.open(number, os.O_RDONLY)
        assert mount.bucket.requests - before == {HEAD: 1}
        await mount.fs.open(number, os.O_RDONLY | os.O_DIRECT)
        assert mount.bucket.requests - before == {HEAD: 2}, "O_DIRECT always asks"

    run(test)


def test_attributes_of_an_open_file_are_those_it_was_opened_with_and_ask_nobody() -> None:
    async def test() -> None:
        mount = Mount("f")
        number = await mount.number("f")
        opened = [await mount.fs.open(number, os.O_RDONLY) for _ in range(2)]
        mount.bucket.put("f", b"longer than it was")
        await trio.sleep(5)
        before = mount.bucket.requests.copy()
        mount.fs.release(opened[0].handle)

        assert (await mount.fs.getattr(number)).size == 1
        assert mount.bucket.requests == before
        mount.fs.release(opened[1].handle)
        with pytest.raises(Stale):
            await mount.fs.getattr(number)

    run(test)


def test_an_open_file_is_pinned_to_its_version() -> None:
    async def test() -> None:
        mount = Mount("f")
        number = await mount.number("f")
        info = await mount.bucket.memory.head_object("f")
        opened = await mount.fs.open(number, os.O_RDONLY)

        assert mount.opener.opened == [("f", info.etag, 1)]
        assert await mount.fs.read(opened.handle, 0, 10) == b"f"
        assert mount.stats.open_files == 1
        mount.fs.release(opened.handle)
        mount.fs.release(opened.handle)
        assert mount.opener.streams[0].closed
        assert mount.stats.open_files == 0
        with pytest.raises(BadHandle):
            await mount.fs.read(opened.handle, 0, 10)

    run(test)


def test_opening_what_was_replaced_is_stale_so_that_the_kernel_looks_again() -> None:
    async def test() -> None:
        mount = Mount("f")
        number = await mount.number("f")
        mount.bucket.put("f", b"other")
        await trio.sleep(1)

        with pytest.raises(Stale):
            await mount.fs.open(number, os.O_RDONLY)
        with pytest.raises(Stale):
            await mount.fs.getattr(number)
        assert await mount.number("f") != number

    run(test)


@pytest.mark.parametrize(
    ("flags", "error"),
    [
        (os.O_WRONLY, ReadOnly),
        (os.O_RDWR, ReadOnly),
        (os.O_RDONLY | os.O_TRUNC, ReadOnly),
        (os.O_WRONLY | os.O_SYNC, InvalidArgument),
        (os.O_RDWR | os.O_DSYNC, InvalidArgument),
    ],
)
def test_a_mount_that_only_reads_opens_nothing_for_writing(flags: int, error: type[EngineError]) -> None:
    async def test() -> None:
        mount = Mount("f")
        number = await mount.number("f")
        with pytest.raises(error):
            await mount.fs.open(number, flags)
        assert not mount.opener.opened

    run(test)


def test_opening_the_wrong_kind_is_told() -> None:
    async def test() -> None:
        mount = Mount("f", "d/x")
        mount.bucket.memory.put("cold", b"x", storage_class="DEEP_ARCHIVE")

        with pytest.raises(IsADirectory):
            await mount.fs.open(await mount.number("d"), os.O_RDONLY)
        with pytest.raises(NotADirectory):
            mount.fs.opendir(await mount.number("f"))
        with pytest.raises(NotADirectory):
            await mount.fs.lookup(await mount.number("f"), b"x")
        with pytest.raises(Archived, match="DEEP_ARCHIVE"):
            await mount.fs.open(await mount.number("cold"), os.O_RDONLY)
        with pytest.raises(InvalidName):
            await mount.fs.lookup(ROOT, b"\xff")
        with pytest.raises(NotFound):
            await mount.fs.lookup(ROOT, b"none")

    run(test)


def test_an_object_deleted_or_replaced_while_read_fails_its_reader() -> None:
    async def test() -> None:
        mount = Mount("f")
        opened = await mount.fs.open(await mount.number("f"), os.O_RDONLY)
        mount.opener.failures.append(NoSuchKey("gone", status=404))
        with pytest.raises(Deleted):
            await mount.fs.read(opened.handle, 0, 1)
        mount.opener.failures[0] = PreconditionFailed("changed", status=412)
        with pytest.raises(PreconditionFailed):
            await mount.fs.read(opened.handle, 0, 1)

    run(test)


@pytest.mark.parametrize("replaced", [True, False])
def test_a_version_that_a_reader_found_gone_is_not_believed_any_more_under_the_longest_ttl(replaced: bool) -> None:
    """S24: the next open asks, and the kernel looks the name up again."""

    async def test() -> None:
        mount = Mount("f", metadata_ttl="indefinite")
        number = await mount.number("f")
        opened = await mount.fs.open(number, os.O_RDONLY)
        if replaced:
            mount.bucket.put("f", b"other")
        else:
            mount.bucket.delete("f")
        mount.opener.failures.append(
            PreconditionFailed("changed", status=412) if replaced else NoSuchKey("gone", status=404)
        )
        assert (await mount.fs.open(number, os.O_RDONLY)).handle, "it is believed until somebody finds out"
        with pytest.raises((PreconditionFailed, Deleted)):
            await mount.fs.read(opened.handle, 0, 1)

        with pytest.raises(Stale):
            await mount.fs.open(number, os.O_RDONLY)
        if replaced:
            assert (await mount.fs.open(await mount.number("f"), os.O_RDONLY)).handle
        else:
            with pytest.raises(NotFound):
                await mount.number("f")

    run(test)


def test_a_listing_has_the_dots_once_and_counts_lookups_only_of_the_others() -> None:
    async def test() -> None:
        mount = Mount("d/a", "d/b/c")
        directory = await mount.number("d")
        handle = mount.fs.opendir(directory)
        found = await mount.list(handle)

        assert [entry.name for entry in found] == [b".", b"..", b"a", b"b"]
        assert [entry.counted for entry in found] == [False, False, True, True]
        assert [entry.attributes.number for entry in found[:2]] == [directory, ROOT]
        assert mount.stats.inodes == 4
        mount.fs.forget((entry.attributes.number, 1) for entry in found if entry.counted)
        assert mount.stats.inodes == 2
        for index, entry in enumerate(found):
            again = await mount.list(handle, entry.position)
            assert [other.name for other in again] == [other.name for other in found[index + 1 :]]
        mount.fs.releasedir(handle)
        assert mount.stats.open_directories == 0

    run(test)


def test_what_was_listed_is_opened_without_asking_while_it_is_fresh() -> None:
    async def test() -> None:
        mount = Mount("f")
        handle = mount.fs.opendir(ROOT)
        file = (await mount.list(handle))[2].attributes
        before = mount.bucket.requests.copy()
        assert file.valid == pytest.approx(0.1)
        await mount.fs.getattr(file.number)
        await mount.fs.open(file.number, os.O_RDONLY)
        assert mount.bucket.requests == before

    run(test)


def test_entries_of_an_old_page_are_not_believed_with_minimal_and_grow_old_with_a_ttl() -> None:
    async def test() -> None:
        for ttl, expected in (("minimal", 0.0), (60, 50.0)):
            mount = Mount("f", metadata_ttl=ttl)
            handle = mount.fs.opendir(ROOT)
            await mount.list(handle)
            await trio.sleep(10 * LISTED_SECONDS_MAX)
            assert (await mount.list(handle, 2))[0].attributes.valid == pytest.approx(expected)
            assert mount.bucket.requests[LIST] == 1

    run(test)


def test_who_reads_a_directory_is_told_what_was_listed_since_and_nobody_else_is() -> None:
    """S52: by lookups and attributes, not by opens, until it is closed or a minute has passed."""
    reader, other = 11, 12

    async def test() -> None:
        mount = Mount("d/f", "d/g")
        directory = await mount.number("d")
        earlier = await mount.fs.lookup(directory, b"g")
        await trio.sleep(5)
        handle = mount.fs.opendir(directory, reader)
        assert (await mount.fs.lookup(directory, b"g", reader)).number == earlier.number
        assert mount.bucket.requests[HEAD] == 3, "what was said before it was opened does not count"
        listed = (await mount.list(handle))[2].attributes
        await trio.sleep(10)
        before = mount.bucket.requests.copy()
        mount.bucket.put("d/f", b"longer")

        told = await mount.fs.lookup(directory, b"f", reader)
        assert (told.number, told.size, told.valid) == (listed.number, listed.size, pytest.approx(WALKED_SECONDS))
        assert (await mount.fs.getattr(told.number, reader)).size == listed.size
        assert mount.bucket.requests == before
        assert (await mount.fs.lookup(directory, b"f", other)).size == len(b"longer")
        with pytest.raises(Stale):
            await mount.fs.open(listed.number, os.O_RDONLY)
        assert (await mount.fs.lookup(directory, b"f", reader)).size == len(b"longer")

        mount.bucket.put("d/g", b"longer")
        await trio.sleep(WALK_SECONDS_MAX - 10 - 1)
        assert (await mount.fs.lookup(directory, b"g", reader)).number == earlier.number
        await trio.sleep(2)
        assert (await mount.fs.lookup(directory, b"g", reader)).size == len(b"longer")

    run(test)


def test_who_has_closed_a_directory_or_rewound_it_is_told_what_is_there() -> None:
    """S52: what was listed before counts no more."""
    reader = 11

    async def test() -> None:
        mount = Mount("f")
        for end in ("close", "one of two", "rewind"):
            handle, second = mount.fs.opendir(ROOT, reader), mount.fs.opendir(ROOT, reader)
            if end != "one of two":
                mount.fs.releasedir(second)
            await mount.list(handle)
            mount.bucket.put("f", end.encode())
            await trio.sleep(5)
            if end == "rewind":
                await mount.fs.readdir(handle, 0)
                await mount.fs.readdir(handle, 2)  # listed, and not read: the name is not what was said since
            else:
                mount.fs.releasedir(handle)
            said = (await mount.fs.lookup(ROOT, b"f", reader)).size
            assert (said == len(end)) is (end != "one of two")
            if end == "one of two":
                mount.fs.releasedir(second)
                assert (await mount.fs.lookup(ROOT, b"f", reader)).size == len(end)

    run(test)


def test_a_directory_read_again_from_its_start_is_listed_anew() -> None:
    async def test() -> None:
        mount = Mount("a")
        handle = mount.fs.opendir(ROOT)
        assert len(await mount.list(handle)) == 3
        mount.bucket.put("b")
        assert len(await mount.list(handle)) == 4
        assert mount.bucket.requests[LIST] == 2

    run(test)


def test_numbers_and_handles_of_an_engine_before_are_stale() -> None:
    async def test() -> None:
        before, after = Mount("f"), Mount("f", generation=1)
        number = await before.number("f")
        handle = (await before.fs.open(number, os.O_RDONLY)).handle
        with pytest.raises(Stale):
            await after.fs.getattr(number)
        with pytest.raises(Stale):
            await after.fs.read(handle, 0, 1)
        with pytest.raises(Stale):
            await after.fs.readdir(before.fs.opendir(ROOT), 0)
        after.fs.release(handle)
        after.fs.forget([(number, 1)])
        assert (await after.fs.getattr(ROOT)).number == ROOT

    run(test)


def test_handles_of_one_engine_are_never_used_twice() -> None:
    opened: list[int] = []
    handles: Handles[str] = Handles(generation=2, gauge=opened.append)
    first = handles.add("a")
    assert handles.remove(first) == "a"
    assert handles.remove(first) is None
    second = handles.add("b")

    assert second != first
    assert handles.get(second) == "b"
    with pytest.raises(BadHandle):
        handles.get(first)
    assert opened == [1, 0, 0, 1]


def test_a_snapshot_that_is_being_drawn_keeps_no_inode_that_is_forgotten_meanwhile() -> None:
    """S50: it is drawn little by little, while a walk has the table forget as many as it learns."""
    mount = Mount(*(f"f{number}" for number in range(50)))

    async def main() -> None:
        before = _inodes_in_memory()
        numbers = [await mount.number(f"f{number}") for number in range(50)]
        drawn = mount.fs.snapshot()
        assert [record[1] for record in parsed(next(drawn))] == numbers[:1]
        mount.fs.forget([(number, 1) for number in numbers[:40]])
        assert _inodes_in_memory() - before == 10 + 1, "and the one that was drawn last"
        assert [record[1] for group in drawn for record in parsed(group) if record[1] in numbers] == numbers[40:]

    run(main)


def _inodes_in_memory() -> int:
    gc.collect()  # those of other tests
    return sum(type(each) is Inode for each in gc.get_objects())
