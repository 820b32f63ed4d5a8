"""Inodes by number: whatever comes and goes in whatever order, as a dictionary has it."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.namespace.inode import NEVER, Inode
from engine.namespace.numbered import FEW, PAGE, Numbered

GENERATION = 1 << 40
NUMBERS = st.integers(1, 5 * PAGE) | st.integers(GENERATION, GENERATION + 3 * PAGE)


def inode(number: int) -> Inode:
    return Inode(number, f"f{number}", None, NEVER)


@given(st.lists(NUMBERS, max_size=200), st.lists(NUMBERS))
def test_what_came_and_did_not_go_is_there(toggled: list[int], asked: list[int]) -> None:
    table, expected = Numbered(), dict[int, Inode]()
    for number in toggled:
        if number in expected:
            table.remove(number)
            del expected[number]
        else:
            expected[number] = inode(number)
            table.put(expected[number])

    assert len(table) == len(expected)
    assert table.numbers() == sorted(expected)
    for number in [*toggled, *asked]:
        assert table.get(number) is expected.get(number)
        assert (number in table) == (number in expected)
    table.tidy()
    assert table.numbers() == sorted(expected)


def test_one_that_is_not_there_can_not_be_removed() -> None:
    table = Numbered()
    table.put(inode(1))
    with pytest.raises(KeyError):
        table.remove(2)
    assert (len(table), table.numbers()) == (1, [1])


@pytest.mark.parametrize("stays", [1, FEW, FEW + 1, PAGE])
def test_what_is_left_of_many_takes_what_it_needs(stays: int) -> None:
    """Of each PAGE numbers so many stay, as directories do when their files were forgotten."""
    pages = 200
    table = Numbered()
    for number in range(pages * PAGE):
        table.put(inode(number))
        if number >= PAGE and number % PAGE >= stays:
            table.remove(number - PAGE)
    table.tidy()

    assert len(table) == (pages - 1) * stays + PAGE
    lists = sum(sys.getsizeof(page) + sys.getsizeof(page.inodes) for page in table._pages.values())
    taken = lists + sys.getsizeof(table._pages) + sys.getsizeof(table._few)
    assert taken <= len(table) * 80 + PAGE * 20
