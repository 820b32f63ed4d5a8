"""Too many inodes: which are forgotten though the kernel holds them, and which never."""

import itertools
import sys
import tracemalloc
from collections.abc import Callable
from dataclasses import replace

import pytest

from engine.errors import Stale
from engine.fs.inherited import Inherited, InheritedFile
from engine.fs.takeover import inherit_names
from engine.namespace import crowd
from engine.namespace.crowd import INODE_BYTES, NAMES_BYTES_MAX, TRIES_MAX
from engine.namespace.inode import Inode
from engine.namespace.inodes import InodeTable
from engine.namespace.packed import pack
from engine.s3.interface import ObjectInfo
from engine.stats import EngineStats

NEVER = float("inf")

# Room for at least this many short names, and not for half as many again.
ROOM = 100


class Crowded:
    """A table with room for ROOM names, and what it says of those that it forgets."""

    def __init__(self) -> None:
        self.forgotten: list[int] = []
        self.stats = EngineStats()
        self.table = InodeTable("", generation=0, stats=self.stats, forgotten=self.forgotten.append)
        self._numbers = itertools.count()

    def file(self) -> Inode:
        return self.table.link(location := f"f{next(self._numbers):05}", ObjectInfo(location, 1, '"1"', 0.0), NEVER)

    def directory(self) -> Inode:
        return self.table.link(f"d{next(self._numbers):05}", None, NEVER)

    def files(self, count: int) -> list[Inode]:
        return [self.file() for _ in range(count)]


@pytest.fixture
def crowded(monkeypatch: pytest.MonkeyPatch) -> Crowded:
    monkeypatch.setattr(crowd, "NAMES_BYTES_MAX", ROOM * (INODE_BYTES + 64))
    return Crowded()


def test_as_many_names_as_programs_read_at_once_are_remembered() -> None:
    """`fts` reads 100,000 names of a directory before it asks for the first one's attributes."""
    assert 100_000 * (INODE_BYTES + sys.getsizeof("x" * 24)) <= NAMES_BYTES_MAX


def test_the_first_that_came_is_the_first_that_goes(crowded: Crowded) -> None:
    files = crowded.files(3 * ROOM)

    kept = len(crowded.table) - 1
    assert ROOM <= kept < 1.5 * ROOM
    assert crowded.stats.inodes == kept + 1
    assert crowded.forgotten == [inode.number for inode in files[:-kept]]
    assert [crowded.table.find(inode.number) for inode in files[-kept:]] == files[-kept:]
    with pytest.raises(Stale):
        crowded.table.get(files[0].number)
    assert crowded.table.at(files[0].location) is None


def test_a_forgotten_name_comes_back_as_another_number_and_its_old_forget_does_nothing(crowded: Crowded) -> None:
    first = crowded.file()
    crowded.files(2 * ROOM)
    again = crowded.table.link(first.location, first.info, NEVER)
    crowded.table.forget(first.number, 1)

    assert again.number != first.number
    assert crowded.table.at(first.location) is again


def test_directories_open_files_and_what_is_pending_stay(crowded: Crowded) -> None:
    directory, open_, pending = crowded.directory(), crowded.file(), crowded.file()
    open_.handles = 1
    crowded.table.hold(pending)
    crowded.files(5 * ROOM)

    for inode in (directory, open_, pending):
        assert crowded.table.get(inode.number) is inode
        assert crowded.table.at(inode.location) is inode


def test_a_file_that_was_opened_goes_one_round_later(crowded: Crowded) -> None:
    opened, other = crowded.file(), crowded.file()
    opened.opened = True
    crowded.files(int(1.5 * ROOM))
    assert crowded.table.find(other.number) is None
    assert crowded.table.find(opened.number) is opened

    crowded.files(3 * ROOM)
    assert crowded.table.find(opened.number) is None


def test_of_what_an_engine_before_left_the_first_go_but_for_what_is_open(crowded: Crowded) -> None:
    infos = {number: ObjectInfo(f"f{number}", 1, '"1"', 0.0) for number in range(1000, 1000 + 3 * ROOM)}
    inodes = {number: (info.key, pack(info)) for number, info in infos.items()}
    inherit_names(Inherited(inodes=inodes, files={7: InheritedFile(1000, infos[1000], direct=False)}), crowded.table)

    kept = len(crowded.table) - 1
    assert ROOM <= kept < 1.5 * ROOM
    assert crowded.stats.inodes == kept + 1
    assert crowded.table.get(1000) is crowded.table.at("f1000")
    assert crowded.forgotten == list(infos)[1 : 1 + 3 * ROOM - kept]


def test_what_the_kernel_drops_makes_room(crowded: Crowded) -> None:
    for inode in crowded.files(ROOM):
        crowded.table.forget(inode.number, 1)
    files = crowded.files(ROOM)

    assert crowded.forgotten[ROOM:] == []
    assert len(crowded.table) == 1 + len(files)


def test_a_crowd_of_directories_costs_a_few_looks_each_and_stays(crowded: Crowded) -> None:
    looked = 0

    class Counting(Inode):
        @property
        def is_directory(self) -> bool:
            nonlocal looked
            looked += 1
            return True

    for number in range(5 * ROOM):
        crowded.table._put(Counting(1000 + number, f"x{number}", None, NEVER))

    assert len(crowded.table) == 1 + 5 * ROOM
    assert looked <= 5 * ROOM * (TRIES_MAX + 1)


def _size_of_tables(table: InodeTable) -> int:
    numbered = table._by_number
    return sum(map(sys.getsizeof, (numbered._pages, numbered._few, table._by_location)))


def test_tables_shrink_when_most_names_went() -> None:
    table = InodeTable("", generation=0, stats=EngineStats())
    empty = _size_of_tables(table)
    inodes = [table.link(f"f{number}", None, NEVER) for number in range(50_000)]
    full = _size_of_tables(table)
    for inode in inodes:
        table.forget(inode.number, 1)
    left = _size_of_tables(table)

    assert len(table) == 1
    assert left < full / 4 + empty
    assert len(table._crowd._order) <= 2 * 4096


def _listed(table: InodeTable, info: ObjectInfo, number: int) -> None:
    table.link(info.key, info, valid_until=number // 1000 + 0.5)


def _looked_up(table: InodeTable, info: ObjectInfo, number: int) -> None:
    table.link(info.key, info, valid_until=number + 0.5)


def _made(table: InodeTable, info: ObjectInfo, number: int) -> None:
    inode = table.create(info.key, replace(info, size=0, etag=""), valid_until=number + 0.5)
    inode.times_ns = number << 40, number << 41
    table.settle(inode, info, number + 0.25, lambda _info: number + 0.75)


@pytest.mark.parametrize("come", [_listed, _looked_up, _made])
def test_names_take_no_more_than_is_counted(come: Callable[[InodeTable, ObjectInfo, int], None]) -> None:
    """S50: however they came. What has a size of its own, such as a float, is made anew for each."""
    count = 5_000
    table = InodeTable("", generation=0, stats=EngineStats())
    tracemalloc.start()
    try:
        for number in range(count):
            key = f"directory/{number:014}"
            come(table, ObjectInfo(key, 1 << 20, f'"{number:032x}"', number + 0.5), number)
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(table) == 1 + count
    assert taken <= table._crowd._bytes, f"{taken / count:.0f} each, of {table._crowd._bytes / count:.0f}"
