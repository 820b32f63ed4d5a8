"""S3Filesystem without a kernel: who may open what, names that are pending, races with S3's answers, successors."""

import contextlib
import os
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import trio
import trio.testing

from engine.arena import Arena
from engine.errors import (
    AccessDenied,
    BadHandle,
    CrossDevice,
    EngineError,
    InvalidArgument,
    IsADirectory,
    KeyTooLong,
    NameTaken,
    NotADirectory,
    NotFound,
    NotPermitted,
    OutOfOrderWrite,
    S3Error,
    Stale,
    TooManyWriters,
    Unsettable,
    UploadCompleted,
    UploadFailed,
)
from engine.fs.attributes import Wanted
from engine.fs.filesystem import S3Filesystem
from engine.fs.inherited import Inherited
from engine.fs.ledger import Ledger, inherit, parsed, snapshot
from engine.namespace.lookup import JUST_MISSING_SECONDS
from engine.s3.interface import LIST_ENTRIES_MAX
from engine.spec import MiB, MountSpec
from engine.stats import EngineStats
from engine.write.uploader import Uploader
from tests.unit.bucket import DELETE, HEAD, LIST, PUT, Bucket
from tests.unit.test_filesystem import Opener

ROOT = 1
NEW = os.O_WRONLY | os.O_CREAT
REPLACE = os.O_WRONLY | os.O_TRUNC
OPENER, CHILD = 1000, 1001  # processes


class Mount:
    """A file system that writes, over a bucket in memory; after a crash `before`, if there was one.

    `ahead`: directories are listed ahead of what programs do. `page`: entries of a page of S3's listings.
    """

    def __init__(
        self,
        nursery: trio.Nursery,
        *keys: str,
        generation: int = 0,
        memory: int = 64,
        before: "Mount | None" = None,
        ahead: bool = False,
        page: int = LIST_ENTRIES_MAX,
        **options: Any,
    ) -> None:
        self.bucket = Bucket(*keys, page=page) if before is None else before.bucket
        self.records: list[str] = []
        left = Inherited() if before is None else inherit(parsed(before.records))
        ledger = Ledger(self.records.extend, left)
        self.stats = EngineStats()
        self.arena = Arena(memory * MiB)
        spec = MountSpec(name="m", bucket="bucket", mountpoint="/mnt", memory_target=memory, **options)
        self.uploader = Uploader(self.bucket, self.arena, nursery, spec=spec, stats=self.stats, records=ledger)
        how: dict[str, Any] = {"stats": self.stats, "uploader": self.uploader, "ledger": ledger, "inherited": left}
        if ahead:
            how["nursery"] = nursery
        self.fs = S3Filesystem(spec, self.bucket, Opener(), generation=generation, **how)
        self.records += snapshot(self.fs.bequest())

    async def number(self, name: str, parent: int = ROOT) -> int:
        return (await self.fs.lookup(parent, name.encode())).number

    async def make(self, name: str, parent: int = ROOT) -> int:
        return (await self.fs.mknod(parent, name.encode(), stat.S_IFREG | 0o644)).number

    async def create(self, name: str, flags: int = NEW, parent: int = ROOT) -> tuple[int, int]:
        """A new file that is open for writing: inode and handle."""
        number = await self.make(name, parent)
        return number, (await self.fs.open(number, flags, OPENER)).handle

    async def written(self, name: str, data: bytes = b"x", parent: int = ROOT) -> int:
        number, handle = await self.create(name, parent=parent)
        await self.fs.write(handle, 0, data)
        await self.fs.flush(handle, OPENER)
        await self.fs.close(handle)
        return number

    async def names(self, number: int = ROOT) -> list[str]:
        handle, position, found = self.fs.opendir(number), 0, []
        while entries := list(await self.fs.readdir(handle, position)):
            found += [entry.name.decode() for entry in entries]
            self.fs.forget((entry.attributes.number, 1) for entry in entries if entry.counted)
            position = entries[-1].position
        self.fs.releasedir(handle)
        return found[2:]

    def content(self, key: str) -> bytes:
        return self.bucket.memory.stored(key).data


@contextlib.asynccontextmanager
async def mount(*keys: str, **options: Any) -> AsyncIterator[Mount]:
    async with trio.open_nursery() as nursery:
        made = Mount(nursery, *keys, **options)
        yield made
        await made.uploader.aclose()
        assert made.arena.in_use == 0
        made.arena.close()
        nursery.cancel_scope.cancel()


def run(test: Callable[[], Awaitable[None]]) -> None:
    trio.run(test, clock=trio.testing.MockClock(autojump_threshold=0))


async def fails(error: type[EngineError], call: Awaitable[object]) -> None:
    with pytest.raises(error):
        await call


def test_a_new_file_is_one_put_beyond_its_lookup() -> None:
    async def test() -> None:
        async with mount() as made:
            await fails(NotFound, made.number("f"))
            await made.written("f", b"hello")
            assert made.bucket.requests == {HEAD: 1, LIST: 1, PUT: 1}
            assert made.content("f") == b"hello"
            assert made.stats.uploads == made.stats.open_files == 0

    run(test)


def test_what_is_to_be_made_is_looked_up_again_when_the_last_lookup_is_old() -> None:
    async def test() -> None:
        async with mount() as made:
            await fails(NotFound, made.number("f"))
            made.bucket.put("f", b"another's")
            await trio.sleep(JUST_MISSING_SECONDS)
            await fails(NameTaken, made.make("f"))
            await fails(NameTaken, made.fs.mkdir(ROOT, b"f"))
            assert made.stats.inodes == 1, "the kernel holds none by it"

    run(test)


def test_what_is_written_goes_past_the_page_cache() -> None:
    async def test() -> None:
        async with mount("there") as made:
            new = await made.fs.open(await made.make("new"), NEW)
            assert new.direct
            reader = await made.fs.open(await made.number("there"), os.O_RDONLY)
            assert not reader.direct

    run(test)


def test_only_files_and_directories_of_possible_keys_are_made() -> None:
    async def test() -> None:
        async with mount("f") as made:
            for kind in (stat.S_IFIFO, stat.S_IFCHR, stat.S_IFSOCK):
                await fails(InvalidArgument, made.fs.mknod(ROOT, b"x", kind))
            await fails(NotADirectory, made.fs.mkdir(await made.number("f"), b"x"))
            deep = (await made.fs.mkdir(ROOT, b"d" * 1000)).number
            await fails(KeyTooLong, made.make("f" * 24, deep))
            await fails(KeyTooLong, made.fs.mkdir(deep, b"f" * 23))
            await made.make("f" * 23, deep)

    run(test)


def test_memory_is_asked_before_conflicts_and_a_refused_open_leaves_the_file_openable() -> None:
    async def test() -> None:
        async with mount("busy", memory=16, allow_overwrite=True) as made:  # one writer
            number = await made.number("busy")
            reader = (await made.fs.open(number, os.O_RDONLY)).handle
            _other, handle = await made.create("f")
            refused = await made.make("g")
            await fails(TooManyWriters, made.fs.open(number, REPLACE))
            await fails(TooManyWriters, made.fs.open(refused, NEW))
            await made.fs.close(handle)
            await fails(NotPermitted, made.fs.open(number, REPLACE))
            await fails(NotPermitted, made.fs.open(refused, os.O_RDONLY))
            handle = (await made.fs.open(refused, NEW)).handle
            await made.fs.close(handle)
            await made.fs.flush(reader)
            await made.fs.close((await made.fs.open(number, REPLACE)).handle)
            assert made.content("busy") == b""

    run(test)


def test_a_close_by_another_process_or_of_an_empty_file_is_put_off_until_the_last() -> None:
    async def test() -> None:
        async with mount() as made:
            _number, handle = await made.create("f")
            await made.fs.flush(handle, OPENER)
            await made.fs.write(handle, 0, b"a")
            await made.fs.flush(handle, CHILD)
            assert made.bucket.requests[PUT] == 0
            await made.fs.write(handle, 1, b"b")
            await made.fs.flush(handle, CHILD)
            await made.fs.close(handle)
            assert made.content("f") == b"ab"

    run(test)


@pytest.mark.parametrize("closer", [OPENER, None])
def test_a_close_by_the_opener_or_by_who_knows_whom_completes_the_file(closer: int | None) -> None:
    async def test() -> None:
        async with mount() as made:
            _number, handle = await made.create("f")
            await made.fs.write(handle, 0, b"a")
            assert made.fs.flush_tells(handle)
            await made.fs.flush(handle, closer)
            assert made.content("f") == b"a"
            assert not made.fs.flush_tells(handle)
            await made.fs.flush(handle, closer)
            await fails(UploadCompleted, made.fs.write(handle, 1, b"b"))
            await made.fs.close(handle)
            await made.fs.close(handle)
            assert made.bucket.requests[PUT] == 1

    run(test)


def test_an_upload_put_off_is_completed_by_the_next_open_which_hears_of_its_failure() -> None:
    async def test() -> None:
        async with mount(allow_overwrite=True) as made:
            number, handle = await made.create("f")
            await made.fs.flush(handle, OPENER)
            reader = (await made.fs.open(number, os.O_RDONLY)).handle
            assert made.content("f") == b""
            await fails(BadHandle, made.fs.write(handle, 0, b"late"))
            await made.fs.close(handle)
            await made.fs.close(reader)

            number, handle = await made.create("g")
            await made.fs.flush(handle, OPENER)
            made.bucket.failures[PUT] = AccessDenied("no", status=403)
            await fails(AccessDenied, made.fs.open(number, os.O_RDONLY))
            made.bucket.failures.clear()
            await fails(Stale, made.fs.open(number, os.O_RDONLY))
            await fails(NotFound, made.number("g"))
            await made.fs.close(handle)

    run(test)


def test_an_upload_that_fails_at_the_last_close_is_told_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with mount() as made:
            _number, handle = await made.create("f")
            made.bucket.failures[PUT] = S3Error("no", code="InternalError", status=500)
            await made.fs.flush(handle, OPENER)
            await made.fs.close(handle)
            assert "'f' is not uploaded" in caplog.text
            caplog.clear()

            _number, handle = await made.create("g")
            await made.fs.write(handle, 0, b"x")
            await fails(UploadFailed, made.fs.flush(handle, OPENER))
            await made.fs.close(handle)
            assert "not uploaded" not in caplog.text, "the program knows"

    run(test)


def test_a_failed_file_is_gone_and_a_failed_replacement_leaves_what_was() -> None:
    async def test() -> None:
        async with mount("old", allow_overwrite=True) as made:
            number, handle = await made.create("new")
            await fails(OutOfOrderWrite, made.fs.write(handle, 7, b"x"))
            await fails(OutOfOrderWrite, made.fs.fsync(handle))
            await fails(NotFound, made.number("new"))
            await fails(Stale, made.fs.getattr(number))
            await made.fs.close(handle)

            number = await made.number("old")
            handle = (await made.fs.open(number, REPLACE)).handle
            assert (await made.fs.getattr(number)).size == 0
            await fails(OutOfOrderWrite, made.fs.write(handle, 7, b"x"))
            again = await made.fs.lookup(ROOT, b"old")
            assert (again.number != number, again.size) == (True, 3), "pages of the failed one are not the old one's"
            await made.fs.close((await made.fs.open(again.number, os.O_RDONLY)).handle)
            await made.fs.close(handle)
            assert made.content("old") == b"old"

    run(test)


def test_a_twin_of_a_closed_reader_reads_until_somebody_replaces_the_file() -> None:
    async def test() -> None:
        async with mount("f", allow_overwrite=True) as made:
            number = await made.number("f")
            twin = (await made.fs.open(number, os.O_RDONLY)).handle
            await made.fs.flush(twin)
            assert await made.fs.read(twin, 0, 9) == b"f"
            await fails(NotPermitted, made.fs.open(number, REPLACE))
            await made.fs.flush(twin)
            writer = (await made.fs.open(number, REPLACE)).handle
            await fails(BadHandle, made.fs.read(twin, 0, 9))
            await fails(BadHandle, made.fs.read(writer, 0, 9))
            await fails(NotPermitted, made.fs.open(number, os.O_RDONLY))
            await made.fs.close(twin)
            await made.fs.close(writer)
            reader = (await made.fs.open(number, os.O_RDWR)).handle
            await fails(BadHandle, made.fs.write(reader, 0, b"x"))
            await made.fs.fsync(reader)

    run(test)


def test_a_successor_knows_no_writers_of_before_and_says_so() -> None:
    async def test() -> None:
        async with mount("f") as before, mount("f", generation=1) as after:
            reader = (await before.fs.open(await before.number("f"), os.O_RDONLY)).handle
            _number, writer = await before.create("g")
            await before.fs.write(writer, 0, b"half")
            for call in (
                after.fs.write(writer, 4, b"x"),
                after.fs.flush(writer, OPENER),
                after.fs.fsync(writer),
                after.fs.read(writer, 0, 1),
            ):
                await fails(Stale, call)
            await after.fs.close(writer)
            await after.fs.flush(reader)
            await after.fs.fsync(reader)
            assert after.bucket.memory.keys == ["f"]

    run(test)


def test_pending_names_survive_being_forgotten_and_are_listed_in_order() -> None:
    async def test() -> None:
        async with mount("a", "c", "e-x") as made:
            made.bucket.page = 1
            numbers = [await made.make(name) for name in ("b", "e", "z")]
            directory = (await made.fs.mkdir(ROOT, b"d")).number
            made.fs.forget((number, 1) for number in [*numbers, directory])
            assert await made.names() == ["a", "b", "c", "d", "e", "e-x", "z"]
            assert [await made.number(name) for name in ("b", "e", "z", "d")] == [*numbers, directory]
            made.fs.forget((number, 1) for number in [*numbers, directory])
            await made.fs.rmdir(ROOT, b"d")
            assert await made.names() == ["a", "b", "c", "e", "e-x", "z"]

    run(test)


def test_a_forgotten_file_lives_until_it_is_uploaded_and_no_longer() -> None:
    async def test() -> None:
        async with mount() as made:
            number, handle = await made.create("f")
            made.fs.forget([(number, 1)])
            assert made.stats.inodes == 2
            await made.fs.close(handle)
            assert made.stats.inodes == 1

    run(test)


def test_what_is_in_s3_and_what_is_pending_hide_each_other_as_the_rules_say() -> None:
    async def test() -> None:
        async with mount() as made:
            directory = (await made.fs.mkdir(ROOT, b"d")).number
            made.bucket.put("d", b"an object")
            assert await made.number("d") == directory
            assert await made.names() == ["d"]

            number, handle = await made.create("f")
            made.bucket.put("f", b"an object")
            assert await made.number("f") == number
            made.bucket.put("f/x", b"a directory in S3")
            hiding = await made.fs.lookup(ROOT, b"f")
            assert stat.S_ISDIR(hiding.mode)
            await made.fs.write(handle, 0, b"mine")
            assert (await made.fs.getattr(number)).size == 4
            await made.fs.close(handle)
            assert made.content("f") == b"mine"
            assert await made.number("f") == hiding.number

            made.bucket.put("d/x", b"")
            assert await made.number("d") == directory
            made.bucket.delete("d/x")
            await trio.sleep(2)
            assert not stat.S_ISDIR((await made.fs.lookup(ROOT, b"d")).mode), "it was S3's by then"

    run(test)


def test_an_answer_older_than_the_upload_does_not_undo_it() -> None:
    async def test() -> None:
        async with mount("f", allow_overwrite=True) as made:
            number = await made.number("f")
            handle = made.fs.opendir(ROOT)
            list(await made.fs.readdir(handle, 0))
            page = await made.fs.readdir(handle, 2)  # S3 has answered; nothing is drawn from it yet
            await trio.sleep(0.05)
            writer = (await made.fs.open(number, REPLACE)).handle
            await made.fs.write(writer, 0, b"longer")
            await made.fs.flush(writer, OPENER)
            (entry,) = page
            assert (entry.attributes.number, entry.attributes.size) == (number, 6)

            await trio.sleep(1)
            gate = made.bucket.gates[HEAD] = trio.Event()
            async with trio.open_nursery() as nursery:

                async def look() -> None:
                    await fails(NotFound, made.number("new"))  # was asked while there was none

                nursery.start_soon(look)
                await trio.testing.wait_all_tasks_blocked()
                gate.set()
            del made.bucket.gates[HEAD]
            await made.fs.close(writer)

    run(test)


def test_a_lookup_that_began_before_a_file_was_uploaded_finds_it() -> None:
    async def test() -> None:
        async with mount() as made:
            gate = made.bucket.gates[LIST] = trio.Event()
            found: list[int] = []
            async with trio.open_nursery() as nursery:

                async def look() -> None:
                    found.append(await made.number("f"))

                nursery.start_soon(look)
                await trio.testing.wait_all_tasks_blocked()  # its HEAD has said that there is none
                await trio.sleep(0.01)
                table = made.fs._table
                table.just_missing.add("f", float("inf"), trio.current_time())
                number = await made.written("f")
                gate.set()
            assert found == [number]

    run(test)


def test_deleting_needs_leave_and_a_file_that_is_complete() -> None:
    async def test() -> None:
        async with mount("f") as made:
            await fails(NotPermitted, made.fs.unlink(ROOT, b"f"))
        async with mount("f", "d/x", allow_delete=True) as made:
            await fails(IsADirectory, made.fs.unlink(ROOT, b"d"))
            await fails(NotFound, made.fs.unlink(ROOT, b"none"))
            _number, handle = await made.create("g")
            await fails(NotPermitted, made.fs.unlink(ROOT, b"g"))
            await made.fs.flush(handle, OPENER)
            await made.fs.unlink(ROOT, b"g")
            await made.make("h")
            await made.fs.unlink(ROOT, b"h")
            await made.number("f")
            before = made.bucket.requests.copy()
            await made.fs.unlink(ROOT, b"f")
            assert made.bucket.requests - before == {DELETE: 1}
            assert made.bucket.memory.keys == ["d/x"]
            made.bucket.put("z")
            made.bucket.failures[DELETE] = AccessDenied("no", status=403)
            await fails(AccessDenied, made.fs.unlink(ROOT, b"z"))
            made.bucket.failures.clear()
            await made.number("z")
            await made.fs.close(handle)

    run(test)


def test_renaming_and_linking_are_refused_in_words_that_programs_know() -> None:
    async def test() -> None:
        async with mount("f") as strict, mount("f", allow_delete=True) as free:
            assert isinstance(strict.fs.rename(ROOT, 0), NotPermitted)
            assert isinstance(free.fs.rename(ROOT, 0), CrossDevice)
            assert isinstance(free.fs.rename(ROOT, 1), CrossDevice)
            assert isinstance(free.fs.rename(ROOT, 2), InvalidArgument)
            assert isinstance(free.fs.rename(ROOT, 4), InvalidArgument)
            assert isinstance(free.fs.link("symlink", ROOT), NotPermitted)

    run(test)


def test_times_are_kept_for_what_is_pending_and_only_what_changes_something_is_refused() -> None:
    async def test() -> None:
        async with mount("f", uid=5, gid=6, allow_overwrite=True) as made:
            number, handle = await made.create("new")
            wanted = Wanted(access_ns=1, change_ns=2, mode=0o600, uid=9, size=1)
            found = await made.fs.setattr(number, wanted)
            assert (found.access_ns, found.time_ns, found.size) == (1, 2, 0)
            assert (stat.S_IMODE(found.mode), found.uid) == (0o644, 5)
            await made.fs.write(handle, 0, b"x")
            found = await made.fs.getattr(number)
            assert (found.access_ns, found.time_ns > 2, found.size) == (1, True, 1)
            await made.fs.flush(handle, OPENER)
            await fails(Unsettable, made.fs.setattr(number, Wanted(change_ns=2)))
            await made.fs.close(handle)

            old = await made.number("f")
            for change in (Wanted(mode=0o600), Wanted(uid=0), Wanted(gid=5), Wanted(size=0), Wanted(access_ns=1)):
                await fails(Unsettable, made.fs.setattr(old, change))
            same = Wanted(mode=stat.S_IFREG | 0o644, uid=5, gid=6, size=1)
            assert (await made.fs.setattr(old, same)).size == 1

    run(test)


def test_an_empty_file_that_was_given_a_size_is_not_put_off_at_close() -> None:
    async def test() -> None:
        async with mount() as made:
            number, handle = await made.create("f")
            await made.fs.setattr(number, Wanted(size=5))
            assert made.fs.flush_tells(handle)
            await fails(OutOfOrderWrite, made.fs.flush(handle, OPENER))
            await made.fs.close(handle)
            assert made.bucket.memory.keys == []

            number, handle = await made.create("g")
            await made.fs.setattr(number, Wanted(size=5))
            await made.fs.setattr(number, Wanted(size=0))
            await made.fs.flush(handle, OPENER)
            await made.fs.close(handle)
            assert made.content("g") == b""

    run(test)


def test_emptying_a_file_without_leave_is_told_once_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with mount("f") as made:
            number = await made.number("f")
            for _ in range(2):
                await fails(NotPermitted, made.fs.setattr(number, Wanted(size=0)))
            assert caplog.text.count("allow-overwrite") == 1

    run(test)


@pytest.mark.parametrize(
    ("flags", "error"),
    [
        (os.O_WRONLY | os.O_SYNC, InvalidArgument),
        (os.O_RDWR | os.O_DSYNC, InvalidArgument),
        (os.O_RDONLY | os.O_TRUNC, InvalidArgument),
        (os.O_WRONLY, NotPermitted),
        (os.O_WRONLY | os.O_APPEND, NotPermitted),
    ],
)
def test_opening_an_object_for_what_s3_can_not_do_is_refused(flags: int, error: type[EngineError]) -> None:
    async def test() -> None:
        async with mount("f", "d/x", allow_overwrite=True) as made:
            await fails(error, made.fs.open(await made.number("f"), flags))
            assert made.stats.uploads == 0
            await fails(IsADirectory, made.fs.open(await made.number("d"), os.O_WRONLY))

    run(test)
