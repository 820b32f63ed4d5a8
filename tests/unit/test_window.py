"""The rules of reading ahead, without any I/O: each test is a sequence of reads and what must be fetched for it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.read.pace import Pace
from engine.read.window import CALM_BYTES, NOTHING, PART_BYTES, WIDTH_BYTES_MAX, Range, ReadWindow
from engine.spec import KiB, MiB

SIZE = 1024 * MiB
PLENTY = 512 * MiB


def pace_of(first_byte, per_mib):
    """What is known of a server: seconds to the first byte, and for each MiB behind it."""
    pace = Pace()
    for mib in (1, 2, 4):
        pace.finished(mib * MiB, first_byte + mib * per_mib, now=0)
    return pace


NEAR = pace_of(0.0005, 0.0005)
S3S_OWN = pace_of(0.02, 0.011)
SLOW_LINE = pace_of(0.05, 0.25)


def decide(window, offset, size, *, waits=True, missing=False, pace=S3S_OWN, now=0.0, room=PLENTY):
    return window.decide(offset, offset + size, waits=waits, missing=missing, pace=pace, now=now, room=room)


def walk(window, start, end, *, mb_per_second=1000, now=0.0, **how):
    """Read on in steps of 1 MiB, at a speed; all that was fetched ahead."""
    each = MiB / mb_per_second / 1e6
    steps = enumerate(range(start, end, MiB))
    return [
        wanted for step, offset in steps for wanted in decide(window, offset, MiB, now=now + step * each, **how).ahead
    ]


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


def test_the_second_read_from_the_first_byte_on_opens_the_window_to_four_times_what_was_read():
    window = ReadWindow(SIZE, 8 * MiB)
    assert decide(window, 0, MiB, missing=True).ahead == ()
    ahead = decide(window, MiB, MiB, missing=True).ahead
    assert ahead == tuple(Range(start * MiB, (start + 2) * MiB) for start in (2, 4, 6, 8))


def test_the_second_read_elsewhere_opens_it_to_what_was_read():
    window = ReadWindow(SIZE, 8 * MiB)
    decide(window, 100 * MiB, MiB, missing=True)
    assert decide(window, 101 * MiB, MiB, missing=True).ahead == (
        Range(102 * MiB, 103 * MiB),
        Range(103 * MiB, 104 * MiB),
    )


def test_small_reads_in_a_row_fetch_the_next_slot_before_they_get_there():
    window = ReadWindow(SIZE, 8 * MiB)
    decide(window, 0, 16 * KiB, missing=True)
    assert decide(window, 16 * KiB, 16 * KiB, waits=False).ahead == ()
    fetched = [decide(window, offset, 16 * KiB, waits=False).ahead for offset in range(32 * KiB, 512 * KiB, 16 * KiB)]
    assert [ranges for ranges in fetched if ranges] == [(Range(MiB, 2 * MiB),)]


def test_reading_again_at_the_same_place_is_no_walk():
    window = ReadWindow(SIZE, 8 * MiB)
    decide(window, 7 * MiB, 4 * KiB, missing=True)
    for _ in range(5):
        assert decide(window, 7 * MiB, 4 * KiB, waits=False) is NOTHING
    assert not window.walking


def test_a_reader_that_waits_has_as_much_in_flight_as_bandwidth_times_latency_asks():
    window = ReadWindow(SIZE, 8 * MiB)
    walk(window, 0, 24 * MiB)
    assert window.width >= 1e9 * S3S_OWN.seconds(PART_BYTES)
    walk(window, 24 * MiB, 600 * MiB, now=0.024)
    assert WIDTH_BYTES_MAX >= window.width >= 1e9 * S3S_OWN.seconds(PART_BYTES)


def test_a_walk_from_elsewhere_gets_there_too():
    window = ReadWindow(SIZE, 8 * MiB)
    walk(window, 100 * MiB, 200 * MiB)
    assert window.width >= 1e9 * S3S_OWN.seconds(PART_BYTES)


@pytest.mark.parametrize("mb_per_second", [50, 1000, 1500])
def test_the_window_stays_calm_where_gets_take_a_millisecond(mb_per_second):
    window = ReadWindow(SIZE, 8 * MiB)
    walk(window, 0, 600 * MiB, pace=NEAR, mb_per_second=mb_per_second)
    assert window.width == CALM_BYTES


def test_the_window_stays_calm_until_anything_is_known_of_the_server():
    assert walking(pace=Pace()).width == CALM_BYTES


def test_a_reader_that_never_waits_has_a_calm_window_and_few_gets():
    window = ReadWindow(SIZE, 8 * MiB)
    walk(window, 0, 2 * MiB)
    assert len(walk(window, 2 * MiB, 256 * MiB, waits=False, now=0.002)) < 75
    assert window.width == CALM_BYTES


def test_the_window_of_a_reader_that_turns_out_to_be_slow_narrows_by_half_a_round():
    window = walking()
    wide = window.width
    walk(window, 64 * MiB, 70 * MiB + wide, waits=False, mb_per_second=20, now=1.0)
    assert wide > window.width >= wide // 2
    walk(window, 70 * MiB + wide, 600 * MiB, waits=False, mb_per_second=20, now=20.0)
    assert window.width == CALM_BYTES


def test_one_pause_of_a_fast_reader_is_forgotten_after_a_round():
    window = walking()
    wide = window.width
    walk(window, 64 * MiB, 66 * MiB + 2 * wide, waits=False, now=5.0)
    walk(window, 66 * MiB + 2 * wide, 600 * MiB, now=5.3)
    assert window.width >= 1e9 * S3S_OWN.seconds(PART_BYTES)


def test_a_window_in_which_reads_wait_never_narrows():
    window = walking()
    wide = window.width
    walk(window, 64 * MiB, 600 * MiB, mb_per_second=20, now=1.0)  # so slow since GETs take longer now
    assert window.width >= wide


def test_a_burst_of_the_kernels_reads_tells_no_speed():
    window = walking()
    for offset in range(64 * MiB, 600 * MiB, 8 * MiB):  # 100 MB/s, by 8 MiB in one moment
        for part in range(8):
            decide(window, offset + part * MiB, MiB, waits=False, now=1 + offset / 100e6)
    assert window.width < 50 * MiB


def test_on_a_slow_line_no_walk_is_trusted_with_more_than_it_has_read():
    window = ReadWindow(SIZE, 8 * MiB)
    for offset in range(0, 16 * MiB, MiB):
        for _, end in decide(window, offset, MiB, pace=SLOW_LINE, now=offset / 4e6).ahead:
            assert end <= 2 * (offset + MiB)


def test_parts_grow_with_the_window_and_never_beyond_the_largest_get():
    window = ReadWindow(SIZE, 8 * MiB)
    sizes = [end - start for start, end in walk(window, 0, 600 * MiB)]
    assert sizes[:4] == [2 * MiB] * 4
    assert set(sizes[60:]) == {PART_BYTES}
    small = walk(ReadWindow(SIZE, MiB), 0, 600 * MiB)
    assert {end - start for start, end in small} == {MiB}


def test_a_large_file_costs_about_a_get_for_each_part():
    for pace in (NEAR, S3S_OWN):
        assert len(walk(ReadWindow(SIZE, 8 * MiB), 0, SIZE, pace=pace)) < SIZE // PART_BYTES * 1.2


def test_room_bounds_what_is_asked_ahead():
    window = walking()
    for offset in range(64 * MiB, 256 * MiB, MiB):
        for _, end in decide(window, offset, MiB, room=3 * MiB).ahead:
            assert end <= offset + MiB + 3 * MiB
    assert walk(window, 256 * MiB, 300 * MiB, room=-MiB) == []


def test_nothing_is_asked_beyond_the_end():
    window = ReadWindow(10 * MiB + 5, 8 * MiB)
    fetched = walk(window, 0, 10 * MiB)
    assert fetched[-1].end == 10 * MiB + 5


def test_a_forward_seek_inside_the_window_skips():
    window = walking()
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
    window = walking()
    width = window.width
    window.lost(66 * MiB)
    assert window.width == width // 2
    assert decide(window, 64 * MiB, MiB).ahead[0].start == 66 * MiB
    assert window.width == width // 2  # and does not jump back


def test_a_rest_starts_from_a_calm_window_at_the_front():
    window = walking()
    window.rest()
    assert window.width == CALM_BYTES
    assert decide(window, 64 * MiB, MiB, missing=True).ahead[0].start == 65 * MiB


@given(
    st.integers(1, 40 * MiB),
    st.lists(st.tuples(st.integers(0, 40 * MiB), st.integers(1, 2 * MiB), st.booleans(), st.floats(0, 10))),
    st.integers(-MiB, 64 * MiB),
)
def test_whatever_is_read_ranges_lie_in_the_object_and_each_demand_covers_its_read(size, reads, room):
    window = ReadWindow(size, 8 * MiB)
    now = 0.0
    for offset, length, missing, pause in reads:
        now += pause
        if offset >= size:
            continue
        end = min(offset + length, size)
        decision = window.decide(offset, end, waits=missing, missing=missing, pace=S3S_OWN, now=now, room=room)
        if missing:
            assert decision.demand.start <= offset < end <= decision.demand.end <= size
            assert decision.demand.start // MiB == offset // MiB
        for start, stop in decision.ahead:
            assert end <= start < stop <= size
            assert start % MiB == 0
            assert stop <= end + max(0, room)


def test_a_get_takes_what_the_shortest_one_took():
    pace = Pace()
    assert pace.seconds(MiB) is None
    for count, seconds in enumerate([0.03, 0.5, 0.028, 0.09]):
        pace.finished(MiB, seconds, now=count / 100)
    assert pace.seconds(MiB) == 0.028


def test_sizes_that_were_not_measured_are_bounded_by_those_that_were():
    pace = Pace()
    pace.finished(MiB, 0.03, now=0)
    assert pace.seconds(4 * MiB) == pytest.approx(0.12)  # four in a row
    pace.finished(8 * MiB, 0.1, now=0)
    assert pace.seconds(4 * MiB) == pytest.approx(0.1)
    assert pace.seconds(128 * KiB) == pytest.approx(0.03)


def test_an_old_shortest_duration_is_forgotten_after_a_while():
    pace = Pace()
    pace.finished(MiB, 0.01, now=0)
    pace.finished(MiB, 0.03, now=10)
    assert pace.seconds(MiB) == 0.01
    pace.finished(MiB, 0.03, now=300)
    assert pace.seconds(MiB) == 0.03
