"""What becomes of writers, names and uploads when their engine dies: S3Filesystem and its successor, without a kernel.

An engine "dies" when its requests are cancelled and nobody asks it any more; its successor gets what it wrote down.
"""

import contextlib
import json
import os
from binascii import b2a_base64
from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import (
    AccessDenied,
    EngineError,
    NameTaken,
    NotFound,
    S3Error,
    Stale,
    UploadCompleted,
    UploadFailed,
)
from engine.fs.ledger import Record, parsed
from engine.s3.interface import UploadOptions
from engine.spec import MiB
from engine.write.orphans import LOOK_AGAIN_SECONDS, RETRY_SECONDS_MIN
from tests.unit.bucket import ABORT, COMPLETE, CREATE, HEAD, PART, PUT
from tests.unit.journal_kinds import KINDS
from tests.unit.test_write_filesystem import NEW, OPENER, REPLACE, ROOT, Mount, fails, run

PART_BYTES = 5 * MiB


@contextlib.asynccontextmanager
async def dying(*keys: str, before: Mount | None = None, generation: int = 0) -> AsyncIterator[Mount]:
    """An engine that is dead on leaving: nothing of it runs any more, and nothing was cleaned up."""
    async with trio.open_nursery() as nursery:
        made = Mount(
            nursery,
            *keys,
            before=before,
            generation=generation,
            allow_overwrite=True,
            allow_delete=True,
            write_part_size=PART_BYTES,
        )
        made.bucket.memory.part_bytes_min = 1
        yield made
        made.fs.ledger.flush()
        for upload in made.uploader._open:
            upload._beginning_scope.shield = False  # a death waits for nothing
        nursery.cancel_scope.cancel()
    made.arena.close()


@contextlib.asynccontextmanager
async def successor(before: Mount, generation: int = 1) -> AsyncIterator[Mount]:
    before.bucket.gates.clear()
    async with dying(before=before, generation=generation) as made:
        yield made


def test_a_new_file_is_gone_its_handle_fails_and_its_name_is_free() -> None:
    async def test() -> None:
        async with dying() as first:
            number, handle = await first.create("f")
            await first.fs.write(handle, 0, b"half")
        async with successor(first) as second:
            for _ in range(2):
                await fails(UploadFailed, second.fs.write(handle, 4, b"x"))
                await fails(UploadFailed, second.fs.fsync(handle))
                await fails(UploadFailed, second.fs.flush(handle, OPENER))
            await fails(NotFound, second.number("f"))
            await fails(Stale, second.fs.open(number, NEW))
            assert await second.names() == []
            await second.written("f", b"again")
            await second.fs.close(handle)
            assert second.content("f") == b"again"
            assert second.stats.open_files == 0

    run(test)


def test_an_object_that_was_to_be_replaced_is_what_it_was_and_others_may_open_it() -> None:
    async def test() -> None:
        async with dying("f") as first:
            handle = (await first.fs.open(await first.number("f"), REPLACE, OPENER)).handle
            await first.fs.write(handle, 0, b"half")
        async with successor(first) as second:
            number = await second.number("f")
            assert (await second.fs.getattr(number)).size == 1
            reader = (await second.fs.open(number, os.O_RDONLY)).handle
            assert bytes(await second.fs.read(reader, 0, 10)) == b"f"
            second.fs.release(reader)
            writer = (await second.fs.open(number, REPLACE, OPENER)).handle
            await fails(UploadFailed, second.fs.flush(handle, OPENER))
            await second.fs.write(writer, 0, b"whole")
            await second.fs.flush(writer, OPENER)
            assert second.content("f") == b"whole"

    run(test)


def test_a_deferred_upload_is_lost_and_the_log_names_it_once(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with dying() as first:
            _number, handle = await first.create("f")
            await first.fs.flush(handle, OPENER)  # empty: for the last descriptor
        async with successor(first) as second:
            await second.fs.close(handle)
        async with successor(second, 2):
            pass
        assert first.bucket.memory.keys == []
        assert caplog.text.count("'f'") == 1

    run(test)


@pytest.mark.parametrize("by", ["fsync", "flush"])
def test_a_file_that_is_complete_in_s3_has_lost_nothing(by: str) -> None:
    async def test() -> None:
        async with dying() as first:
            number, handle = await first.create("f")
            await first.fs.write(handle, 0, b"whole")
            await (first.fs.fsync(handle) if by == "fsync" else first.fs.flush(handle, OPENER))
        for generation in (1, 2):
            async with successor(first, generation) as second:
                await second.fs.flush(handle, OPENER)
                await second.fs.fsync(handle)
                await fails(UploadCompleted, second.fs.write(handle, 5, b"x"))
                assert await second.number("f") == number
                assert second.bucket.requests[PUT] == 1
            first = second

    run(test)


@pytest.mark.parametrize(("size", "operation"), [(10, PUT), (2 * PART_BYTES + 1, COMPLETE)])
@pytest.mark.parametrize("done", [True, False])
def test_an_object_whose_making_was_not_answered_counts_if_it_is_there(size: int, operation: str, done: bool) -> None:
    async def test() -> None:
        async with trio.open_nursery() as nursery, dying("f") as first:
            handle = (await first.fs.open(await first.number("f"), REPLACE, OPENER)).handle
            for start in range(0, size, MiB):
                await first.fs.write(handle, start, bytes(min(MiB, size - start)))
            if done:
                make = first.bucket.memory
                first.bucket.memory = _Silent(make, operation)  # type: ignore[assignment]
            else:
                first.bucket.gates[operation] = trio.Event()
            nursery.start_soon(first.fs.flush, handle, OPENER)
            with trio.move_on_after(1):
                await trio.sleep_forever()
            nursery.cancel_scope.cancel()
        if done:
            first.bucket.memory = make
        async with successor(first) as second:
            if done:
                await second.fs.flush(handle, OPENER)
                await fails(UploadCompleted, second.fs.write(handle, size, b"x"))
            else:
                await fails(UploadFailed, second.fs.flush(handle, OPENER))
                await fails(UploadFailed, second.fs.write(handle, size, b"x"))
            await second.fs.close(handle)
            assert second.content("f") == (bytes(size) if done else b"f")
            assert second.bucket.memory.uploads == []

    run(test)


_CALLS = {PUT: "put_object", COMPLETE: "complete_multipart_upload", CREATE: "create_multipart_upload"}


class _Silent:
    """A store that does what it is asked and never answers one operation."""

    def __init__(self, memory: object, operation: str) -> None:
        self._memory = memory
        self._silent = _CALLS[operation]

    def __getattr__(self, name: str) -> object:
        call = getattr(self._memory, name)
        if name != self._silent:
            return call

        async def never(*args: object, **options: object) -> None:
            await call(*args, **options)
            await trio.sleep_forever()

        return never


def test_while_s3_can_not_say_whether_the_object_is_there_the_program_is_told_so_and_may_ask_again() -> None:
    async def test() -> None:
        async with trio.open_nursery() as nursery, dying() as first:
            _number, handle = await first.create("f")
            await first.fs.write(handle, 0, b"x")
            first.bucket.memory = _Silent(memory := first.bucket.memory, PUT)  # type: ignore[assignment]
            nursery.start_soon(first.fs.flush, handle, OPENER)
            with trio.move_on_after(1):
                await trio.sleep_forever()
            nursery.cancel_scope.cancel()
        first.bucket.memory = memory
        async with successor(first) as second:
            second.bucket.failures[HEAD] = S3Error("no", status=500)
            await fails(UploadFailed, second.fs.flush(handle, OPENER))
            second.bucket.failures.clear()
            await second.fs.flush(handle, OPENER)

    run(test)


def test_multipart_uploads_are_aborted_by_the_successor() -> None:
    async def test() -> None:
        async with dying() as first:
            for name in "abcdef":
                _number, handle = await first.create(name)
                for start in range(0, PART_BYTES + MiB, MiB):
                    await first.fs.write(handle, start, bytes(MiB))
            with trio.move_on_after(1):
                await trio.sleep_forever()
            assert first.bucket.requests[PART] == len(first.bucket.memory.uploads) == 6
        async with successor(first) as second:
            with trio.move_on_after(1):
                await trio.sleep_forever()
            assert second.bucket.memory.uploads == []
            assert second.bucket.requests[ABORT] == 6
            second.fs.ledger.flush()
        async with successor(second, 2) as third:
            with trio.move_on_after(1):
                await trio.sleep_forever()
            assert third.bucket.requests[ABORT] == 6, "it was told that nothing is left"

    run(test)


def test_an_upload_is_written_down_before_its_first_part_is_sent() -> None:
    async def test() -> None:
        async with dying() as first:
            first.bucket.gates[PART] = trio.Event()
            _number, handle = await first.create("f")
            for start in range(0, PART_BYTES + MiB, MiB):
                await first.fs.write(handle, start, bytes(MiB))
            with trio.move_on_after(1):
                await trio.sleep_forever()
            assert first.bucket.requests[PART] == 1
            assert ["upload", "upload-1", "f"] in parsed(first.records)

    run(test)


def test_an_abort_that_s3_refuses_is_tried_again_and_told_once(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with dying() as first:
            _number, handle = await first.create("f")
            for start in range(0, PART_BYTES + MiB, MiB):
                await first.fs.write(handle, start, bytes(MiB))
            with trio.move_on_after(1):
                await trio.sleep_forever()
        async with successor(first) as second:
            second.bucket.failures[ABORT] = AccessDenied("no", status=403)
            with trio.move_on_after(RETRY_SECONDS_MIN * 4):
                await trio.sleep_forever()
            assert second.bucket.requests[ABORT] == 3
            assert caplog.text.count("still in S3") == 1
            assert second.fs.bequest().uploads == {"upload-1": "f"}
        async with successor(second, 2) as third:
            third.bucket.failures.clear()
            with trio.move_on_after(1):
                await trio.sleep_forever()
            assert third.bucket.memory.uploads == []
            assert third.fs.bequest().uploads == {}

    run(test)


@pytest.mark.parametrize("late", [False, True])
def test_an_upload_whose_beginning_was_not_answered_is_found_and_aborted(late: bool) -> None:
    async def test() -> None:
        async with dying() as first:
            first.bucket.memory = _Silent(memory := first.bucket.memory, CREATE)  # type: ignore[assignment]
            first.bucket.gates[CREATE] = gate = trio.Event()
            _number, handle = await first.create("f")
            for start in range(0, PART_BYTES + MiB, MiB):
                await first.fs.write(handle, start, bytes(MiB))
            if not late:
                gate.set()
            with trio.move_on_after(1):
                await trio.sleep_forever()
        first.bucket.memory = memory
        await memory.create_multipart_upload("f2", upload=UploadOptions())
        async with successor(first) as second:
            with trio.move_on_after(1):
                await trio.sleep_forever()
            if late:
                await memory.create_multipart_upload("f", upload=UploadOptions())
                with trio.move_on_after(LOOK_AGAIN_SECONDS):
                    await trio.sleep_forever()
            assert [upload.key for upload in memory.uploads] == ["f2"]
            assert second.fs.bequest().asked == {}

    run(test)


def test_an_upload_that_may_be_somebody_elses_is_not_aborted() -> None:
    async def test() -> None:
        async with dying() as first:
            first.bucket.memory = _Silent(memory := first.bucket.memory, CREATE)  # type: ignore[assignment]
            _number, handle = await first.create("f")
            for start in range(0, PART_BYTES + MiB, MiB):
                await first.fs.write(handle, start, bytes(MiB))
            with trio.move_on_after(1):
                await trio.sleep_forever()
        first.bucket.memory = memory
        await memory.create_multipart_upload("f", upload=UploadOptions())
        async with successor(first) as second:
            with trio.move_on_after(LOOK_AGAIN_SECONDS * 2):
                await trio.sleep_forever()
            assert len(memory.uploads) == 2
            assert second.bucket.requests[ABORT] == 0
            assert second.fs.bequest().asked == {}

    run(test)


@pytest.mark.parametrize("answered", [True, False])
def test_an_upload_that_is_begun_with_the_key_of_one_that_is_looked_for_lives(answered: bool) -> None:
    async def test() -> None:
        async with dying() as first:
            first.bucket.gates[CREATE] = trio.Event()  # S3 never begins it
            _number, handle = await first.create("f")
            for start in range(0, PART_BYTES + MiB, MiB):
                await first.fs.write(handle, start, bytes(MiB))
            with trio.move_on_after(1):
                await trio.sleep_forever()
        async with successor(first) as second:
            await fails(UploadFailed, second.fs.flush(handle, OPENER))
            await second.fs.close(handle)
            if not answered:
                second.bucket.answers[CREATE] = answer = trio.Event()
            _number, handle = await second.create("f")
            for start in range(0, PART_BYTES + MiB, MiB):
                await second.fs.write(handle, start, bytes(MiB))
            with trio.move_on_after(LOOK_AGAIN_SECONDS * 3):
                await trio.sleep_forever()
            assert [upload.key for upload in second.bucket.memory.uploads] == ["f"]
            if not answered:
                assert list(second.fs.bequest().asked) == ["f"]
                answer.set()
            await second.fs.flush(handle, OPENER)
            assert second.content("f") == bytes(PART_BYTES + MiB)
            assert second.bucket.requests[ABORT] == 0
            with trio.move_on_after(LOOK_AGAIN_SECONDS * 2):
                await trio.sleep_forever()
            assert second.fs.bequest().asked == {}

    run(test)


def test_complete_and_failed_uploads_leave_nothing_to_abort() -> None:
    async def test() -> None:
        async with dying() as first:
            for name, failure in (("good", None), ("bad", S3Error("no", status=500))):
                _number, handle = await first.create(name)
                for start in range(0, PART_BYTES + MiB, MiB):
                    await first.fs.write(handle, start, bytes(MiB))
                if failure is not None:
                    first.bucket.failures[COMPLETE] = failure
                    await fails(UploadFailed, first.fs.flush(handle, OPENER))
                else:
                    await first.fs.flush(handle, OPENER)
            assert first.bucket.requests[CREATE] == 2
            assert first.fs.bequest().uploads == {}

    run(test)


def test_directories_and_files_that_are_here_only_stay_and_can_be_used() -> None:
    async def test() -> None:
        async with dying() as first:
            directory = (await first.fs.mkdir(ROOT, b"d")).number
            number = await first.make("f", directory)
        async with successor(first) as second:
            assert await second.names() == ["d"]
            assert await second.names(directory) == ["f"]
            assert await second.number("d") == directory
            assert await second.number("f", directory) == number
            handle = (await second.fs.open(number, NEW, OPENER)).handle
            await second.fs.write(handle, 0, b"x")
            await second.fs.flush(handle, OPENER)
            assert second.content("d/f") == b"x"
            second.fs.ledger.flush()
        async with successor(second, 2) as third:
            assert third.fs.bequest().pending == set(), "both are in S3 since"

    run(test)


def test_making_again_what_was_made_and_not_answered_succeeds_once() -> None:
    async def test() -> None:
        async with dying() as first:
            made = (await first.fs.mkdir(ROOT, b"d")).number, await first.make("f")
        async with successor(first) as second:
            assert ((await second.fs.mkdir(ROOT, b"d")).number, await second.make("f")) == made
            await fails(NameTaken, second.fs.mkdir(ROOT, b"d"))
            await fails(NameTaken, second.make("f"))
        async with successor(first) as second:
            await fails(NameTaken, second.make("d"))
            await fails(NameTaken, second.fs.mkdir(ROOT, b"f"))
        async with successor(first) as second:
            assert [await second.number("d"), await second.number("f")] == list(made)
            await fails(NameTaken, second.fs.mkdir(ROOT, b"d"))
            await fails(NameTaken, second.make("f"))

    run(test)


def test_removing_again_what_was_removed_and_not_answered_succeeds_once() -> None:
    async def test() -> None:
        async with dying("old", "e/x") as first:
            directory, number = (await first.fs.mkdir(ROOT, b"d")).number, await first.make("f")
            old, emptied = await first.number("old"), await first.number("e")
            await first.fs.unlink(emptied, b"x")
            await first.fs.rmdir(ROOT, b"d")
            await first.fs.rmdir(ROOT, b"e")
            await first.fs.unlink(ROOT, b"f")
            await first.fs.unlink(ROOT, b"old")
        async with successor(first) as second:
            await second.fs.rmdir(ROOT, b"d")
            await second.fs.rmdir(ROOT, b"e")
            await second.fs.unlink(ROOT, b"f")
            await second.fs.unlink(ROOT, b"old")
            for name in (b"f", b"old"):
                await fails(NotFound, second.fs.unlink(ROOT, name))
            for name in (b"d", b"e"):
                await fails(NotFound, second.fs.rmdir(ROOT, name))
        async with successor(first) as second:
            second.fs.forget([(directory, 1), (number, 1), (old, 1), (emptied, 1)])  # it was answered
            await fails(NotFound, second.fs.unlink(ROOT, b"f"))
            await fails(NotFound, second.fs.rmdir(ROOT, b"d"))

    run(test)


def test_opening_and_closing_again_do_no_harm() -> None:
    async def test() -> None:
        async with dying("f") as first:
            number = await first.number("f")
            first_time = (await first.fs.open(number, os.O_RDONLY)).handle
        async with successor(first) as second:
            again = (await second.fs.open(number, os.O_RDONLY)).handle
            assert again != first_time
            for handle in (again, again):
                second.fs.release(handle)
            assert second.stats.open_files == 1
            writer = (await second.fs.open(number, REPLACE, OPENER)).handle
            for _ in range(2):
                await second.fs.close(writer)
            assert second.content("f") == b""

    run(test)


def test_what_was_closed_is_completed_when_the_engine_ends_and_what_is_open_is_given_up() -> None:
    async def test() -> None:
        async with dying() as first:
            for name in ("closed", "open"):
                _number, handle = await first.create(name)
                if name == "closed":
                    await first.fs.flush(handle, OPENER)  # empty: for the last descriptor
            await first.fs.drain()
            await first.uploader.aclose()
            assert first.bucket.memory.keys == ["closed"]

    run(test)


_JSON: Any = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=9)
    | st.sampled_from([1, 2, 3, "f", "d/f"]),
    lambda inner: st.lists(inner, max_size=6),
    max_leaves=12,
)
_KINDS = st.sampled_from((*KINDS, "unheard-of"))
_OBJECT = st.none() | st.binary(max_size=40).map(lambda packed: b2a_base64(packed).decode()) | _JSON
_RECORDS = st.lists(
    st.builds(lambda kind, rest: [kind, *rest], _KINDS, st.lists(_JSON, max_size=6))
    | st.builds(lambda *fields: ["inode", *fields], st.integers(-3, 5), st.sampled_from(["", "f", "d", "d/f"]), _OBJECT)
    | st.builds(lambda kind, number: [kind, number], _KINDS, st.integers(-3, 5))
    | st.builds(lambda handle: ["writing", handle, 3, "f", 0], st.integers(-3, 5)),
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(_RECORDS)
def test_whatever_was_written_down_a_successor_serves(records: list[Record]) -> None:
    async def test() -> None:
        async with dying("f") as first:
            first.records[:] = map(json.dumps, records)
        async with successor(first) as second:
            await second.written("new")
            reader = (await second.fs.open(await second.number("new"), os.O_RDONLY)).handle
            assert bytes(await second.fs.read(reader, 0, 10)) == b"new"
            assert (await second.fs.getattr(ROOT)).number == ROOT
            assert "new" in await second.names()
            for handle in range(-3, 6):
                with contextlib.suppress(EngineError):
                    await second.fs.flush(handle, OPENER)
                await second.fs.close(handle)
            assert second.fs.bequest().inodes

    run(test)
