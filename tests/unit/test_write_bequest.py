"""A file that one engine begins to write and another one ends: nothing lost, nothing sent twice that S3 has."""

import os
import random
from collections.abc import Awaitable, Callable

import pytest
import trio
import trio.testing
from pydantic import TypeAdapter

from engine.arena import Arena
from engine.errors import UploadFailed
from engine.fs.moving import Arrival, MovedWriter
from engine.fs.sharing import Use
from engine.s3.interface import UploadOptions
from engine.spec import MiB, MountSpec
from engine.stats import EngineStats
from engine.write.bequest import PartBequest, UploadBequest
from engine.write.state import UploadState
from engine.write.upload import Upload
from engine.write.uploader import Uploader
from tests.unit.bucket import COMPLETE, CREATE, PART, PUT, Bucket

PIECE = 256 * 1024


class TwoEngines:
    """Two uploaders, one after the other, over one bucket. Parts are 5 MiB."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.bucket = Bucket()
        self.bucket.memory.part_bytes_min = 1
        self.spec = MountSpec(name="m", bucket="bucket", mountpoint="/mnt", memory_target=64, write_part_size=5 * MiB)
        self.arenas = [Arena(64 * MiB), Arena(64 * MiB)]
        self.first, self.second = (
            Uploader(self.bucket, arena, nursery, spec=self.spec, stats=EngineStats()) for arena in self.arenas
        )

    async def move(self, upload: Upload) -> Upload:
        """The handover, by way of what really is carried: JSON and a descriptor."""
        bequest = await self.first.freeze(upload)
        carried = TypeAdapter(UploadBequest).dump_json(bequest)
        there = TypeAdapter(UploadBequest).validate_json(carried)
        indices = [index for part in there.parts for index in part.slots]
        slots = self.arenas[1].inherit(self.arenas[0].fd, indices)
        return self.second.resume(there, slots)

    @property
    def left(self) -> tuple[int, int]:
        """What must be nothing in the end: slots of the second, multipart uploads."""
        return self.arenas[1].in_use, len(self.bucket.memory.uploads)


def run(test: Callable[[TwoEngines], Awaitable[None]]) -> None:
    async def main() -> None:
        async with trio.open_nursery() as nursery:
            engines = TwoEngines(nursery)
            await test(engines)
            await engines.second.aclose()
            assert engines.left == (0, 0)
            for arena in engines.arenas:
                arena.close()
            nursery.cancel_scope.cancel()

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


async def put_all(upload: Upload, data: bytes) -> None:
    for start in range(0, len(data), PIECE):
        await upload.write(upload.size, data[start : start + PIECE])


@pytest.mark.parametrize("at", [0, 1, PIECE, 5 * MiB, 5 * MiB + PIECE, 17 * MiB])
def test_a_file_handed_over_anywhere_arrives_whole(at: int) -> None:
    async def test(engines: TwoEngines) -> None:
        data = random.Random(at).randbytes(19 * MiB + 7)
        upload = engines.first.start("f", engines.first.reserve())
        await put_all(upload, data[:at])
        upload = await engines.move(upload)
        assert upload.size == at
        await put_all(upload, data[at:])
        assert (await upload.complete()).size == len(data)
        assert engines.bucket.memory.stored("f").data == data
        assert engines.bucket.requests[CREATE] == engines.bucket.requests[COMPLETE] == 1

    run(test)


def test_a_small_file_handed_over_is_still_one_put() -> None:
    async def test(engines: TwoEngines) -> None:
        upload = engines.first.start("f", engines.first.reserve())
        await put_all(upload, b"x" * 1000)
        upload = await engines.move(upload)
        await upload.complete()
        assert engines.bucket.memory.stored("f").data == b"x" * 1000
        assert engines.bucket.requests == {PUT: 1}

    run(test)


def test_parts_on_their_way_are_sent_by_the_successor_and_those_in_s3_are_not_sent_again() -> None:
    async def test(engines: TwoEngines) -> None:
        data = random.Random(1).randbytes(23 * MiB)
        upload = engines.first.start("f", engines.first.reserve())
        await put_all(upload, data[: 11 * MiB])
        await trio.testing.wait_all_tasks_blocked()
        assert engines.bucket.requests[PART] == 2
        engines.bucket.gates[PART] = trio.Event()
        await put_all(upload, data[11 * MiB : 18 * MiB])
        await trio.testing.wait_all_tasks_blocked()
        upload = await engines.move(upload)
        engines.bucket.gates.pop(PART).set()
        await put_all(upload, data[18 * MiB :])
        await upload.complete()
        assert engines.bucket.memory.stored("f").data == data
        # 5 parts, and the third was on its way twice.
        assert engines.bucket.requests[PART] == 6

    run(test)


def test_a_write_cut_by_the_handover_comes_again_and_counts_once() -> None:
    async def test(engines: TwoEngines) -> None:
        data = random.Random(2).randbytes(60 * MiB)
        upload = engines.first.start("f", engines.first.reserve())
        engines.bucket.gates[PART] = trio.Event()
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:

                async def cut() -> None:
                    await trio.testing.wait_all_tasks_blocked()
                    scope.cancel()

                await put_all(upload, data[: 9 * MiB])
                nursery.start_soon(cut)
                await upload.write(upload.size, data[9 * MiB :])  # more than there is memory for
        assert scope.cancelled_caught
        assert upload.size == 9 * MiB
        upload = await engines.move(upload)
        engines.bucket.gates.pop(PART).set()
        assert upload.size == 9 * MiB
        await upload.write(9 * MiB, data[9 * MiB :])
        await upload.complete()
        assert engines.bucket.memory.stored("f").data == data

    run(test)


def test_a_completion_cut_by_the_handover_is_asked_for_again() -> None:
    async def test(engines: TwoEngines) -> None:
        data = random.Random(3).randbytes(12 * MiB)
        upload = engines.first.start("f", engines.first.reserve())
        await put_all(upload, data)
        engines.bucket.gates[COMPLETE] = trio.Event()
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:

                async def cut() -> None:
                    await trio.testing.wait_all_tasks_blocked()
                    scope.cancel()

                nursery.start_soon(cut)
                await upload.complete()
        assert upload.uploaded is None
        upload = await engines.move(upload)
        engines.bucket.gates.pop(COMPLETE).set()
        assert (await upload.complete()).size == len(data)
        assert engines.bucket.memory.stored("f").data == data

    run(test)


def test_what_was_complete_or_failed_stays_so() -> None:
    async def test(engines: TwoEngines) -> None:
        done = engines.first.start("done", engines.first.reserve())
        await put_all(done, b"x")
        told = await done.complete()
        failed = engines.first.start("failed", engines.first.reserve())
        await failed.abort("of a test")
        done, failed = await engines.move(done), await engines.move(failed)
        assert await done.complete() == told
        with pytest.raises(UploadFailed, match="of a test"):
            await failed.write(0, b"x")
        assert engines.bucket.requests == {PUT: 1}

    run(test)


def test_memory_of_the_engine_before_goes_back_when_it_is_copied() -> None:
    async def test(engines: TwoEngines) -> None:
        upload = engines.first.start("f", engines.first.reserve())
        await put_all(upload, b"x" * 4 * MiB)
        before = engines.arenas[0].fd
        assert os.fstat(before).st_blocks * 512 == 4 * MiB
        upload = await engines.move(upload)
        assert os.fstat(before).st_blocks == 0
        assert engines.arenas[1].in_use == 4
        await upload.complete()

    run(test)


def test_an_arena_that_lacks_a_slot_or_the_room_is_refused() -> None:
    arena, other = Arena(2 * MiB), Arena(3 * MiB)
    for indices in ([3], [1, 1], [0, 1, 2]):
        with pytest.raises(ValueError, match="arena before"):
            arena.inherit(other.fd, indices)
    assert arena.in_use == 0
    arena.close()
    other.close()


def test_what_an_engine_has_taken_is_there_for_no_other() -> None:
    """An engine that came after it would go on with what is no longer so, and lose what was written since."""
    told = os.memfd_create("told")
    upload = UploadBequest(UploadState("k", UploadOptions(), offset=3), [PartBequest(1, 5 * MiB, 3, [0])], 1)
    os.write(
        told, TypeAdapter(dict[int, MovedWriter]).dump_json({7: MovedWriter(2, 0, Use.ACTIVE, False, None, upload)})
    )
    before, arena = Arena(MiB), Arena(MiB)

    def arrive() -> Arrival:
        return Arrival((os.dup(told), os.dup(before.fd)))

    moved = arrive().unpack(arena)
    again = arrive().unpack(arena)
    os.close(told)
    arena.close()
    before.close()

    assert moved.numbers == {2}
    assert again.numbers == set()
