"""Random reads through a stream: what they buy, in how many GETs, what it holds of memory, and when that goes."""

import contextlib
import random

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import Throttled
from engine.read.buyer import SHARE
from engine.read.purchase import PLACE_BYTES, READS_MIN
from engine.spec import KiB, MiB
from tests.unit.reading import SlowClient, body, run, several, world

SIZE = 60 * MiB + 4321
DATA = body(SIZE)
PIECE = 16 * KiB

# S3's manners: 20 ms to the first byte, 90 MB/s a connection.
S3 = {"first_byte": 0.02, "per_mib": MiB / 90e6}


def offsets(count, seed=1, size=SIZE):
    """Places all over an object, none of them across a boundary of slots."""
    places = random.Random(seed)
    return [places.randrange(size // PIECE) * PIECE for _ in range(count)]


async def pick(stream, offset, data=DATA, size=PIECE):
    """Read a piece; then what that has started comes as far as it can without time."""
    assert bytes(await stream.read(offset, size)) == data[offset : offset + size]
    await trio.testing.wait_all_tasks_blocked()


def is_large(get):
    """A GET of what is bought: of whole slots."""
    return get.end - get.start > 256 * KiB and get.start % MiB == 0 and (get.end % MiB == 0 or get.end == SIZE)


def large(w):
    return [get for get in w.client.gets if is_large(get)]


def small(w):
    return [get for get in w.client.gets if not is_large(get)]


@contextlib.asynccontextmanager
async def bought():
    """A world, and a stream whose reads all over its object have bought it; it is there."""
    async with world(SlowClient({"object": DATA}, **S3), slots=128) as w:
        stream = w.open()
        for offset in offsets(60):
            await pick(stream, offset)
        await w.until_quiet()
        yield w, stream


def test_reads_all_over_an_object_buy_it_and_cost_no_more_gets_then():
    async def main():
        async with world(SlowClient({"object": DATA}, **S3), slots=128) as w:
            stream = w.open()
            for offset in offsets(40):
                await pick(stream, offset)
            await w.until_quiet()
            # The first place by one GET a slot, to see what they bring; then the rest, by fewer and larger ones.
            assert len(large(w)) == 8 + 7
            assert sum(get.end - get.start for get in large(w)) == SIZE
            paid = len(small(w))
            assert READS_MIN < paid < 20
            for offset in offsets(400, seed=2):
                await pick(stream, offset)
            assert len(small(w)) == paid
            stream.close()
            await w.until_quiet()
            assert w.arena.in_use == 0

    run(main)


def test_a_program_that_reads_three_places_fetches_these():
    async def main():
        async with world(SlowClient({"object": DATA}, first_byte=5.0), slots=128) as w:
            stream = w.open()
            for offset in (0, SIZE - PIECE, 30 * MiB):
                await pick(stream, offset)
            assert len(w.client.gets) == 3
            assert sum(end - start for start, end in w.client.ranges) <= MiB + 3 * 128 * KiB
            stream.close()

    run(main)


def test_what_is_bought_is_there_for_all_handles_and_their_reads_pay_together():
    async def main():
        async with world(SlowClient({"object": DATA}, **S3), slots=128) as w:
            streams = [w.open() for _ in range(8)]
            for offset, stream in zip(offsets(200), streams * 25, strict=True):
                await pick(stream, offset)
            assert sum(get.end - get.start for get in large(w)) == SIZE
            assert len(small(w)) < 20
            for stream in streams:
                stream.close()

    run(main)


def test_an_object_larger_than_the_memory_is_bought_by_places_and_never_takes_more_than_its_half():
    async def main():
        async with world(SlowClient({"object": DATA}, **S3), slots=48) as w:
            stream = w.open()
            for offset in offsets(300):
                await pick(stream, offset)
                assert w.prefetcher.buyer.slots <= 48 // SHARE
                assert w.arena.in_use <= 48 // SHARE + 6  # and what the last random reads were
            assert large(w)
            assert len(small(w)) < 300 * 3 // 4
            stream.close()
            await w.until_quiet()
            assert w.arena.in_use == 0

    run(main)


def test_a_program_that_moves_on_through_a_large_object_takes_the_memory_with_it():
    async def main():
        async with world(SlowClient({"object": DATA}, **S3), slots=32) as w:
            stream, places = w.open(), random.Random(3)
            for place in range(SIZE // PLACE_BYTES):
                for _ in range(30):
                    await pick(stream, place * PLACE_BYTES + places.randrange(PLACE_BYTES // PIECE) * PIECE)
                assert w.prefetcher.buyer.slots <= 16
            assert len(small(w)) < 7 * 10
            stream.close()

    run(main)


def test_a_random_read_does_not_wait_for_the_large_gets_of_a_purchase():
    async def main():
        async with world(SlowClient({"object": DATA}, **S3), slots=128) as w:
            stream = w.open()
            for offset in offsets(200):
                await pick(stream, offset)
                if sum(get.end - get.start for get in large(w)) == SIZE:
                    break
            w.client.per_mib = 100
            assert large(w)[-1].state == "running"
            began = trio.current_time()
            await pick(stream, large(w)[-1].end - 4 * MiB)
            assert trio.current_time() - began < 20
            stream.close()

    run(main)


def test_what_was_bought_goes_when_memory_is_wanted():
    async def main():
        async with bought() as (w, stream):
            assert w.prefetcher.buyer.slots > 60
            with trio.fail_after(1):
                taken = [await w.arena.acquire() for _ in range(128)]
            assert w.prefetcher.buyer.slots == 0
            for slot in taken:
                w.arena.release(slot)
            await pick(stream, 5 * MiB)
            stream.close()

    run(main)


def test_of_what_was_bought_the_place_read_longest_ago_goes_first_and_one_read_to_its_end_before_it():
    async def main():
        async with bought() as (w, stream):
            for place in (6, 0, 5, 4, 3, 1, 7):
                await pick(stream, place * PLACE_BYTES)
            for offset in range(2 * PLACE_BYTES, 3 * PLACE_BYTES, MiB):
                await pick(stream, offset, size=MiB)
            gone = []
            taken = list(iter(w.arena.acquire_nowait, None))
            for _ in range(16):
                before = set(stream.bought.blocks)
                taken.append(await w.arena.acquire())
                gone += sorted(before - set(stream.bought.blocks))
            assert [index // 8 for index in gone] == [2] * 8 + [6] * 8
            for slot in taken:
                w.arena.release(slot)
            stream.close()

    run(main)


def test_what_was_bought_stays_while_it_is_read_and_goes_when_it_is_not():
    async def main():
        async with bought() as (w, stream):
            w.client.gets.clear()
            for offset in offsets(10, seed=5):
                w.prefetcher.trim()
                await pick(stream, offset)
            assert w.client.gets == []
            w.prefetcher.trim()
            w.prefetcher.trim()
            assert w.arena.in_use == 0
            await pick(stream, 0)
            stream.close()

    run(main)


def test_closing_while_something_is_being_bought_ends_it():
    async def main():
        async with world(SlowClient({"object": DATA}, **S3), slots=128) as w:
            stream = w.open()
            for offset in offsets(200):
                await pick(stream, offset)
                if any(get.state == "running" for get in large(w)):
                    break
            w.client.gate = trio.Event()
            stream.close()
            await trio.testing.wait_all_tasks_blocked()
            gets = len(w.client.gets)
            w.client.gate.set()
            await w.until_quiet()
            assert len(w.client.gets) == gets
            assert w.arena.in_use == 0

    run(main)


def test_a_purchase_whose_object_is_closed_before_it_begins_fetches_nothing():
    async def main():
        async with world(SlowClient({"object": DATA}, **S3), slots=128) as w:
            stream = w.open()
            for offset in offsets(200):
                await stream.read(offset, PIECE)
                if stream.bought is not None:
                    break
            stream.close()
            gets = len(w.client.gets)
            await w.until_quiet()
            assert len(w.client.gets) == gets
            assert w.arena.in_use == 0

    run(main)


def test_a_purchase_that_fails_is_no_error_of_any_read():
    async def main():
        client = SlowClient({"object": DATA}, **S3)
        client.fail = lambda get: Throttled("slow down") if is_large(get) else None
        async with world(client, slots=128) as w:
            stream = w.open()
            for offset in offsets(100):
                await pick(stream, offset)
            await w.until_quiet()
            assert {get.state for get in large(w)} == {"failed"}
            stream.close()
            await w.until_quiet()
            assert w.arena.in_use == 0

    run(main)


def test_a_walk_through_what_was_bought_fetches_nothing_of_it_again():
    async def main():
        async with bought() as (w, stream):
            w.client.gets.clear()
            for offset in range(0, SIZE, 256 * KiB):
                await pick(stream, offset, size=256 * KiB)
            assert w.client.gets == []
            stream.close()

    run(main)


@pytest.mark.parametrize("slots", [1, 6, 24])
def test_many_random_readers_of_a_small_memory_all_come_to_their_end(slots):
    async def main():
        async with world(SlowClient(several(12, DATA), **S3), slots=slots) as w:
            streams = [w.open(f"object{number}") for number in range(12)]

            async def reader(number):
                for offset in offsets(60, seed=number):
                    # Some lie across a boundary of slots.
                    await pick(streams[number], max(0, offset - 8 * KiB))

            with trio.fail_after(1000):
                async with trio.open_nursery() as readers:
                    for number in range(12):
                        readers.start_soon(reader, number)
            for stream in streams:
                stream.close()
            await w.until_quiet()
            assert w.arena.in_use == 0
            assert w.stats.arena_bytes == 0

    run(main)


def test_small_files_are_fetched_ahead_though_half_of_the_memory_is_bought():
    async def main():
        async with world(SlowClient({"object": DATA, "small": b"x" * 100}, **S3), slots=124) as w:
            stream = w.open()
            for offset in offsets(60):
                await pick(stream, offset)
            await w.until_quiet()
            assert w.prefetcher.buyer.slots >= 60
            ahead = w.prefetcher.open_ahead("small", '"1"', 100, lambda _error: None)
            assert ahead is not None
            ahead.close()
            stream.close()

    run(main)


def test_readers_who_bought_much_leave_others_a_fair_share():
    async def main():
        async with world(SlowClient(several(3, DATA), **S3), slots=128) as w:
            streams = [w.open(f"object{number}") for number in range(3)]
            for number, stream in enumerate(streams):
                for offset in offsets(80, seed=number):
                    await pick(stream, offset)
                await w.until_quiet()
                assert w.prefetcher.buyer.slots <= 64
                assert stream.bought is not None
            for stream in streams:
                stream.close()

    run(main)


@settings(max_examples=15, deadline=None)
@given(
    slots=st.sampled_from([16, 20, 40, 130]),
    seed=st.integers(0, 10_000),
    failing=st.sets(st.integers(0, 60), max_size=5),
    interrupt=st.booleans(),
    trims=st.booleans(),
)
def test_whatever_is_bought_and_given_up_the_bytes_are_right(slots, seed, failing, interrupt, trims):
    async def main():
        client = SlowClient(several(2, DATA), **S3)
        client.fail = lambda get: Throttled("slow down") if len(client.gets) in failing else None
        async with world(client, slots=slots) as w:
            streams = [w.open("object0"), w.open("object0"), w.open("object1")]

            async def reader(number):
                places = random.Random(seed * 3 + number)
                for count in range(40):
                    size = places.choice([4 * KiB, 16 * KiB, 100_000, 3 * MiB])
                    offset = places.randrange(SIZE)
                    with trio.move_on_after(0.021 if interrupt and count % 7 == 0 else 10_000):
                        try:
                            found = bytes(await streams[number].read(offset, size))
                        except Throttled:
                            continue
                        assert found == DATA[offset : offset + size]
                    if trims and count % 10 == number:
                        w.prefetcher.trim()
                    await trio.lowlevel.checkpoint()

            async with trio.open_nursery() as readers:
                for number in range(3):
                    readers.start_soon(reader, number)
            for stream in streams:
                stream.close()
            await w.until_quiet()
            assert w.arena.in_use == 0
            assert not w.arena.wanted
            assert w.prefetcher.buyer.slots == 0

    run(main)
