"""S3Filesystem without a kernel: directories that are made, filled, emptied and removed."""

import os
import stat

import trio

from engine.errors import NotADirectory, NotEmpty, NotFound, NotPermitted, S3Error, Stale, Unsettable
from engine.fs.attributes import Wanted
from engine.namespace.lifetimes import DIRECTORY_SECONDS_MINIMAL
from engine.namespace.lookup import EMPTIED_SECONDS
from tests.unit.bucket import PUT
from tests.unit.test_write_filesystem import ROOT, fails, mount, run


def test_times_of_a_directory_are_kept_whether_it_is_in_s3_or_not() -> None:
    async def test() -> None:
        async with mount("old/x") as made:
            number = (await made.fs.mkdir(ROOT, b"new")).number
            await made.fs.setattr(number, Wanted(change_ns=2))
            await made.written("f", parent=number)
            assert (await made.fs.getattr(number)).time_ns == 2
            for directory in (ROOT, number, await made.number("old")):
                before = await made.fs.getattr(directory)
                found = await made.fs.setattr(directory, Wanted(change_ns=5))
                assert (found.time_ns, found.access_ns) == (5, before.access_ns)
                found = await made.fs.setattr(directory, Wanted(access_ns=7, mode=stat.S_IFDIR | 0o755))
                assert (found.time_ns, found.access_ns) == (5, 7)
                await fails(Unsettable, made.fs.setattr(directory, Wanted(mode=0o700)))
                await fails(Unsettable, made.fs.setattr(directory, Wanted(uid=3)))

    run(test)


def test_directories_made_here_become_s3s_with_the_first_object_in_them() -> None:
    async def test() -> None:
        async with mount(metadata_ttl="minimal") as made:
            outer = (await made.fs.mkdir(ROOT, b"a")).number
            inner = (await made.fs.mkdir(outer, b"b")).number
            await made.written("f", parent=inner)
            assert made.bucket.memory.keys == ["a/b/f"]
            await fails(NotPermitted, made.fs.rmdir(outer, b"b"))
            made.bucket.delete("a/b/f")
            await trio.sleep(2)
            await fails(NotFound, made.number("a"))
            await fails(Stale, made.fs.getattr(inner))

    run(test)


def test_a_directory_emptied_here_can_be_removed_for_a_while() -> None:
    async def test() -> None:
        async with mount("a/b/x", "a/b/y", "gone/x", allow_delete=True) as made:
            outer = await made.number("a")
            inner = await made.number("b", outer)
            await made.number("gone")
            await fails(NotEmpty, made.fs.rmdir(outer, b"b"))
            await made.fs.unlink(inner, b"x")
            await made.fs.unlink(inner, b"y")
            await trio.sleep(EMPTIED_SECONDS / 2)
            assert await made.number("b", outer) == inner
            await made.fs.rmdir(outer, b"b")
            await fails(NotFound, made.number("b", outer))
            await made.fs.rmdir(ROOT, b"a")
            made.bucket.delete("gone/x")
            await trio.sleep(2)
            await fails(NotFound, made.number("gone"))

        async with mount("a/x", allow_delete=True) as made:
            await made.fs.unlink(await made.number("a"), b"x")
            await trio.sleep(EMPTIED_SECONDS)
            await fails(NotFound, made.number("a"))

    run(test)


def test_what_is_made_in_a_new_directory_costs_no_lookups_as_long_as_it_is_believed_to_be_empty() -> None:
    """S111: so it is copied with one request a file."""

    async def test() -> None:
        async with mount(metadata_ttl=60) as made:
            await fails(NotFound, made.fs.lookup(ROOT, b"d"))
            directory = (await made.fs.mkdir(ROOT, b"d")).number
            inner = (await made.fs.mkdir(directory, b"inner")).number
            made.bucket.requests.clear()
            for parent, name in ((directory, "f"), (inner, "g"), (directory, "h")):
                await fails(NotFound, made.fs.lookup(parent, name.encode()))
                await made.written(name, parent=parent)
            assert made.bucket.requests == {PUT: 3}
            made.bucket.put("d/other")
            await fails(NotFound, made.fs.lookup(directory, b"other"))
            await trio.sleep(60)
            assert await made.number("other", directory)

    run(test)


def test_a_name_in_a_new_directory_that_was_forgotten_or_replaced_is_asked_of_s3() -> None:
    async def test() -> None:
        async with mount(metadata_ttl=60) as made:
            await fails(NotFound, made.fs.lookup(ROOT, b"d"))
            directory = (await made.fs.mkdir(ROOT, b"d")).number
            number = await made.written("f", parent=directory)
            made.fs.forget([(number, 1)])
            number = await made.number("f", directory)
            assert number
            made.bucket.put("d/f", b"newer")
            await fails(Stale, made.fs.open(number, os.O_RDONLY | os.O_DIRECT))
            assert await made.number("f", directory) != number

    run(test)


def test_removing_directories() -> None:
    async def test() -> None:
        async with mount("full/x", "marked/", "f") as made:
            await fails(NotADirectory, made.fs.rmdir(ROOT, b"f"))
            await fails(NotFound, made.fs.rmdir(ROOT, b"none"))
            for name in (b"full", b"marked"):
                await fails(NotPermitted, made.fs.rmdir(ROOT, name))
            directory = (await made.fs.mkdir(ROOT, b"d")).number
            _number, handle = await made.create("x", parent=directory)
            await fails(NotEmpty, made.fs.rmdir(ROOT, b"d"))
            made.bucket.failures[PUT] = S3Error("no", status=500)
            await made.fs.close(handle)
            made.bucket.requests.clear()
            await made.fs.rmdir(ROOT, b"d")
            assert not made.bucket.requests, "it was here only"
            await fails(NotFound, made.make("y", directory))
        async with mount("full/x", "marked/", allow_delete=True) as made:
            await fails(NotEmpty, made.fs.rmdir(ROOT, b"full"))
            await made.fs.rmdir(ROOT, b"marked")
            assert made.bucket.memory.keys == ["full/x"]

    run(test)


def test_a_directory_that_a_file_brought_to_s3_is_believed_as_long_as_any_directory() -> None:
    async def test() -> None:
        async with mount() as made:
            directory = (await made.fs.mkdir(ROOT, b"d")).number
            await made.written("f", parent=directory)
            made.bucket.requests.clear()
            found = await made.fs.getattr(directory)
            assert (found.valid, made.bucket.requests) == (DIRECTORY_SECONDS_MINIMAL, {})

    run(test)
