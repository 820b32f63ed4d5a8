"""The rules of reading ahead, without any I/O: each test is a sequence of reads and what must be fetched for it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.read.pace import Pace
from engine.read.window import CALM_BYTES, NOTHING, START_BYTES, WIDTH_BYTES_MAX, Range, ReadWindow
from engine.spec import KiB, MiB

SIZE = 1024 * MiB
PLENTY = 512 * MiB


def decide(window, offset, size, *, waits=True, missing=False, slowdown=1.0, room=PLENTY):
    return window.decide(offset, offset + size, waits=waits, missing=missing, slowdown=slowdown, room=room)


def walk(window, start, end, **how):
    """Read on in steps of 1 MiB; all that was fetched ahead."""
    return [wanted for offset in range(start, end, MiB) for wanted in decide(window, offset, MiB, **how).ahead]


def walking(**how):
    """A window that has walked 64 MiB."""
    window = ReadWindow(SIZE, 8 * MiB)
    walk(window, 0, 64 * MiB, **how)
    return window


def test_the_first_read_fetches_no_more_than_it_needs():
    assert decide(ReadWindow(SIZE, 8 * MiB), 5 * MiB + 3, 16 * KiB, missing=True).demand == Range(
        5 * MiB, 5 * MiB + 128 * KiB
    )
    assert decide(ReadWindow(SIZE, 8 * MiB), 5 * MiB + 3, 16 * KiB, missing=True).ahead == ()


def test_the_first_read_at_the_first_byte_fetches_a_slot():
    decision = decide(ReadWindow(SIZE, 8 * MiB), 0, 4 * KiB, missing=True)
    assert (decision.demand, decision.ahead) == (Range(0, MiB), ())


@pytest.mark.parametrize("offset", [0, 300 * KiB])
def test_a_small_object_is_fetched_whole(offset):
    decision = decide(ReadWindow(700 * KiB, 8 * MiB), offset, 4 * KiB, missing=True)
    assert decision.demand == Range(0, 700 * KiB)


def test_the_second_read_in_a_row_opens_the_window_and_it_doubles_to_calm():
    window = ReadWindow(SIZE, 8 * MiB)
    assert decide(window, 0, MiB, missing=True).ahead == ()
    assert decide(window, MiB, MiB, missing=True).ahead == (Range(2 * MiB, 3 * MiB),)
    assert window.width == START_BYTES
    walk(window, 2 * MiB, 64 * MiB, waits=False)
    assert window.width == CALM_BYTES


def test_reading_again_at_the_same_place_is_no_walk():
    window = ReadWindow(SIZE, 8 * MiB)
    decide(window, 7 * MiB, 4 * KiB, missing=True)
    for _ in range(5):
        assert decide(window, 7 * MiB, 4 * KiB, waits=False) is NOTHING
    assert not window.walking


def test_a_reader_that_waits_while_gets_are_unhurried_widens_the_window_to_its_bound():
    assert walking(slowdown=1.2).width > CALM_BYTES
    window = ReadWindow(SIZE, 8 * MiB)
    walk(window, 0, 600 * MiB, slowdown=1.2)
    assert window.width == WIDTH_BYTES_MAX


def test_a_reader_that_never_waits_or_gets_that_slow_each_other_down_leave_it_calm():
    assert walking(waits=False).width == CALM_BYTES
    assert walking(slowdown=3.0).width == CALM_BYTES


def test_a_wide_window_shrinks_when_gets_slow_each_other_down():
    window = walking(slowdown=1.0)
    wide = window.width
    walk(window, 64 * MiB, 65 * MiB + wide * 3, slowdown=3.0)
    assert window.width == wide  # neither grows nor shrinks
    walk(window, 65 * MiB + wide * 3, 65 * MiB + wide * 20, slowdown=9.0)
    assert window.width == CALM_BYTES


def test_parts_grow_with_the_window_and_never_beyond_the_largest_get():
    window = ReadWindow(SIZE, 2 * MiB)
    fetched = walk(window, 0, 600 * MiB, slowdown=1.0)
    sizes = [end - start for start, end in fetched]
    assert sizes[0] == MiB
    assert max(sizes) == 2 * MiB
    large = walk(ReadWindow(SIZE, 64 * MiB), 0, 600 * MiB, slowdown=1.0)
    assert max(end - start for start, end in large) == 8 * MiB


def test_room_bounds_what_is_asked_ahead():
    window = walking(slowdown=1.0)
    for offset in range(64 * MiB, 256 * MiB, MiB):
        for _, end in decide(window, offset, MiB, room=3 * MiB).ahead:
            assert end <= offset + MiB + 3 * MiB
    assert walk(window, 256 * MiB, 300 * MiB, room=-MiB) == []


def test_nothing_is_asked_beyond_the_end():
    window = ReadWindow(10 * MiB + 5, 8 * MiB)
    fetched = walk(window, 0, 10 * MiB)
    assert fetched[-1].end == 10 * MiB + 5


def test_a_forward_seek_inside_the_window_skips():
    window = walking(slowdown=1.0)
    decision = decide(window, 70 * MiB, MiB, waits=False)
    assert decision.demand is None
    assert all(start >= 64 * MiB for start, _ in decision.ahead)
    assert window.distance(71 * MiB, MiB) == 0


def test_blocks_far_behind_the_front_can_go():
    window = ReadWindow(SIZE, 8 * MiB)
    bounds = [decide(window, offset, MiB).drop_before for offset in range(0, 64 * MiB, MiB)]
    assert max(bounds) >= 40 * MiB
    assert all(bound <= offset * MiB - 7 * MiB for offset, bound in enumerate(bounds) if bound)
    assert len([bound for bound in bounds if bound]) < 10  # not each time


def test_reads_far_away_are_not_of_this_walk_and_near_ones_are():
    window = walking()
    assert window.distance(64 * MiB, MiB) == 0
    assert window.distance(60 * MiB, MiB) == 4 * MiB
    assert window.distance(64 * MiB, 4 * KiB) == 0
    assert window.distance(40 * MiB, MiB) is None
    assert window.distance(300 * MiB, MiB) is None


def test_small_random_reads_are_near_only_if_they_are_very_near():
    window = ReadWindow(SIZE, 8 * MiB)
    decide(window, 100 * MiB, 16 * KiB, missing=True)
    assert window.distance(100 * MiB + 32 * KiB, 16 * KiB) == 16 * KiB
    assert window.distance(101 * MiB, 16 * KiB) is None


def test_what_was_lost_is_asked_again_and_the_window_is_smaller():
    window = walking(slowdown=1.0)
    width = window.width
    window.lost(66 * MiB)
    assert window.width == width // 2
    assert decide(window, 64 * MiB, MiB).ahead[0].start == 66 * MiB


def test_a_rest_starts_from_a_calm_window_at_the_front():
    window = walking(slowdown=1.0)
    window.rest()
    assert window.width == CALM_BYTES
    assert decide(window, 64 * MiB, MiB, missing=True).ahead[0].start == 65 * MiB


@given(
    st.integers(1, 40 * MiB),
    st.lists(st.tuples(st.integers(0, 40 * MiB), st.integers(1, 2 * MiB), st.booleans(), st.floats(1, 10))),
    st.integers(-MiB, 64 * MiB),
)
def test_whatever_is_read_ranges_lie_in_the_object_and_each_demand_covers_its_read(size, reads, room):
    window = ReadWindow(size, 8 * MiB)
    for offset, length, missing, slowdown in reads:
        if offset >= size:
            continue
        end = min(offset + length, size)
        decision = window.decide(offset, end, waits=missing, missing=missing, slowdown=slowdown, room=room)
        if missing:
            assert decision.demand.start <= offset < end <= decision.demand.end <= size
            assert decision.demand.start // MiB == offset // MiB
        for start, stop in decision.ahead:
            assert end <= start < stop <= size
            assert start % MiB == 0
            assert stop <= end + max(0, room)


def test_gets_that_take_as_long_as_ever_are_unhurried():
    pace = Pace()
    for count in range(50):
        pace.finished(MiB, 0.03, now=count)
        pace.finished(4 * MiB, 0.07, now=count)
    assert pace.slowdown == pytest.approx(1.0, abs=0.05)


def test_gets_that_take_longer_and_longer_slow_each_other_down():
    pace = Pace()
    pace.finished(MiB, 0.001, now=0)
    for count in range(20):
        pace.finished(MiB, 0.004, now=count / 100)
    assert pace.slowdown == pytest.approx(4.0, abs=0.1)


def test_a_larger_size_is_expected_to_take_no_more_than_its_parts_would():
    pace = Pace()
    pace.finished(MiB, 0.001, now=0)
    for _ in range(20):
        pace.finished(4 * MiB, 0.016, now=0)
    assert pace.slowdown == pytest.approx(4.0, abs=0.1)


def test_an_old_shortest_duration_is_forgotten_after_a_while():
    pace = Pace()
    pace.finished(MiB, 0.01, now=0)
    for count in range(200, 260):
        pace.finished(MiB, 0.03, now=count)
    assert pace.slowdown < 1.2


def test_one_stray_get_changes_little():
    pace = Pace()
    for count in range(20):
        pace.finished(MiB, 0.03, now=count)
    pace.finished(MiB, 0.09, now=20)
    assert pace.slowdown < 2
