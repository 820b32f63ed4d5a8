"""When files of a directory are read one after the other, and how many to have ahead: the rules."""

import random

from engine.fs.walks import AHEAD_BYTES_MAX, AHEAD_MAX, CALM, NEAR, START, STEPS_MIN, Walk, Walks
from engine.spec import KiB, MiB

SIZE = 16 * KiB


def _read(walks: Walks, numbers: list[int], directory: str = "d/") -> Walk:
    for number in numbers:
        walk = walks.read(directory, number, SIZE)
    return walk


def _gone(count: int) -> Walk:
    """A walk after so many reads."""
    return _read(Walks(), list(range(10, 10 + count)))


def test_a_few_files_in_a_row_are_a_walk_and_fewer_are_none() -> None:
    assert _gone(STEPS_MIN - 1).room == 0
    assert _gone(STEPS_MIN).room == min(START, STEPS_MIN)


def test_files_that_are_left_out_do_not_end_a_walk_and_a_jump_does() -> None:
    assert _read(Walks(), [10, 10 + NEAR, 10 + 2 * NEAR]).room
    assert not _read(Walks(), [10, 11, 12 + NEAR]).room


def test_a_file_that_is_read_again_and_again_is_no_walk() -> None:
    assert not _read(Walks(), [10] * 20).room


def test_reads_in_no_order_are_hardly_ever_a_walk() -> None:
    walks, numbers = Walks(), list(range(1000))
    random.Random(1).shuffle(numbers)
    assert sum(_read(walks, [number]).room > 0 for number in numbers) <= 10


def test_two_directories_in_turn_are_two_walks() -> None:
    walks = Walks()
    for step in range(STEPS_MIN):
        one, other = _read(walks, [10 + step], "a/"), _read(walks, [500 + step], "b/")
    assert one is not other
    assert one.room
    assert other.room


def test_threads_that_read_one_row_together_are_one_walk() -> None:
    walks = Walks()
    found = {_read(walks, [number]) for number in (10, 12, 11, 13, 15, 14)}
    assert len(found) == 1


def test_the_width_grows_to_calm_while_nobody_waits_and_beyond_while_somebody_does() -> None:
    walk = _gone(500)
    for _ in range(500):
        walk.fetched(SIZE)
        walk.used(SIZE, late=False)
    assert walk.width == CALM
    for _ in range(500):
        walk.fetched(SIZE)
        walk.used(SIZE, late=True)
    assert walk.width == AHEAD_MAX


def test_a_walk_whose_files_nobody_wants_is_given_up() -> None:
    walk = _gone(500)
    while walk.room:
        walk.fetched(SIZE)
        walk.wasted(SIZE)
        walk.narrow()
    walk.used(SIZE, late=True)
    assert walk.width == 0


def test_never_more_is_ahead_or_in_vain_than_was_read() -> None:
    chance = random.Random(2)
    walk = Walk("d/", 0)
    read = read_bytes = used = used_bytes = fetched = fetched_bytes = 0
    coming: list[int] = []
    for number in range(3000):
        size = chance.choice([1, 500, SIZE, MiB])
        walk.read(number, size)
        read, read_bytes = read + 1, read_bytes + size
        while walk.room and walk.fits(more := chance.choice([1, 500, SIZE, MiB])):
            walk.fetched(more)
            coming.append(more)
            fetched, fetched_bytes = fetched + 1, fetched_bytes + more
        assert fetched - used <= read
        assert fetched_bytes - used_bytes <= read_bytes
        assert sum(coming) <= AHEAD_BYTES_MAX
        while coming and chance.random() < 0.5:
            done = coming.pop(0)
            if chance.random() < 0.5:
                walk.used(done, late=True)
                used, used_bytes = used + 1, used_bytes + done
            else:
                walk.wasted(done)


def test_a_file_far_larger_than_those_that_were_read_is_left_out() -> None:
    walk = _gone(3)
    assert walk.can_fit(3 * SIZE)
    assert not walk.can_fit(3 * SIZE + 1)
    walk.fetched(2 * SIZE)
    assert not walk.fits(2 * SIZE)
    assert walk.can_fit(2 * SIZE)
