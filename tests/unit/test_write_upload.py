"""An upload from its first byte to its object, or to nothing: requests, order, failures, memory."""

import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import trio
import trio.testing

from engine.arena import Arena
from engine.errors import (
    AccessDenied,
    EngineError,
    FileTooBig,
    InvalidArgument,
    NoSuchKey,
    OutOfOrderWrite,
    S3Error,
    TooManyWriters,
    UploadCompleted,
    UploadFailed,
)
from engine.s3.checksums import checksum_of
from engine.spec import MiB, MountSpec
from engine.stats import EngineStats
from engine.write.orphans import RETRY_SECONDS_MIN
from engine.write.part import Part
from engine.write.plan import PartPlan
from engine.write.upload import ABORT_SECONDS_MAX, PARTS_IN_FLIGHT_MAX, Upload
from engine.write.uploader import Uploader
from engine.write.version import ASK_SECONDS_MAX
from tests.unit.bucket import ABORT, COMPLETE, CREATE, HEAD, PART, PUT, Bucket

PIECE = 128 * 1024


class Writing:
    """An uploader over a bucket in memory. Parts are 5 MiB unless told."""

    def __init__(
        self,
        nursery: trio.Nursery,
        *,
        memory: int = 64,
        plan: PartPlan | None = None,
        bucket: Bucket | None = None,
        **options: Any,
    ):
        self.bucket = bucket or Bucket()
        self.bucket.memory.part_bytes_min = 1
        self.stats = EngineStats()
        self.arena = Arena(memory * MiB)
        spec = MountSpec(
            name="m", bucket="bucket", mountpoint="/mnt", memory_target=memory, write_part_size=5 * MiB, **options
        )
        self.uploader = Uploader(self.bucket, self.arena, nursery, spec=spec, stats=self.stats, plan=plan)

    def start(self, key: str = "f") -> Upload:
        return self.uploader.start(key, self.uploader.reserve())

    def content(self, key: str = "f") -> bytes:
        return self.bucket.memory.stored(key).data

    @property
    def left(self) -> tuple[int, int, int]:
        """What must be nothing in the end: slots, multipart uploads, uploads."""
        return self.arena.in_use, len(self.bucket.memory.uploads), self.stats.uploads


@contextlib.asynccontextmanager
async def writing(**options: Any) -> AsyncIterator[Writing]:
    async with trio.open_nursery() as nursery:
        made = Writing(nursery, **options)
        try:
            yield made
        finally:
            await made.uploader.aclose()
            assert made.left == (0, 0, 0)
            made.arena.close()
        nursery.cancel_scope.cancel()


async def put_all(upload: Upload, data: bytes, piece: int = PIECE) -> None:
    for start in range(0, len(data), piece):
        chunk = data[start : start + piece]
        assert await upload.write(upload.size, chunk) == len(chunk)
        await trio.lowlevel.checkpoint()  # as there is one before each request of the kernel


def run(test: Callable[[], Awaitable[None]]) -> None:
    trio.run(test, clock=trio.testing.MockClock(autojump_threshold=0))


@pytest.mark.parametrize("size", [0, 1, MiB, MiB + 1, 5 * MiB])
def test_what_fits_a_part_is_one_put(size: int) -> None:
    async def test() -> None:
        data = random.Random(size).randbytes(size)
        async with writing() as made:
            upload = made.start()
            await put_all(upload, data)
            assert made.bucket.requests == {}
            assert made.stats.uploads == 1
            done = await upload.complete()
            assert (done.key, done.size) == ("f", size)
            assert done.etag == made.bucket.memory.stored("f").info.etag
            assert made.content() == data
            assert made.bucket.requests == {PUT: 1}
            assert made.stats.bytes_written == size

    run(test)


@pytest.mark.parametrize("algorithm", ["crc32c", "crc64nvme", "off"])
@pytest.mark.parametrize("size", [5 * MiB + 1, 10 * MiB, 33 * MiB + 7])
def test_more_is_a_multipart_upload_begun_with_the_first_full_part(size: int, algorithm: str) -> None:
    async def test() -> None:
        data = random.Random(size).randbytes(size)
        async with writing(upload_checksums=algorithm) as made:
            upload = made.start()
            await put_all(upload, data[: 5 * MiB])
            await trio.testing.wait_all_tasks_blocked()
            assert made.bucket.requests == {}, "it may be the end"
            await put_all(upload, data[5 * MiB :], piece=MiB)
            with pytest.raises(NoSuchKey):
                made.bucket.memory.stored("f")
            assert (await upload.complete()).size == size
            assert made.content() == data
            assert made.bucket.requests == {CREATE: 1, PART: -(-size // (5 * MiB)), COMPLETE: 1, HEAD: 1}

    run(test)


class OtherEtags(Bucket):
    """Answers a completion with an ETag that the object does not have, as `rclone serve s3` does."""

    async def complete_multipart_upload(self, *args: Any, **options: Any) -> str:
        return f"{await super().complete_multipart_upload(*args, **options)}-of-parts"


@pytest.mark.parametrize(("bucket", "heads"), [(Bucket, 1), (OtherEtags, 3)])
def test_of_what_is_made_of_parts_the_etag_is_asked_for_until_s3_has_meant_what_it_said(
    bucket: type[Bucket], heads: int
) -> None:
    """One HEAD an engine where it does; a file that was written can be read by the ETag that it has then."""

    async def test() -> None:
        async with writing(bucket=bucket()) as made:
            for key in ("a", "b", "c"):
                upload = made.start(key)
                await put_all(upload, b"x" * (6 * MiB), piece=MiB)
                assert (await upload.complete()).etag == made.bucket.memory.stored(key).info.etag
            assert made.bucket.requests[HEAD] == heads

    run(test)


@pytest.mark.parametrize(("error", "heads"), [(AccessDenied("no", status=403), 1), (S3Error("away", status=503), 2)])
def test_an_etag_that_can_not_be_asked_for_is_what_s3_said(error: EngineError, heads: int) -> None:
    async def test() -> None:
        async with writing() as made:
            made.bucket.failures[HEAD] = error
            for key in ("a", "b"):
                upload = made.start(key)
                await put_all(upload, b"x" * (6 * MiB), piece=MiB)
                assert (await upload.complete()).etag == made.bucket.memory.stored(key).info.etag
            assert made.bucket.requests[HEAD] == heads

    run(test)


def test_an_etag_that_is_not_told_in_time_is_what_s3_said() -> None:
    async def test() -> None:
        async with writing() as made:
            made.bucket.gates[HEAD] = trio.Event()
            upload = made.start()
            await put_all(upload, b"x" * (6 * MiB), piece=MiB)
            with trio.fail_after(ASK_SECONDS_MAX + 1):
                assert (await upload.complete()).etag == made.bucket.memory.stored("f").info.etag

    run(test)


def test_an_object_that_was_replaced_when_its_etag_is_asked_for_is_what_s3_said() -> None:
    class Replaced(Bucket):
        async def complete_multipart_upload(self, key: str, *args: Any, **options: Any) -> str:
            etag = await super().complete_multipart_upload(key, *args, **options)
            self.put(key, b"of somebody else")
            return etag

    async def test() -> None:
        async with writing(bucket=Replaced()) as made:
            upload = made.start()
            await put_all(upload, b"x" * (6 * MiB), piece=MiB)
            done = await upload.complete()
            assert done.etag != made.bucket.memory.stored("f").info.etag
            assert done.size == 6 * MiB

    run(test)


def test_completing_twice_is_completing_once() -> None:
    async def test() -> None:
        async with writing() as made:
            upload = made.start()
            await put_all(upload, b"x")
            assert await upload.complete() == await upload.complete()
            assert made.bucket.requests == {PUT: 1}
            with pytest.raises(UploadCompleted):
                await upload.write(1, b"y")
            await upload.abort("no effect")
            assert made.content() == b"x"

    run(test)


@pytest.mark.parametrize("offset", [-1, 1, 5])
def test_a_write_out_of_order_gives_the_file_up(offset: int) -> None:
    async def test() -> None:
        async with writing() as made:
            upload = made.start()
            await put_all(upload, bytes(6 * MiB))
            place = upload.size
            with pytest.raises(OutOfOrderWrite):
                await upload.write(place + offset, b"x")
            with pytest.raises(OutOfOrderWrite):
                await upload.write(place, b"x")
            with pytest.raises(OutOfOrderWrite):
                await upload.complete()
            assert made.left == (0, 0, 0)
            assert made.bucket.memory.keys == []
            assert made.bucket.requests[ABORT] == 1

    run(test)


@pytest.mark.parametrize("written", [0, 3, 6 * MiB])
def test_a_file_with_less_in_it_than_its_size_is_given_up(written: int) -> None:
    async def test() -> None:
        async with writing() as made:
            upload = made.start()
            assert not upload.begun
            upload.expect(written + 1)
            assert upload.begun
            await put_all(upload, bytes(written))
            with pytest.raises(OutOfOrderWrite):
                await upload.complete()
            assert made.bucket.memory.keys == []

    run(test)


def test_a_file_is_never_cut_and_may_become_larger_than_it_was_said_to() -> None:
    async def test() -> None:
        async with writing() as made:
            upload = made.start()
            upload.expect(2)
            await upload.write(0, b"abcd")
            with pytest.raises(InvalidArgument):
                upload.expect(3)
            upload.expect(9)
            upload.expect(4)
            await upload.complete()
            assert made.content() == b"abcd"

    run(test)


@pytest.mark.parametrize("operation", [CREATE, PART])
def test_a_part_that_fails_fails_the_next_write_and_leaves_nothing(operation: str) -> None:
    async def test() -> None:
        async with writing() as made:
            made.bucket.failures[operation] = S3Error("S3 failed", code="InternalError", status=500)
            upload = made.start()
            await put_all(upload, bytes(5 * MiB + 1))
            await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(UploadFailed, match="InternalError"):
                await upload.write(upload.size, b"x")
            with pytest.raises(UploadFailed):
                await upload.complete()
            assert made.left == (0, 0, 0)
            assert made.bucket.requests[ABORT] == (1 if operation == PART else 0)
            assert made.bucket.memory.keys == []

    run(test)


@pytest.mark.parametrize(("operation", "size"), [(PUT, 1), (PART, 6 * MiB), (COMPLETE, 6 * MiB)])
def test_an_end_that_fails_is_told_and_stays_the_end(operation: str, size: int) -> None:
    async def test() -> None:
        async with writing() as made:
            made.bucket.put("f", b"old")
            upload = made.start()
            await put_all(upload, bytes(size))
            made.bucket.failures[operation] = S3Error("S3 failed", code="SlowDown", status=503)
            with pytest.raises(UploadFailed):
                await upload.complete()
            made.bucket.failures.clear()
            with pytest.raises(UploadFailed):
                await upload.complete()
            assert made.left == (0, 0, 0)
            assert made.content() == b"old"

    run(test)


def test_only_errors_that_make_sense_to_a_writer_keep_their_errno() -> None:
    async def test() -> None:
        async with writing() as made:
            for error, expected in ((AccessDenied("no", status=403), AccessDenied), (NoSuchKey("?"), UploadFailed)):
                made.bucket.failures[PUT] = error
                with pytest.raises(expected):
                    await made.start().complete()

    run(test)


def test_a_failed_abort_is_told_in_the_log_and_does_not_last(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with writing() as made:
            upload = made.start()
            await put_all(upload, bytes(6 * MiB))
            await trio.testing.wait_all_tasks_blocked()
            made.bucket.gates[ABORT] = trio.Event()
            before = trio.current_time()
            with pytest.raises(OutOfOrderWrite):
                await upload.write(0, b"x")
            assert trio.current_time() - before == pytest.approx(ABORT_SECONDS_MAX)
            assert "could not be aborted" in caplog.text
            await made.bucket.memory.abort_multipart_upload("f", made.bucket.memory.uploads[0].upload_id)

    run(test)


def test_a_failed_abort_is_tried_again_until_s3_has_done_it() -> None:
    async def test() -> None:
        async with writing() as made:
            upload = made.start()
            await put_all(upload, bytes(6 * MiB))
            await trio.testing.wait_all_tasks_blocked()
            made.bucket.failures[ABORT] = S3Error("no", status=500)
            await upload.abort("somebody said so")
            await trio.sleep(2 * RETRY_SECONDS_MIN)
            assert (made.bucket.requests[ABORT], len(made.bucket.memory.uploads)) == (2, 1)
            made.bucket.failures.clear()
            await trio.sleep(RETRY_SECONDS_MIN)
            assert (made.bucket.requests[ABORT], made.bucket.memory.uploads) == (3, [])

    run(test)


def test_parts_on_their_way_are_bounded_and_the_writer_waits() -> None:
    async def test() -> None:
        async with writing(memory=512) as made:
            made.bucket.gates[PART] = trio.Event()
            upload = made.start()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(put_all, upload, bytes(5 * MiB * (PARTS_IN_FLIGHT_MAX + 2)), MiB)
                await trio.testing.wait_all_tasks_blocked()
                assert made.bucket.requests[PART] == PARTS_IN_FLIGHT_MAX
                assert upload.size == 5 * MiB * (PARTS_IN_FLIGHT_MAX + 1)
                made.bucket.gates.pop(PART).set()
            assert (await upload.complete()).size == 5 * MiB * (PARTS_IN_FLIGHT_MAX + 2)

    run(test)


def test_when_memory_is_short_a_writer_waits_for_its_own_parts() -> None:
    async def test() -> None:
        async with writing(memory=16) as made:  # one writer, with 5 of 16 slots
            made.bucket.gates[PART] = trio.Event()
            upload = made.start()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(put_all, upload, bytes(21 * MiB), MiB)
                await trio.testing.wait_all_tasks_blocked()
                assert made.arena.in_use <= 5
                assert upload.size == 5 * MiB
                made.bucket.gates.pop(PART).set()
            assert (await upload.complete()).size == 21 * MiB

    run(test)


def test_writers_that_share_too_little_memory_all_come_to_their_end() -> None:
    async def test() -> None:
        async with writing(memory=64) as made:
            count = 8
            uploads = [made.start(f"f{number}") for number in range(count)]
            with pytest.raises(TooManyWriters):
                made.start("one more")
            data = random.Random(0).randbytes(12 * MiB)

            async def one(upload: Upload) -> None:
                await put_all(upload, data, MiB)
                await upload.complete()

            async with trio.open_nursery() as nursery:
                for upload in uploads:
                    nursery.start_soon(one, upload)
            assert all(made.content(f"f{number}") == data for number in range(count))
            assert made.start("again").size == 0

    run(test)


def test_a_writer_waiting_for_memory_hears_of_its_parts_failure() -> None:
    async def test() -> None:
        async with writing(memory=16) as made:
            gate = made.bucket.gates[PART] = trio.Event()
            upload = made.start()
            failures: list[EngineError] = []

            async def write() -> None:
                try:
                    await put_all(upload, bytes(21 * MiB), MiB)
                except EngineError as error:
                    failures.append(error)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(write)
                await trio.testing.wait_all_tasks_blocked()
                made.bucket.failures[PART] = S3Error("no", status=500)
                gate.set()
            assert [type(error) for error in failures] == [UploadFailed]

    run(test)


def test_parts_grow_as_the_plan_says_while_memory_allows() -> None:
    async def test() -> None:
        plan = PartPlan(MiB, parts_max=10, object_max=100 * MiB)
        async with writing(memory=64, plan=plan) as made:
            upload = made.start()
            data = random.Random(3).randbytes(60 * MiB)
            await put_all(upload, data, MiB)
            await upload.complete()
            assert made.content() == data
            assert 4 < made.bucket.requests[PART] < 10

    run(test)


@pytest.mark.parametrize("size", [640, 641, 1000])
def test_more_than_all_parts_hold_is_too_big(size: int) -> None:
    async def test() -> None:
        plan = PartPlan(64, parts_max=10, object_max=640)
        async with writing(plan=plan) as made:
            upload = made.start()
            if size == 640:
                await put_all(upload, bytes(size), piece=100)
                await upload.complete()
                return
            with pytest.raises(FileTooBig):
                await put_all(upload, bytes(size), piece=100)
            with pytest.raises(FileTooBig):
                await upload.complete()
            assert made.bucket.memory.keys == []

    run(test)


def test_when_memory_keeps_parts_small_the_last_part_is_the_end() -> None:
    async def test() -> None:
        plan = PartPlan(MiB, parts_max=10, object_max=1000 * MiB)
        async with writing(memory=16, plan=plan) as made:
            upload = made.start()
            with pytest.raises(FileTooBig, match="memory-target"):
                await put_all(upload, bytes(200 * MiB), MiB)
            assert made.left == (0, 0, 0)

    run(test)


@pytest.mark.parametrize("size", [MiB, 6 * MiB])
@pytest.mark.parametrize("algorithm", ["crc32c", "off"])
def test_memory_that_changed_after_the_write_is_found_before_anything_is_published(size: int, algorithm: str) -> None:
    async def test() -> None:
        async with writing(upload_checksums=algorithm) as made:
            upload = made.start()
            await put_all(upload, bytes(size))
            upload._filling.slots[-1].view[3] ^= 1
            with pytest.raises(UploadFailed, match="not what"):
                await upload.complete()
            assert made.bucket.memory.keys == []

    run(test)


@pytest.mark.parametrize(("algorithm", "parts"), [("crc32c", []), ("off", [1, 2])])
def test_parts_that_s3_has_compared_are_not_summed_again(
    algorithm: str, parts: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    reviewed: list[int] = []
    review = Part.review

    def counted(part: Part) -> None:
        reviewed.append(part.number)
        review(part)

    async def test() -> None:
        async with writing(upload_checksums=algorithm) as made:
            upload = made.start()
            await put_all(upload, bytes(6 * MiB))
            await upload.complete()
            assert sorted(reviewed) == parts

    monkeypatch.setattr(Part, "review", counted)
    run(test)


def test_checksums_are_sent_unless_they_are_off() -> None:
    async def test() -> None:
        for algorithm, sent in (("crc32c", True), ("crc64nvme", True), ("off", False)):
            async with writing(upload_checksums=algorithm) as made:
                upload = made.start()
                await put_all(upload, bytes(6 * MiB))
                await trio.testing.wait_all_tasks_blocked()
                part = upload._state.parts[1]
                assert (part.checksum is not None) is sent
                if sent:
                    assert part.checksum == checksum_of(algorithm, [bytes(5 * MiB)])  # type: ignore[arg-type]
                await upload.complete()

    run(test)


def test_the_end_of_the_engine_gives_up_what_is_not_complete(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with writing() as made:
            small, large, done = made.start("small"), made.start("large"), made.start("done")
            await put_all(small, b"x")
            await put_all(large, bytes(11 * MiB))
            await done.complete()
            await made.uploader.aclose()
            assert made.left == (0, 0, 0)
            assert made.bucket.memory.keys == ["done"]
            with pytest.raises(UploadFailed, match="stopped"):
                await small.complete()
        assert "'large' was being written" in caplog.text

    run(test)


def test_giving_up_while_a_request_is_on_its_way_ends_the_request() -> None:
    async def test() -> None:
        async with writing() as made:
            made.bucket.gates[PUT] = trio.Event()
            upload = made.start()
            await put_all(upload, b"x")
            async with trio.open_nursery() as nursery:

                async def complete() -> None:
                    with pytest.raises(UploadFailed):
                        await upload.complete()

                nursery.start_soon(complete)
                await trio.testing.wait_all_tasks_blocked()
                await upload.abort("somebody said so")
            assert made.bucket.cancelled[PUT] == 1
            assert made.bucket.memory.keys == []

    run(test)


def test_an_upload_that_is_being_begun_when_the_file_fails_is_aborted_all_the_same() -> None:
    async def test() -> None:
        async with writing() as made:
            gate = made.bucket.gates[CREATE] = trio.Event()
            upload = made.start()
            await put_all(upload, bytes(6 * MiB))
            await trio.testing.wait_all_tasks_blocked()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(upload.abort, "somebody said so")
                await trio.testing.wait_all_tasks_blocked()
                assert made.bucket.requests[ABORT] == 0
                gate.set()
            assert made.bucket.requests[ABORT] == 1
            assert made.bucket.requests[PART] == 0
            assert made.left == (0, 0, 0)

    run(test)


def test_an_upload_whose_beginning_is_not_answered_is_left_after_a_while() -> None:
    async def test() -> None:
        async with writing() as made:
            made.bucket.gates[CREATE] = trio.Event()
            upload = made.start()
            await put_all(upload, bytes(6 * MiB))
            await trio.testing.wait_all_tasks_blocked()
            before = trio.current_time()
            await upload.abort("somebody said so")
            assert trio.current_time() - before == pytest.approx(ABORT_SECONDS_MAX)
            assert made.bucket.cancelled[CREATE] == 1

    run(test)
