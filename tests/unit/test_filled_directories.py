"""S3Filesystem without a kernel: directories in which files are being made, with `metadata-ttl = minimal` (S143)."""

import pytest
import trio

from engine.errors import NotFound
from tests.unit.bucket import PUT
from tests.unit.test_write_filesystem import OPENER, ROOT, Mount, fails, mount, run


async def _found(made: Mount) -> tuple[int, int]:
    """The directories `a` and `a/b`."""
    above = await made.number("a")
    return above, await made.number("b", above)


def test_directories_are_not_asked_for_while_files_are_made_in_them() -> None:
    """S143: an object that S3 has taken shows that its directories are there."""

    async def test() -> None:
        async with mount("a/b/x") as made:
            above, below = await _found(made)
            for name in ("f", "g", "h"):
                await made.written(name, parent=below)
                await trio.sleep(0.9)
                before = made.bucket.requests.total()
                assert await _found(made) == (above, below)
                assert (await made.fs.getattr(below)).number == below
                assert made.bucket.requests.total() == before

    run(test)


def test_a_directory_that_was_filled_is_believed_for_a_second_from_when_s3_was_asked_to_take_the_object() -> None:
    """S143: and no longer."""

    async def test() -> None:
        async with mount("a/b/x") as made:
            _above, below = await _found(made)
            await trio.sleep(5)
            await made.written("f", parent=below)
            made.bucket.delete("a/b/x")
            made.bucket.delete("a/b/f")
            await trio.sleep(0.9)
            assert (await made.fs.lookup(ROOT, b"a")).valid == pytest.approx(0.1)
            await trio.sleep(0.2)
            await fails(NotFound, made.number("a"))

    run(test)


def test_a_directory_is_asked_for_when_s3_took_long_to_take_the_object() -> None:
    async def test() -> None:
        async with mount("a/b/x") as made:
            _above, below = await _found(made)
            _number, handle = await made.create("f", parent=below)
            await made.fs.write(handle, 0, b"x")
            made.bucket.gates[PUT] = gate = trio.Event()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(made.fs.flush, handle, OPENER)
                await trio.sleep(1.5)
                gate.set()
            await made.fs.close(handle)
            made.bucket.delete("a/b/x")
            made.bucket.delete("a/b/f")
            await fails(NotFound, made.number("a"))

    run(test)


def test_a_directory_is_asked_for_when_something_in_it_was_deleted_here_after_it_was_filled() -> None:
    async def test() -> None:
        async with mount("a/b/x", allow_delete=True) as made:
            above, below = await _found(made)
            await made.written("f", parent=below)
            await trio.sleep(0.1)
            await made.fs.unlink(below, b"f")
            before = made.bucket.requests.total()
            assert await made.number("a") == above
            assert made.bucket.requests.total() > before

    run(test)


def test_with_a_ttl_a_directory_that_was_filled_is_believed_anew() -> None:
    async def test() -> None:
        async with mount("a/b/x", metadata_ttl=60) as made:
            above, below = await _found(made)
            await trio.sleep(50)
            await made.written("f", parent=below)
            await trio.sleep(50)
            before = made.bucket.requests.total()
            assert await _found(made) == (above, below)
            assert made.bucket.requests.total() == before

    run(test)
