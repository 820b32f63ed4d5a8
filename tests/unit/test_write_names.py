"""S3Filesystem without a kernel: what becomes of names when files and directories are made, removed and replaced, here
and by others at the same time. (Who may open and write what: test_write_filesystem.py.)
"""

import itertools
import stat

import pytest
import trio

from engine.errors import NotFound, NotPermitted
from tests.unit.test_write_filesystem import ROOT, fails, mount, run


def test_a_directory_in_s3_needs_leave_to_be_removed_even_while_something_is_written_in_it() -> None:
    async def test() -> None:
        async with mount("d/x") as made:
            _number, handle = await made.create("y", parent=await made.number("d"))
            await fails(NotPermitted, made.fs.rmdir(ROOT, b"d"))
            await made.fs.close(handle)

    run(test)


@pytest.mark.parametrize("negative", [None, 60])
def test_a_file_comes_back_when_the_directory_that_hid_it_was_removed_here(negative: int | None) -> None:
    """S5: whatever is believed of names that are missing."""

    async def test() -> None:
        async with mount("a", "a/", allow_delete=True, metadata_ttl=60, negative_metadata_ttl=negative) as made:
            before = await made.number("a")
            await made.fs.rmdir(ROOT, b"a")
            found = await made.fs.lookup(ROOT, b"a")
            assert stat.S_ISREG(found.mode)
            assert found.number != before

    run(test)


def test_what_is_in_s3_by_the_name_of_a_deleted_file_is_seen_at_once() -> None:
    async def test() -> None:
        async with mount("a", allow_delete=True, metadata_ttl=60) as made:
            await made.number("a")
            made.bucket.put("a/x")
            await made.fs.unlink(ROOT, b"a")
            assert stat.S_ISDIR((await made.fs.lookup(ROOT, b"a")).mode)

    run(test)


@pytest.mark.parametrize("ttl", ["minimal", 60])
def test_a_file_made_after_a_directory_was_listed_is_not_replaced_by_what_the_listing_had(ttl: int | str) -> None:
    """S78: a directory in S3 hides it, but not one that was there before."""

    async def test() -> None:
        async with mount("a", "b/x", "c/x", metadata_ttl=ttl) as made:
            reading = made.fs.opendir(ROOT)
            position = next(itertools.islice(await made.fs.readdir(reading, 2), 1)).position
            await trio.sleep(0.01)
            made.bucket.delete("b/x")
            made.bucket.delete("c/x")
            number, handle = await made.create("b")
            directory = (await made.fs.mkdir(ROOT, b"c")).number
            listed = [entry.attributes.number for entry in await made.fs.readdir(reading, position)]
            assert listed == [number, directory]
            assert await made.number("b") == number
            assert await made.names() == ["a", "b", "c"]
            await made.fs.close(handle)

    run(test)


def test_a_name_deleted_after_it_was_listed_is_not_brought_back_by_the_listing() -> None:
    """S11: with `metadata-ttl` it would be believed for as long as that."""

    async def test() -> None:
        async with mount("a", "b", "c/", "d", allow_delete=True, metadata_ttl=60) as made:
            reading = made.fs.opendir(ROOT)
            position = next(itertools.islice(await made.fs.readdir(reading, 2), 1)).position
            await made.number("b")
            await made.fs.unlink(ROOT, b"b")
            await made.fs.rmdir(ROOT, b"c")
            assert [entry.name for entry in await made.fs.readdir(reading, position)] == [b"d"]
            await fails(NotFound, made.number("b"))
            await fails(NotFound, made.number("c"))

            await made.fs.unlink(ROOT, b"d")
            assert list(await made.fs.readdir(reading, position)) == []
            made.bucket.put("d")
            made.fs.releasedir(reading)
            assert await made.names() == ["a", "d"], "others made it since"

    run(test)


def test_a_file_that_was_believed_missing_while_a_directory_had_its_name_is_found_when_it_is_closed() -> None:
    """S32: a program's own file is never believed to be missing, nor is the directory that it is in."""

    async def test() -> None:
        async with mount("d/x", metadata_ttl=60) as made:
            _number, file = await made.create("f")
            directory = await made.number("d")
            _number, inner = await made.create("f", parent=directory)
            made.bucket.put("f/x")
            await trio.sleep(1)
            hides = await made.number("f")
            made.bucket.delete("f/x")
            made.bucket.delete("d/x")
            made.fs.forget([(hides, 1), (directory, 1)])
            for name in ("f", "d"):
                await fails(NotFound, made.number(name))

            for handle in (file, inner):
                await made.fs.close(handle)

            assert stat.S_ISREG((await made.fs.lookup(ROOT, b"f")).mode)
            assert stat.S_ISDIR((await made.fs.lookup(ROOT, b"d")).mode)

    run(test)
