"""Several handles of one object: what one of them has fetched is there for all, and is asked for once."""

import pytest
import trio

from engine.errors import BadHandle
from engine.read.sharing import GIVEN_MAX
from engine.read.walk import BLOCKS_BEHIND
from engine.spec import KiB, MiB
from tests.unit.reading import SlowClient, body, run, world

SIZE = 48 * MiB
DATA = body(SIZE)


async def follow(stream, start=0, end=SIZE, step=MiB, pause=0.0):
    """Read on as a program does that waits for each answer."""
    for offset in range(start, end, step):
        assert bytes(await stream.read(offset, step)) == DATA[offset : offset + step]
        await trio.sleep(pause)


def fetched(w):
    """Bytes that were asked for."""
    return sum(end - start for start, end in w.client.ranges)


@pytest.mark.parametrize("handles", [2, 5])
def test_readers_side_by_side_cost_the_gets_of_one(handles):
    async def main():
        async with world(SlowClient({"object": DATA}, first_byte=0.02, per_mib=0.01)) as w:
            alone = w.open()
            await follow(alone)
            alone.close()
            await w.until_quiet()
            gets = len(w.client.gets)
            w.client.gets.clear()
            streams = [w.open() for _ in range(handles)]
            async with trio.open_nursery() as readers:
                for stream in streams:
                    readers.start_soon(follow, stream)
            assert len(w.client.gets) <= gets
            assert fetched(w) == SIZE
            for stream in streams:
                stream.close()
            await w.until_quiet()
            assert w.arena.in_use == 0

    run(main)


def test_the_kernel_asks_by_whichever_handle_it_likes_and_each_byte_is_fetched_once():
    """Two programs that read a file through the page cache: each run of requests comes by one of two handles."""

    async def main():
        async with world(SlowClient({"object": DATA}, first_byte=0.02, per_mib=0.01)) as w:
            streams = [w.open(), w.open()]
            for number, start in enumerate(range(0, SIZE, 4 * MiB)):
                await follow(streams[number % 2], start, start + 4 * MiB)
            assert fetched(w) == SIZE
            for stream in streams:
                stream.close()

    run(main)


@pytest.mark.parametrize("lag", [3, 10, 20])
def test_a_reader_behind_another_gets_what_that_one_is_done_with(lag):
    async def main():
        async with world(SlowClient({"object": DATA}, first_byte=0.02, per_mib=0.01), slots=128) as w:
            first, second = w.open(), w.open()
            await follow(first, 0, lag * MiB)
            async with trio.open_nursery() as readers:
                readers.start_soon(follow, first, lag * MiB, SIZE, MiB, 0.005)
                readers.start_soon(follow, second, 0, SIZE, MiB, 0.005)
            # Twice is only what the first had read when the second began, and reads while that one finds its pace.
            assert fetched(w) <= SIZE + (lag + 10) * MiB
            first.close()
            second.close()
            await w.until_quiet()
            assert w.arena.in_use == 0

    run(main)


def test_a_reader_far_behind_makes_the_first_one_keep_no_more_than_it_may_read_ahead_itself():
    async def main():
        async with world(SlowClient({"object": DATA}, first_byte=0.02, per_mib=0.01), slots=16) as w:
            first, second = w.open(), w.open()
            await follow(first, 0, 2 * MiB)
            await follow(second, 0, 2 * MiB)  # then it pauses
            await follow(first, 2 * MiB)
            await w.until_quiet()
            assert w.arena.in_use <= 16 // 2 + BLOCKS_BEHIND
            await follow(second, 2 * MiB)
            assert fetched(w) <= 2 * SIZE
            first.close()
            second.close()

    run(main)


def test_a_look_back_at_what_was_read_makes_nobody_keep_all_that_follows():
    async def main():
        async with world(SlowClient({"object": DATA}, first_byte=0.02, per_mib=0.01), slots=256) as w:
            stream = w.open()
            await follow(stream, 0, 8 * MiB)
            await follow(stream, 2 * MiB, 2 * MiB + 4096, 4096)
            await follow(stream, 8 * MiB)
            await w.until_quiet()
            assert w.arena.in_use <= GIVEN_MAX + BLOCKS_BEHIND + 2
            stream.close()

    run(main)


def test_readers_of_other_versions_share_nothing():
    async def main():
        async with world(SlowClient({"object": DATA}, first_byte=0.02)) as w:
            old, new = w.open(etag='"1"'), w.open(etag='"2"')
            await follow(old, 0, 4 * MiB)
            w.client.etag = '"2"'
            await follow(new, 0, 4 * MiB)
            assert old is not new
            assert sum(min(end, 4 * MiB) - start for start, end in w.client.ranges if start < 4 * MiB) == 8 * MiB
            old.close()
            new.close()

    run(main)


def test_two_of_a_name_without_an_etag_may_differ_and_share_nothing():
    async def main():
        async with world(SlowClient({"object": DATA}, etag="")) as w:
            assert w.open(etag="") is not w.open(etag="")

    run(main)


def test_one_handle_closed_leaves_the_other_reading():
    async def main():
        async with world(SlowClient({"object": DATA}, first_byte=1)) as w:
            one, other = w.open(), w.open()
            async with trio.open_nursery() as readers:
                readers.start_soon(follow, other, 0, MiB)
                await trio.sleep(0.5)
                one.close()
            await follow(other, MiB, 3 * MiB)
            other.close()
            with pytest.raises(BadHandle):
                await other.read(0, 1)
            await w.until_quiet()
            assert w.arena.in_use == 0
            assert w.open() is not one

    run(main)


def test_each_handle_adds_to_the_places_that_are_remembered():
    """Five programs, each with its own part of the file: none loses what was read ahead for it."""

    async def main():
        async with world(SlowClient({"object": DATA}, first_byte=0.02)) as w:
            streams = [w.open() for _ in range(5)]
            share = SIZE // 5
            for step in range(0, 4 * MiB, 64 * KiB):
                for number, stream in enumerate(streams):
                    await follow(stream, number * share + step, number * share + step + 64 * KiB, 64 * KiB)
            assert sum(end - start for start, end in set(w.client.ranges)) == fetched(w)
            assert len(w.client.gets) <= 5 * 16  # a walk that is lost each time would cost 5 * 32
            for stream in streams:
                stream.close()

    run(main)


def test_a_walk_that_nobody_goes_on_with_gives_its_memory_back_while_another_is_read():
    async def main():
        async with world(SlowClient({"object": DATA}, first_byte=0.02)) as w:
            left, read = w.open(), w.open()
            await follow(left, 0, 4 * MiB)
            await follow(read, 30 * MiB, 32 * MiB)
            await w.until_quiet()
            held = w.arena.in_use
            w.prefetcher.trim()
            await follow(read, 32 * MiB, 33 * MiB)
            await w.until_quiet()
            w.prefetcher.trim()
            assert 0 < w.arena.in_use < held
            assert not any(block.start < 16 * MiB for walk in read._walks for block in walk.blocks.values())
            left.close()
            read.close()

    run(main)
