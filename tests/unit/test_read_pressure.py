"""Many readers and little memory: everybody gets the right bytes, nobody waits for good, nothing is left over."""

import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import Throttled
from engine.spec import KiB, MiB
from tests.unit.reading import SlowClient, body, run, several, world

DATA = body(9 * MiB + 4321)


async def check(stream, data, offset, size):
    assert bytes(await stream.read(offset, size)) == data[offset : offset + size]
    await trio.lowlevel.checkpoint()


def test_a_hundred_readers_share_one_slot():
    async def main():
        async with world(SlowClient(several(100, DATA), first_byte=0.02, per_mib=0.01), slots=1) as w:
            streams = [w.open(f"object{number}") for number in range(100)]

            async def reader(number):
                for step in range(3):
                    # Across a slot's boundary: two blocks, of which only one can be there at a time.
                    offset = (number % 8 + 1) * MiB - 100 * KiB + step * 64 * KiB
                    await check(streams[number], DATA, offset, 200 * KiB)

            with trio.fail_after(10_000):
                async with trio.open_nursery() as readers:
                    for number in range(100):
                        readers.start_soon(reader, number)
            for stream in streams:
                stream.close()
            await w.until_quiet()
            assert w.arena.in_use == 0

    run(main)


def test_a_demand_takes_what_an_idle_stream_has_read_ahead():
    async def main():
        async with world(SlowClient(several(7, DATA), first_byte=0.02), slots=6) as w:
            idle = w.open("object6")
            for step in range(3):
                await check(idle, DATA, step * MiB, MiB)
            await w.until_quiet()
            held = w.arena.in_use
            assert held > 1
            streams = [w.open(f"object{number}") for number in range(6)]
            with trio.fail_after(1):
                for number, stream in enumerate(streams):
                    await check(stream, DATA, number * MiB, MiB)
            await check(idle, DATA, 3 * MiB, MiB)
            for stream in [idle, *streams]:
                stream.close()
            await w.until_quiet()
            assert w.arena.in_use == 0

    run(main)


def test_speculation_that_ends_while_somebody_waits_gives_way():
    async def main():
        async with world(SlowClient(several(2, DATA), first_byte=1), slots=4) as w:
            greedy, other = w.open("object0"), w.open("object1")
            await check(greedy, DATA, 0, MiB)
            await check(greedy, DATA, MiB, MiB)
            async with trio.open_nursery() as readers:
                readers.cancel_scope.deadline = trio.current_time() + 1000
                w.client.gate = trio.Event()
                for step in range(2, 4):
                    readers.start_soon(check, greedy, DATA, step * MiB, MiB)
                await trio.sleep(5)
                for step in range(4):
                    readers.start_soon(check, other, DATA, step * MiB, 4 * KiB)
                await trio.sleep(5)
                w.client.gate.set()
            assert not readers.cancel_scope.cancelled_caught
            greedy.close()
            other.close()
            await w.until_quiet()
            assert w.arena.in_use == 0

    run(main)


def test_a_slot_that_is_full_and_not_needed_is_given_away_before_its_get_ends():
    async def main():
        async with world(SlowClient(several(2, DATA), per_mib=10), slots=3) as w:
            large, small = w.open("object0"), w.open("object1")
            with trio.move_on_after(1):
                await large.read(0, 3 * MiB)  # one GET into all three slots, which nobody waits for any more
            assert w.client.ranges == [(0, 3 * MiB)]
            with trio.fail_after(15):
                await check(small, DATA, 5 * MiB, 4 * KiB)
            assert len(w.client.running) == 1
            large.close()
            small.close()

    run(main)


def test_a_reader_interrupted_while_it_waits_for_memory_leaves_the_line():
    async def main():
        async with world(SlowClient(several(2, DATA), first_byte=10), slots=1) as w:
            first, second = w.open("object0"), w.open("object1")
            async with trio.open_nursery() as readers:
                readers.start_soon(check, first, DATA, 0, MiB)
                await trio.sleep(1)
                with trio.move_on_after(1):
                    await second.read(0, MiB)
                await trio.testing.wait_all_tasks_blocked()
                assert not w.arena.wanted
            assert len(w.client.gets) == 1
            first.close()
            second.close()
            await w.until_quiet()
            assert w.arena.in_use == 0

    run(main)


def test_a_read_whose_walk_was_dropped_while_it_waited_leaves_nothing_behind():
    data = body(64 * MiB)

    async def main():
        async with world(SlowClient({"object": data}, first_byte=1), slots=2) as w:
            stream = w.open()
            async with trio.open_nursery() as readers:
                for number in range(12):  # more places than a stream remembers, each across a slot's boundary
                    readers.start_soon(check, stream, data, (number * 5 + 1) * MiB - 8 * KiB, 16 * KiB)
            stream.close()
            await w.until_quiet()
            assert w.arena.in_use == 0

    run(main)


def test_a_read_that_waits_for_long_keeps_what_was_asked_ahead():
    async def main():
        async with world(SlowClient({"object": DATA}, first_byte=100)) as w:
            stream = w.open()
            async with trio.open_nursery() as readers:
                for step in range(4):
                    readers.start_soon(check, stream, DATA, step * MiB, MiB)
                    await trio.sleep(1)
                asked = len(w.client.gets)
                w.prefetcher.trim()
                w.prefetcher.trim()
            assert asked > 4
            assert len(w.client.gets) == asked
            await w.until_quiet()
            for offset in range(4 * MiB, len(DATA), MiB):
                await check(stream, DATA, offset, MiB)
            assert sum(end - start for start, end in w.client.ranges) == len(DATA)  # nothing twice
            stream.close()

    run(main)


def test_active_readers_share_the_memory_fairly():
    async def main():
        data = body(64 * MiB)
        async with world(SlowClient(several(4, data), first_byte=0.02, per_mib=0.01), slots=32) as w:
            streams = [w.open(f"object{number}") for number in range(4)]
            held = []

            async def reader(stream):
                for step in range(40):
                    await check(stream, data, step * MiB, MiB)
                    if step >= 20:  # what was asked before the others came has been read by now
                        held.append(sum(len(walk.blocks) for walk in stream._walks))

            async with trio.open_nursery() as readers:
                for stream in streams:
                    readers.start_soon(reader, stream)
            assert 3 <= max(held) <= 32 // 4 + 1  # its share, and one block behind
            for stream in streams:
                stream.close()

    run(main)


reads = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 10 * MiB), st.integers(1, 2 * MiB)), min_size=1, max_size=30
)


@settings(max_examples=60, deadline=None)
@given(
    size=st.integers(0, len(DATA)),
    slots=st.integers(1, 6),
    reads=reads,
    part_bytes=st.sampled_from([128 * KiB, MiB, 3 * MiB, 8 * MiB]),
    interrupt=st.booleans(),
    failing=st.sets(st.integers(0, 20), max_size=3),
    shared=st.booleans(),
)
def test_whatever_is_read_by_whom_the_bytes_are_right(size, slots, reads, part_bytes, interrupt, failing, shared):
    data = DATA[:size]

    async def main():
        client = SlowClient(several(2, data), first_byte=0.02, per_mib=0.01)
        client.fail = lambda get: Throttled("slow down") if len(client.gets) in failing else None
        async with world(client, slots=slots, part_bytes=part_bytes) as w:
            streams = [w.open("object0"), w.open("object0" if shared else "object1")]

            async def read(stream, offset, length):
                for attempt in range(10):
                    try:
                        return await check(stream, data, offset, length)
                    except Throttled:
                        assert attempt < 9
                return None

            async def task(number):  # the last four share the second stream
                for count, (who, offset, length) in enumerate(reads):
                    if who == number:
                        with trio.move_on_after(0.025 if interrupt and count % 3 == 0 else 10_000) as scope:
                            await read(streams[number > 1], offset, length)
                        assert interrupt or not scope.cancelled_caught

            async with trio.open_nursery() as tasks:
                for number in range(6):
                    tasks.start_soon(task, number)
            w.prefetcher.trim()
            for stream in streams:
                stream.close()
            await w.until_quiet()
            assert w.arena.in_use == 0
            assert w.stats.arena_bytes == 0
            assert not w.arena.wanted

    run(main)
