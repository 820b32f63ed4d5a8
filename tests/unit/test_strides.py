"""Reads that are equally far apart and reads backwards: the rules, then what streams fetch for them."""

import itertools

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from engine.read.pace import Pace
from engine.read.strides import PIECES_MAX, START_PIECES, BackwardWindow, Beginnings, StrideWindow, window_for
from engine.read.window import Range, ReadWindow
from engine.spec import KiB, MiB
from tests.unit.reading import SlowClient, body, run, world

SIZE = 1024 * MiB
PLENTY = 512 * MiB
PART = 8 * MiB
PIECE = 64 * KiB


def decide(window, offset, size, *, waits=True, missing=False, room=PLENTY):
    return window.decide(offset, offset + size, waits=waits, missing=missing, pace=Pace(), now=0.0, room=room)


@pytest.mark.parametrize("step", [4 * MiB, -4 * MiB, 64 * KiB, -5])
def test_two_equal_steps_are_a_stride(step):
    beginnings = Beginnings()
    seen = [beginnings.step(100 * MiB + number * step) for number in range(4)]
    assert seen == [None, None, step, step]


def test_unequal_steps_and_the_same_place_again_are_none():
    beginnings = Beginnings()
    assert [beginnings.step(offset) for offset in (0, 5, 11, 11, 11, 3, 2, 0)] == [None] * 8


def window(step, piece=PIECE):
    return window_for(step, 500 * MiB, 500 * MiB + piece, size=SIZE, part_bytes=PART)


def test_the_step_decides_what_kind_of_walk_it_is():
    assert isinstance(window(None), ReadWindow)
    assert isinstance(window(4 * MiB), StrideWindow)
    assert isinstance(window(-4 * MiB), StrideWindow)
    assert isinstance(window(512 * KiB), ReadWindow)
    assert isinstance(window(MiB, piece=512 * KiB), ReadWindow)
    assert isinstance(window(-MiB, piece=MiB), BackwardWindow)
    assert isinstance(window(-64 * KiB), BackwardWindow)


@pytest.mark.parametrize("step", [4 * MiB, -4 * MiB])
def test_a_stride_that_was_seen_fetches_the_next_pieces_and_nothing_between(step):
    at = 500 * MiB
    decision = decide(window(step), at, PIECE, missing=True)
    assert decision.demand == Range(at, at + PIECE)
    assert decision.ahead == tuple(
        Range(at + number * step, at + number * step + PIECE) for number in range(1, START_PIECES + 1)
    )


def test_each_piece_is_asked_for_once_while_the_stride_goes_on():
    stride = window(4 * MiB)
    asked = []
    for number in range(100):
        asked += decide(stride, (500 + 4 * number) * MiB, PIECE, waits=number < 10).ahead
    assert [start for start, _ in asked] == [(500 + 4 * number) * MiB for number in range(1, len(asked) + 1)]
    assert all(end - start == PIECE for start, end in asked)


def test_pieces_that_had_to_be_waited_for_double_what_is_ahead_until_none_has_to_be():
    stride = window(4 * MiB)
    depths = []
    for number in range(60):
        decide(stride, (500 + 4 * number) * MiB, PIECE, waits=number < 10)
        depths.append(stride.width // PIECE)
    assert sorted(set(depths)) == [2, 4, 8, 16]
    assert depths == sorted(depths)


def test_what_is_ahead_has_a_bound_and_stays_within_the_room():
    stride = window_for(2 * MiB, 0, PIECE, size=4096 * MiB, part_bytes=PART)
    for number in range(1000):
        decide(stride, 2 * number * MiB, PIECE, waits=True)
    assert stride.width // PIECE == PIECES_MAX
    narrow = window(4 * MiB)
    for number in range(60):
        ahead = decide(narrow, (500 + 4 * number) * MiB, PIECE, room=3 * MiB).ahead
        assert all(start <= (500 + 4 * (number + 3)) * MiB for start, _ in ahead)
    assert decide(narrow, 740 * MiB, PIECE, room=-MiB).ahead == ()


@pytest.mark.parametrize(("step", "last"), [(4 * MiB, 1020 * MiB), (-4 * MiB, 0)])
def test_nothing_is_asked_beyond_either_end(step, last):
    stride = window(step)
    asked = []
    for offset in range(500 * MiB, last + step, step):
        asked += decide(stride, offset, PIECE).ahead
    assert asked[-1].start == last
    assert len(asked) == len(set(asked)) == (last - 500 * MiB) // step


def test_pieces_that_come_by_several_reads_are_fetched_whole():
    stride = window(8 * MiB, piece=3 * MiB)
    decision = decide(stride, 500 * MiB, MiB, missing=True)
    assert decision.demand == Range(500 * MiB, 503 * MiB)
    assert decision.ahead[0] == Range(508 * MiB, 511 * MiB)
    assert stride.distance(501 * MiB, MiB) is not None
    assert decide(stride, 501 * MiB, MiB).ahead == ()
    assert decide(stride, 508 * MiB, MiB, waits=False).ahead[-1] == Range(524 * MiB, 527 * MiB)


def test_a_read_between_the_pieces_or_far_from_what_was_asked_is_of_no_stride():
    stride = window(4 * MiB)
    decide(stride, 500 * MiB, PIECE)
    assert stride.distance(504 * MiB, PIECE) == 0
    assert stride.distance(502 * MiB, PIECE) is None
    assert stride.distance(500 * MiB + PIECE, PIECE) is None  # it reads on: a walk of its own
    assert stride.distance(496 * MiB, PIECE) == 0
    assert stride.distance(492 * MiB, PIECE) is None
    assert stride.distance(700 * MiB, PIECE) is None


@pytest.mark.parametrize(("step", "skipped"), [(4 * MiB, 504 * MiB), (-4 * MiB, 496 * MiB)])
def test_pieces_that_were_skipped_can_go(step, skipped):
    stride = window(step)
    decide(stride, 500 * MiB, PIECE)
    decision = decide(stride, 500 * MiB + 2 * step, PIECE)
    decision = decide(stride, 500 * MiB + 3 * step, PIECE)
    gone = (skipped, skipped + PIECE)
    kept = 500 * MiB + 3 * step
    assert gone[1] <= decision.drop_before or (decision.drop_after is not None and gone[0] >= decision.drop_after)
    assert not (kept + PIECE <= decision.drop_before)
    assert decision.drop_after is None or kept < decision.drop_after


@pytest.mark.parametrize("step", [4 * MiB, -4 * MiB])
def test_pieces_that_were_lost_are_asked_for_again(step):
    stride = window(step)
    decide(stride, 500 * MiB, PIECE)
    stride.lost(500 * MiB + 2 * step)
    ahead = decide(stride, 500 * MiB + step, PIECE).ahead
    assert ahead[0].start == 500 * MiB + 2 * step


def test_reading_backwards_is_reading_ahead_in_a_mirror():
    backwards = BackwardWindow(100 * MiB + 5, PART, reach=0)
    assert decide(backwards, 60 * MiB, MiB, missing=True).demand == Range(60 * MiB, 61 * MiB)
    fetched = [
        wanted for offset in range(59 * MiB, 0, -MiB) for wanted in decide(backwards, offset, MiB, waits=False).ahead
    ]
    assert fetched[0].end <= 60 * MiB
    assert all(later.end == sooner.start for sooner, later in itertools.pairwise(fetched))
    assert fetched[-1].start == 0


def test_reading_backwards_from_the_very_end_fetches_what_there_is():
    backwards = BackwardWindow(10 * MiB + 5, PART, reach=0)
    decision = decide(backwards, 10 * MiB, 5, missing=True)
    assert decision.demand == Range(10 * MiB, 10 * MiB + 5)
    assert decision.ahead == (Range(9 * MiB, 10 * MiB),)


def test_what_lies_behind_a_backward_reader_can_go():
    backwards = BackwardWindow(SIZE, PART, reach=0)
    bounds = [decide(backwards, offset, MiB).drop_after for offset in range(200 * MiB, 100 * MiB, -MiB)]
    assert any(bounds)
    assert all(bound > offset for bound, offset in zip(bounds, range(200 * MiB, 100 * MiB, -MiB), strict=True) if bound)


windows = st.one_of(
    st.builds(
        lambda size, reach: (size, BackwardWindow(size, PART, reach=reach)),
        st.integers(1, 40 * MiB),
        st.integers(0, 9 * MiB),
    ),
    st.builds(
        lambda size, step, offset, piece: (size, StrideWindow(size, step, offset % size, offset % size + piece)),
        st.integers(1, 40 * MiB),
        st.integers(-20 * MiB, 20 * MiB).filter(bool),
        st.integers(0, 40 * MiB),
        st.integers(1, 2 * MiB),
    ),
)


@given(
    windows,
    st.lists(st.tuples(st.integers(0, 40 * MiB), st.integers(1, 2 * MiB), st.booleans())),
    st.integers(-MiB, 64 * MiB),
)
def test_whatever_is_read_ranges_lie_in_the_object_and_each_demand_covers_its_read(sized, reads, room):
    size, window = sized
    for offset, length, missing in reads:
        if offset >= size or window.distance(offset, length) is None:
            continue
        end = min(offset + length, size)
        decision = decide(window, offset, end - offset, waits=missing, missing=missing, room=room)
        if missing:
            assert decision.demand.start <= offset < end <= decision.demand.end <= size
            assert decision.demand.start // MiB == offset // MiB
        for start, stop in decision.ahead:
            assert 0 <= start < stop <= size


# Through a stream

STEP = 4 * MiB
DATA = body(130 * MiB + 17)


async def pick(stream, offset, size=PIECE):
    size = min(size, len(DATA) - offset)
    assert bytes(await stream.read(offset, size)) == DATA[offset : offset + size]
    await trio.lowlevel.checkpoint()


def fetched(w):
    return sum(end - start for start, end in w.client.ranges)


@pytest.mark.parametrize("backwards", [False, True])
def test_a_stride_through_an_object_costs_a_get_a_piece_and_hardly_any_waiting(backwards):
    async def main():
        async with world(SlowClient({"object": DATA}, first_byte=0.02, per_mib=0.011)) as w:
            stream = w.open()
            offsets = list(range(0, len(DATA), STEP))
            began = trio.current_time()
            for offset in reversed(offsets) if backwards else offsets:
                await pick(stream, offset)
            assert trio.current_time() - began < len(offsets) * 0.02 / 3
            assert len(w.client.gets) == len(offsets)
            assert fetched(w) < MiB + len(offsets) * 128 * KiB
            stream.close()
            await w.until_quiet()
            assert w.arena.in_use == 0

    run(main)


@pytest.mark.parametrize("step", [16 * KiB, 64 * KiB, 300_000, MiB])
def test_reading_backwards_fetches_each_byte_about_once_and_ahead(step):
    size = 40 * MiB + 17

    async def main():
        async with world(SlowClient({"object": DATA[:size]}, first_byte=0.02, per_mib=0.011)) as w:
            stream = w.open()
            began = trio.current_time()
            for end in range(size, 0, -step):
                start = max(0, end - step)
                assert bytes(await stream.read(start, end - start)) == DATA[start:end]
                await trio.lowlevel.checkpoint()
            assert trio.current_time() - began < 0.031 * 40 / 2
            assert fetched(w) <= size + MiB
            assert len(w.client.gets) < 40
            stream.close()
            await w.until_quiet()
            assert w.arena.in_use == 0

    run(main)


def test_two_readers_each_with_its_stride_wait_for_what_they_need_and_get_the_right_bytes():
    async def main():
        async with world(SlowClient({"object": DATA}, first_byte=0.02, per_mib=0.011)) as w:
            one, other = w.open(), w.open()

            async def reader(stream, first, step):
                for offset in range(first, len(DATA), step):
                    await pick(stream, offset)

            async with trio.open_nursery() as readers:
                readers.start_soon(reader, one, 0, STEP)
                readers.start_soon(reader, other, 2 * MiB + 12345, 6 * MiB)
            one.close()
            other.close()
            await w.until_quiet()
            assert w.arena.in_use == 0

    run(main)


def test_a_stride_that_ends_leaves_a_few_pieces_and_they_go():
    async def main():
        async with world(SlowClient({"object": DATA}, first_byte=0.02)) as w:
            stream = w.open()
            for offset in range(0, 5 * STEP, STEP):
                await pick(stream, offset)
            await w.until_quiet()
            assert len(w.client.gets) <= 5 + 4 * START_PIECES
            w.prefetcher.trim()
            w.prefetcher.trim()
            assert w.arena.in_use == 0
            stream.close()

    run(main)


def test_a_stride_in_a_small_memory_goes_on():
    async def main():
        async with world(SlowClient({"object": DATA}, first_byte=0.02), slots=2) as w:
            stream = w.open()
            for offset in range(0, len(DATA), STEP):
                await pick(stream, offset + MiB - 8 * KiB)  # across a boundary of slots
            stream.close()
            await w.until_quiet()
            assert w.arena.in_use == 0

    run(main)
