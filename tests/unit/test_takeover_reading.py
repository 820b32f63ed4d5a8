"""Who reads a file when its engine is succeeded: whom that excludes from writing it, and who may read on."""

import os

from engine.errors import BadHandle, NotPermitted, Stale
from tests.unit.test_write_filesystem import OPENER, REPLACE, fails, run
from tests.unit.test_write_takeover import dying, successor


def test_a_reader_that_reads_on_after_a_takeover_excludes_writers() -> None:
    """S67: else what it reads would lie among the kernel's pages of the next version, which has the same inode."""

    async def test() -> None:
        async with dying("f") as first:
            number = await first.number("f")
            reader = (await first.fs.open(number, os.O_RDONLY)).handle
        async with successor(first) as second:
            assert bytes(await second.fs.read(reader, 0, 10)) == b"f"
            await fails(NotPermitted, second.fs.open(number, REPLACE, OPENER))
            await second.fs.flush(reader, OPENER)
            second.fs.release(reader)
            writer = (await second.fs.open(number, REPLACE, OPENER)).handle
            await second.fs.close(writer)
            assert second.stats.open_files == 0

    run(test)


def test_a_reader_that_reads_on_when_the_file_was_opened_for_writing_is_refused() -> None:
    """Of a reader that was opened when the engine died the kernel may not know: it must be in nobody's way for good."""

    async def test() -> None:
        async with dying("f") as first:
            number = await first.number("f")
            reader = (await first.fs.open(number, os.O_RDONLY)).handle
        async with successor(first) as second:
            writer = (await second.fs.open(number, REPLACE, OPENER)).handle
            await fails(BadHandle, second.fs.read(reader, 0, 10))
            await second.fs.close(writer)

    run(test)


def test_a_reader_excludes_writers_after_a_handover_though_it_does_not_read_on() -> None:
    """S112."""

    async def test() -> None:
        async with dying("f", "g") as first:
            numbers = [await first.number(name) for name in ("f", "g")]
            readers = [(await first.fs.open(number, os.O_RDONLY)).handle for number in numbers]
            await first.fs.flush(readers[1], OPENER)
            await first.fs.leave()
        async with successor(first) as second:
            await fails(NotPermitted, second.fs.open(numbers[0], REPLACE, OPENER))
            writer = (await second.fs.open(numbers[1], REPLACE, OPENER)).handle
            await second.fs.close(writer)

    run(test)


def test_a_reader_that_was_overridden_stays_so() -> None:
    async def test() -> None:
        async with dying("f") as first:
            number = await first.number("f")
            reader = (await first.fs.open(number, os.O_RDONLY)).handle
            await first.fs.flush(reader, OPENER)  # one of two descriptors
            writer = (await first.fs.open(number, REPLACE, OPENER)).handle
            await first.fs.write(writer, 0, b"new")
            await first.fs.flush(writer, OPENER)
        async with successor(first) as second:
            await fails(Stale, second.fs.read(reader, 0, 10))
        # Written down as it was, and as it is written down anew.
        assert all(reader not in found.bequest().files for found in (first.fs, second.fs))

    run(test)


def test_a_reader_of_a_version_that_was_replaced_by_others_is_in_nobodys_way_and_stays_what_it_is() -> None:
    """S24, for fstat(2), too."""

    async def test() -> None:
        async with dying("f") as first:
            old = await first.number("f")
            reader = (await first.fs.open(old, os.O_RDONLY)).handle
            first.bucket.put("f", b"theirs")
            number = await first.number("f")
        async with successor(first) as second:
            assert bytes(await second.fs.read(reader, 0, 10)) == b"f"
            assert (await second.fs.getattr(old)).size == 1
            writer = (await second.fs.open(number, REPLACE, OPENER)).handle
            await second.fs.close(writer)
            second.fs.release(reader)

    run(test)
