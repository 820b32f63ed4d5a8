"""When a thread walks a tree of directories, and how many to list ahead: the rules."""

import random

from engine.fs.trees import AHEAD_MAX, ENTRIES_MAX, START, STEPS_MIN, Depth, TreeWalk


def _walked(*directories: tuple[str, int]) -> TreeWalk:
    walk = TreeWalk("")
    for prefix, number in directories:
        assert walk.opened(prefix, number)
    return walk


def _nearest(walk: TreeWalk) -> tuple[str, int, Depth]:
    level, depth = next(walk.ahead())
    return level.prefix, level.reached, depth


def _gone(count: int) -> tuple[TreeWalk, Depth]:
    """A walk through so many directories of the first one, and their depth."""
    walk = _walked(*((f"d{number}/", number) for number in range(count)))
    return walk, _nearest(walk)[2]


def test_a_few_directories_below_one_are_a_walk_and_fewer_are_none() -> None:
    assert not list(_walked(*((f"d{number}/", number) for number in range(STEPS_MIN - 1))).ahead())
    assert list(_walked(*((f"d{number}/", number) for number in range(STEPS_MIN))).ahead())


def test_a_directory_elsewhere_or_the_same_again_is_none_of_the_walk() -> None:
    assert not _walked(("a/", 5)).opened("x/y/", 6)
    assert not _walked(("a/", 5)).opened("a/", 5)
    assert not _walked(("a/", 5)).opened("", 1)
    assert not _walked(("a/", 5), ("a/b/", 6)).opened("a/", 5), "on the way back, as `rm -r` does"


def test_the_nearest_directories_come_first_from_where_the_walk_is() -> None:
    walk = _walked(("a/", 5), ("b/", 6), ("b/x/", 20), ("b/y/", 21))
    assert [(level.prefix, level.reached) for level, _ in walk.ahead()] == [("b/", 21), ("", 6)]
    walk.opened("c/", 7)
    assert _nearest(walk)[:2] == ("", 7)


def test_who_goes_down_does_not_walk_yet() -> None:
    walk = _walked(("a/", 5), ("a/b/", 6), ("a/b/c/", 7))
    assert not list(walk.ahead())
    walk.opened("a/b/d/", 8)
    assert [level.prefix for level, _ in walk.ahead()] == ["a/b/"]


def test_a_depth_that_was_walked_once_is_from_the_first_directory_on() -> None:
    walk = _walked(("a/", 5), ("a/x/", 20), ("a/y/", 21), ("b/", 6), ("b/x/", 30))
    assert [(level.prefix, level.reached) for level, _ in walk.ahead()] == [("b/", 30), ("", 6)]


def test_the_width_grows_with_what_is_used_and_no_further_than_its_bound() -> None:
    walk, depth = _gone(500)
    assert depth.width == START
    for _ in range(100):
        walk.listed(depth)
        walk.used(depth, 100)
    assert depth.width == AHEAD_MAX


def test_large_directories_are_listed_ahead_by_few() -> None:
    walk, depth = _gone(500)
    for _ in range(100):
        walk.listed(depth)
        walk.used(depth, 1000)
    ahead = 0
    while walk.room(depth):
        walk.listed(depth)
        ahead += 1
    assert ahead == ENTRIES_MAX // 1000


def test_a_walk_that_is_slower_than_its_listings_age_is_left_alone() -> None:
    walk, depth = _gone(500)
    while walk.room(depth):
        walk.listed(depth)
        walk.wasted(depth)
    assert depth.width == 0


def test_never_more_is_ahead_or_in_vain_than_was_opened() -> None:
    chance, walk = random.Random(3), TreeWalk("")
    used = listed = 0
    for opened in range(1, 1000):
        walk.opened(f"d{opened}/", opened)
        for _level, depth in walk.ahead():
            while walk.room(depth):
                walk.listed(depth)
                listed += 1
            assert listed - used <= opened
            while depth.coming and chance.random() < 0.8:
                if chance.random() < 0.7:
                    walk.used(depth, 10)
                    used += 1
                else:
                    walk.wasted(depth)
    assert used
