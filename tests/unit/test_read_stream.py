"""Reading through a stream: the right bytes, the right GETs, errors, interrupts and closing."""

import pytest
import trio
import trio.testing

from engine.errors import BadHandle, PreconditionFailed, Throttled
from engine.spec import KiB, MiB
from tests.unit.reading import SlowClient, body, read_all, read_range, run, world


def test_a_sequential_read_gives_the_whole_object():
    data = body(23 * MiB + 12345)

    async def main():
        async with world(SlowClient({"object": data}, first_byte=0.02, per_mib=0.01)) as w:
            stream = w.open()
            assert await read_all(stream, len(data)) == data
            assert w.stats.bytes_read == len(data)
            stream.close()
            await w.until_quiet()
            assert w.arena.in_use == 0
            assert w.stats.arena_bytes == 0
            assert sum(end - start for start, end in w.client.ranges) == len(data)

    run(main)


@pytest.mark.parametrize("step", [4 * KiB, 100_000, 128 * KiB, MiB, 3 * MiB + 1])
def test_any_step_gives_the_same_bytes_and_fetches_none_twice(step):
    data = body(5 * MiB + 777)

    async def main():
        async with world(SlowClient({"object": data}, first_byte=0.02)) as w:
            stream = w.open()
            assert await read_all(stream, len(data), step) == data
            stream.close()
            assert sum(end - start for start, end in w.client.ranges) == len(data)

    run(main)


def test_an_empty_object_needs_no_get():
    async def main():
        async with world(SlowClient({"object": b""})) as w:
            assert await w.open().read(0, 4096) == b""
            assert w.client.gets == []

    run(main)


def test_a_read_beyond_the_end_is_empty_and_one_across_it_is_cut():
    async def main():
        async with world(SlowClient({"object": b"0123456789"})) as w:
            stream = w.open()
            assert bytes(await stream.read(8, 100)) == b"89"
            assert await stream.read(10, 1) == b""
            assert await stream.read(1 << 40, 1) == b""

    run(main)


@pytest.mark.parametrize("size", [1, 16 * KiB, MiB])
def test_a_small_file_is_one_get_however_it_is_read(size):
    data = body(size)

    async def main():
        async with world(SlowClient({"object": data}, first_byte=0.02)) as w:
            stream = w.open()
            assert bytes(await stream.read(size - 1, 1)) == data[-1:]
            assert await read_all(stream, size, 4 * KiB) == data
            assert w.client.ranges == [(0, size)]

    run(main)


def test_an_aligned_read_is_a_view_into_the_arena():
    async def main():
        async with world(SlowClient({"object": body(4 * MiB)})) as w:
            view = await w.open().read(MiB, MiB)
            assert isinstance(view, memoryview)
            assert len(view) == MiB

    run(main)


def test_a_read_of_what_is_there_does_not_wait():
    async def main():
        async with world(SlowClient({"object": body(MiB)})) as w:
            stream = w.open()
            await stream.read(0, MiB)
            with trio.testing.assert_no_checkpoints():
                await stream.read(4096, 4096)

    run(main)


def test_random_reads_fetch_about_what_they_ask_for():
    data = body(40 * MiB)

    async def main():
        async with world(SlowClient({"object": data}, first_byte=0.02)) as w:
            stream = w.open()
            for offset in (33 * MiB + 5, 7 * MiB + 70_000, 21 * MiB, 39 * MiB):
                assert bytes(await stream.read(offset, 16 * KiB)) == data[offset : offset + 16 * KiB]
            assert len(w.client.gets) == 4
            assert max(end - start for start, end in w.client.ranges) <= 128 * KiB
            stream.close()
            assert w.arena.in_use == 0

    run(main)


def test_small_reads_from_the_middle_on_are_right_and_leave_nothing_behind():
    data = body(12 * MiB)

    async def main():
        async with world(SlowClient({"object": data}, first_byte=0.02)) as w:
            stream = w.open()
            middle = 7 * MiB + 300 * KiB
            assert await read_range(stream, middle, middle + 2 * MiB, 16 * KiB) == data[middle : middle + 2 * MiB]
            assert len(w.client.gets) <= 10
            stream.close()
            await w.until_quiet()
            assert w.arena.in_use == 0

    run(main)


def test_the_first_bytes_are_given_before_the_part_is_complete():
    async def main():
        async with world(SlowClient({"object": body(8 * MiB)}, first_byte=1, per_mib=100)) as w:
            began = trio.current_time()
            stream = w.open()
            await stream.read(0, 4096)
            assert trio.current_time() - began < 50
            stream.close()

    run(main)


def test_a_failed_get_is_told_to_its_readers_and_tried_again_by_the_next_read():
    data = body(4 * MiB)
    failing = [Throttled("slow down", code="SlowDown", status=503)]

    async def main():
        client = SlowClient({"object": data}, first_byte=0.02, fail=lambda get: failing.pop() if failing else None)
        async with world(client) as w:
            stream = w.open()
            with pytest.raises(Throttled):
                await stream.read(0, MiB)
            assert w.arena.in_use == 0
            assert bytes(await stream.read(0, MiB)) == data[:MiB]

    run(main)


def test_a_get_that_breaks_off_still_serves_what_had_come():
    data = body(8 * MiB)

    async def main():
        client = SlowClient({"object": data}, per_mib=0.1, halfway=lambda get: Throttled("half"))
        async with world(client) as w:
            stream = w.open()
            assert bytes(await stream.read(0, 4096)) == data[:4096]
            with pytest.raises(Throttled):
                await stream.read(512 * KiB, 512 * KiB)
            client.halfway = lambda get: None
            assert await read_all(stream, len(data)) == data
            stream.close()
            await w.until_quiet()
            assert w.arena.in_use == 0

    run(main)


def test_an_error_ahead_of_the_reader_is_retried_when_it_gets_there():
    data = body(16 * MiB)
    broken = {"on": True}

    async def main():
        client = SlowClient(
            {"object": data},
            first_byte=0.02,
            fail=lambda get: Throttled("slow down") if broken["on"] and get.start >= 2 * MiB else None,
        )
        async with world(client) as w:
            stream = w.open()
            await stream.read(0, MiB)
            await stream.read(MiB, MiB)  # asks for more ahead, which fails
            await w.until_quiet()
            assert any(get.state == "failed" for get in client.gets)
            broken["on"] = False
            assert await read_range(stream, 2 * MiB, 16 * MiB) == data[2 * MiB :]

    run(main)


def test_a_changed_object_fails_with_if_match():
    async def main():
        async with world(SlowClient({"object": body(MiB)})) as w:
            with pytest.raises(PreconditionFailed):
                await w.open(etag='"old"').read(0, 10)

    run(main)


def test_closing_wakes_readers_with_bad_handle_and_gives_everything_back():
    async def main():
        async with world(SlowClient({"object": body(64 * MiB)}, first_byte=1000)) as w:
            stream = w.open()
            told = []

            async def read(offset):
                with pytest.raises(BadHandle):
                    await stream.read(offset, MiB)
                told.append(offset)

            async with trio.open_nursery() as reads:
                for offset in range(0, 6 * MiB, MiB):
                    reads.start_soon(read, offset)
                await trio.testing.wait_all_tasks_blocked(0.01)
                assert w.arena.in_use >= 6
                stream.close()
                stream.close()
            assert len(told) == 6
            await w.until_quiet()
            assert w.arena.in_use == 0
            with pytest.raises(BadHandle):
                await stream.read(0, 1)

    run(main)


def test_an_interrupted_read_leaves_nothing_behind():
    data = body(8 * MiB)

    async def main():
        async with world(SlowClient({"object": data}, first_byte=1)) as w:
            stream = w.open()
            with trio.move_on_after(0.5) as scope:
                await stream.read(0, MiB)
            assert scope.cancelled_caught
            assert bytes(await stream.read(0, MiB)) == data[:MiB]
            assert len(w.client.gets) == 1  # the GET went on
            stream.close()
            await w.until_quiet()
            assert w.arena.in_use == 0

    run(main)


def test_a_stream_that_rests_gives_its_memory_back_and_reads_on_later():
    data = body(32 * MiB)

    async def main():
        async with world(SlowClient({"object": data}, first_byte=0.02)) as w:
            stream = w.open()
            await read_all(stream, 8 * MiB)
            await w.until_quiet()
            w.prefetcher.trim()
            assert w.arena.in_use > 0  # it was read since
            w.prefetcher.trim()
            assert w.arena.in_use == 0
            assert await read_range(stream, 8 * MiB, 32 * MiB) == data[8 * MiB :]
            stream.close()

    run(main)


def test_part_size_bounds_each_get_even_below_a_slot():
    data = body(6 * MiB)

    async def main():
        async with world(SlowClient({"object": data}), part_bytes=300 * KiB) as w:
            stream = w.open()
            assert await read_all(stream, len(data)) == data
            assert max(end - start for start, end in w.client.ranges) <= 300 * KiB

    run(main)
