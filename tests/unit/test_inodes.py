"""The inode table: a number is one version of one name, for as long as the kernel holds it."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import Stale
from engine.namespace.inodes import ROOT, InodeTable
from engine.s3.interface import ObjectInfo
from engine.stats import EngineStats

NEVER = float("inf")


def info(key: str, etag: str = '"1"') -> ObjectInfo:
    return ObjectInfo(key, size=1, etag=etag, last_modified=0.0)


def table(prefix: str = "", generation: int = 0) -> InodeTable:
    return InodeTable(prefix, generation=generation, stats=EngineStats())


def test_the_same_version_seen_again_keeps_its_number_and_counts_lookups() -> None:
    inodes = table()
    first = inodes.link("a", info("a"), 1.0)
    second = inodes.link("a", replace(info("a"), last_modified=5.0), 2.0)

    assert second is first
    assert (first.lookups, first.valid_until) == (2, 2.0)
    assert first.info is not None
    assert first.info.last_modified == 5.0


def test_a_changed_etag_gets_a_new_number_and_the_old_one_lives_until_forgotten() -> None:
    inodes = table()
    old = inodes.link("a", info("a", '"1"'), NEVER)
    new = inodes.link("a", info("a", '"2"'), NEVER)

    assert new.number != old.number
    assert inodes.get(old.number) is old
    assert not inodes.is_current(old)
    assert inodes.is_current(new)
    inodes.forget(old.number, 1)
    with pytest.raises(Stale):
        inodes.get(old.number)
    assert inodes.at("a") is new


@pytest.mark.parametrize(("before", "after"), [(info("a"), None), (None, info("a"))])
def test_a_name_that_changes_its_kind_gets_a_new_number(before: ObjectInfo | None, after: ObjectInfo | None) -> None:
    inodes = table()
    old = inodes.link("a", before, NEVER)
    new = inodes.link("a", after, NEVER)

    assert new.number != old.number
    assert old.is_directory is not new.is_directory


def test_a_version_that_was_seen_missing_comes_back_as_a_new_number() -> None:
    inodes = table()
    old = inodes.link("a", info("a"), NEVER)
    inodes.unlink(old)

    assert inodes.link("a", info("a"), NEVER).number != old.number


def test_refresh_with_another_version_takes_the_name_away() -> None:
    inodes = table()
    inode = inodes.link("a", info("a", '"1"'), 1.0)

    assert inodes.refresh(inode, info("a", '"1"'), 2.0)
    assert inode.valid_until == 2.0
    assert not inodes.refresh(inode, info("a", '"2"'), 3.0)
    assert not inodes.is_current(inode)


def test_no_two_generations_give_one_number_and_a_foreign_number_is_stale() -> None:
    first, second = table(generation=0), table(generation=1)
    numbers = {first.link(name, None, NEVER).number for name in "abc"}

    assert not numbers & {second.link(name, None, NEVER).number for name in "abc"}
    for number in numbers:
        with pytest.raises(Stale):
            second.get(number)
        second.forget(number, 1)  # inherited by the kernel: no error
    assert len(second) == 4


def test_the_root_is_always_there() -> None:
    inodes = table("train/")

    inodes.forget(ROOT, 10)
    assert inodes.get(ROOT) is inodes.root
    assert inodes.root.prefix == "train/"
    assert inodes.parent(inodes.root) is inodes.root
    assert inodes.link("train/a", None, NEVER).prefix == "train/a/"


def test_the_parent_is_found_by_location_and_replaced_by_itself_when_forgotten() -> None:
    inodes = table()
    directory = inodes.link("a", None, NEVER)
    child = inodes.link("a/b", info("a/b"), NEVER)

    assert inodes.parent(child) is directory
    assert inodes.parent(directory) is inodes.root
    inodes.forget(directory.number, 1)
    assert inodes.parent(child) is child


def test_an_inherited_inode_stays_until_the_kernel_gives_back_what_it_holds() -> None:
    """How many lookups an engine before had counted is not known: one that did not reach the kernel is not the last."""
    inodes = table(generation=1)
    for number, kept in ((70, 1), (71, 5)):
        inodes.inherit({number: (f"d{number}", None)})
        inode = inodes.link(f"d{number}", None, NEVER)
        inodes.forget(number, 1)
        assert inodes.find(number) is inode
        inodes.link(f"d{number}", None, NEVER)
        inodes.forget(number, kept + 1)
        assert inodes.find(number) is None


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["dir", "1", "2"]), st.booleans()), max_size=40))
def test_the_table_holds_exactly_what_the_kernel_holds(events: list[tuple[str, str, bool]]) -> None:
    stats = EngineStats()
    inodes = InodeTable("", generation=3, stats=stats)
    held: Counter[int] = Counter()
    version: dict[int, tuple[str, str]] = {}
    for name, kind, forget in events:
        if forget and held:
            number = min(held)
            inodes.forget(number, held.pop(number))
            continue
        inode = inodes.link(name, None if kind == "dir" else info(name, kind), NEVER)
        held[inode.number] += 1
        assert version.setdefault(inode.number, (name, kind)) == (name, kind)

    assert len(inodes) == len(held) + 1
    assert stats.inodes == len(inodes)
    for number, lookups in held.items():
        assert inodes.get(number).lookups == lookups
