"""Reading ahead of a program through a stream: how fast bytes come, by which GETs, and what is kept of them."""

import trio

from engine.read.walk import BLOCKS_BEHIND
from engine.read.window import CALM_BYTES, WIDTH_BYTES_MAX
from engine.spec import KiB, MiB
from tests.unit.reading import SlowClient, body, fetched_twice, read_all, read_range, run, world


def test_what_was_read_is_not_kept():
    data = body(40 * MiB)

    async def main():
        async with world(SlowClient({"object": data})) as w:
            stream = w.open()
            for offset in range(0, 20 * MiB, MiB):
                await stream.read(offset, MiB)
                await trio.sleep(1)
                assert w.arena.in_use <= CALM_BYTES // MiB + BLOCKS_BEHIND
            stream.close()

    run(main)


def test_two_walks_in_one_file_both_read_ahead():
    data = body(64 * MiB)

    async def main():
        async with world(SlowClient({"object": data}, first_byte=0.02)) as w:
            stream = w.open()
            for step in range(8):
                for base in (0, 32 * MiB):
                    offset = base + step * MiB
                    assert bytes(await stream.read(offset, MiB)) == data[offset : offset + MiB]
                    await trio.lowlevel.checkpoint()
            assert fetched_twice(w.client.gets) == []
            assert len(w.client.running) > 0
            stream.close()

    run(main)


def test_the_kernels_reads_may_come_in_any_order():
    data = body(32 * MiB)

    async def main():
        async with world(SlowClient({"object": data}, first_byte=0.02, per_mib=0.01)) as w:
            stream = w.open()
            got = {}

            async def read(offset):
                got[offset] = bytes(await stream.read(offset, MiB))

            for burst in range(4):
                async with trio.open_nursery() as reads:  # trio starts them in random order
                    for number in range(8):
                        reads.start_soon(read, (burst * 8 + number) * MiB)
            assert b"".join(got[offset] for offset in sorted(got)) == data
            assert sum(end - start for start, end in w.client.ranges) == len(data)
            stream.close()

    run(main)


def test_against_delay_the_window_grows_until_reading_hardly_waits():
    data = body(150 * MiB)

    async def main():
        async with world(SlowClient({"object": data}, first_byte=0.02, per_mib=0.011), slots=128) as w:
            stream = w.open()
            assert await read_all(stream, 100 * MiB) == data[: 100 * MiB]
            began = trio.current_time()
            assert await read_range(stream, 100 * MiB, 140 * MiB) == data[100 * MiB : 140 * MiB]
            # One GET at a time would take 31 ms a MiB, 40 MiB 1.24 s.
            assert trio.current_time() - began < 0.2
            stream.close()

    run(main)


def test_with_s3s_own_manners_a_file_comes_as_fast_as_an_engine_can_take_it():
    data = body(256 * MiB)

    async def main():
        async with world(SlowClient({"object": data}, first_byte=0.02, per_mib=0.011), slots=256) as w:
            stream = w.open()
            offsets = iter(range(0, len(data), MiB))

            async def kernel():
                for offset in offsets:
                    assert await stream.read(offset, MiB) == data[offset : offset + MiB]
                    await trio.lowlevel.checkpoint()

            async with trio.open_nursery() as requests:
                for _ in range(4):
                    requests.start_soon(kernel)
            # In a clock that jumps: the rest of the time is the engine's. One connection would take 3.1 s.
            assert trio.current_time() < 0.26
            assert len(w.client.gets) < 90
            stream.close()

    run(main)


def test_readers_share_what_an_engine_can_use_ahead():
    data = body(200 * MiB)

    async def main():
        objects = {f"object-{number}": data for number in range(4)}
        async with world(SlowClient(objects, first_byte=0.02, per_mib=0.011), slots=512) as w:
            streams = [w.open(key) for key in objects]
            for offset in range(0, 100 * MiB, MiB):
                for stream in streams:
                    await stream.read(offset, MiB)
                    await trio.lowlevel.checkpoint()
            assert w.arena.in_use <= 2 * WIDTH_BYTES_MAX // MiB + len(streams) * (BLOCKS_BEHIND + 1)
            for stream in streams:
                stream.close()

    run(main)


def test_closing_cancels_a_get_that_has_much_to_come_and_lets_a_nearly_finished_one_end():
    async def main():
        async with world(SlowClient({"object": body(200 * MiB)}, first_byte=0.02, per_mib=0.01), slots=128) as w:
            stream = w.open()
            await read_all(stream, 120 * MiB)
            large = [get for get in w.client.running if get.end - get.start > 2 * MiB]
            assert large
            stream.close()
            await w.until_quiet()
            assert {get.state for get in large} >= {"cancelled"}
            assert w.arena.in_use == 0

    run(main)


def test_a_seek_forwards_inside_the_window_fetches_nothing_again():
    data = body(64 * MiB)

    async def main():
        async with world(SlowClient({"object": data}, first_byte=0.02, per_mib=0.01)) as w:
            stream = w.open()
            await read_all(stream, 8 * MiB)
            asked = max(end for _, end in w.client.ranges)
            assert asked > 10 * MiB
            assert bytes(await stream.read(asked - MiB, MiB)) == data[asked - MiB : asked]
            assert fetched_twice(w.client.gets) == []
            stream.close()

    run(main)


def test_a_seek_backwards_to_what_was_read_last_fetches_nothing_again():
    data = body(64 * MiB)

    async def main():
        async with world(SlowClient({"object": data}, first_byte=0.02, per_mib=0.01)) as w:
            stream = w.open()
            await read_all(stream, 8 * MiB)
            for offset in (7 * MiB + 4096, 7 * MiB + 512 * KiB, 7 * MiB):
                assert bytes(await stream.read(offset, 64 * KiB)) == data[offset : offset + 64 * KiB]
            assert await read_range(stream, 8 * MiB, 16 * MiB) == data[8 * MiB : 16 * MiB]
            assert fetched_twice(w.client.gets) == []
            stream.close()

    run(main)
