"""The journal: what was appended is replayed, whatever a dying writer left at its end."""

import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import journal
from engine.journal import COMPACT_BYTES_MIN, Journal, Record, replay


@pytest.fixture
def fd() -> Iterator[int]:
    fd = journal.create()
    yield fd
    os.close(fd)


def write(fd: int, records: list[Record], alive: list[Record] | None = None) -> Journal:
    written = Journal(os.dup(fd), lambda: alive or [])
    written.append(records)
    return written


def test_an_empty_journal_has_no_records(fd: int) -> None:
    assert list(replay(fd)) == []
    write(fd, []).close()
    assert list(replay(fd)) == []


def test_records_come_back_in_their_order(fd: int) -> None:
    records = [["inode", 2**62, "größe/\n\u2028 x", 1.5, None], ["forget", 3], ["open", 1, True]]
    written = write(fd, records[:2])
    written.append(records[2:])
    written.close()

    assert list(replay(fd)) == records


def test_a_new_writer_begins_with_its_own_snapshot(fd: int) -> None:
    write(fd, [["old", 1], ["old", 2]]).close()
    write(fd, [["new", 4]], alive=[["old", 2], ["kept", 3]]).close()

    assert list(replay(fd)) == [["old", 2], ["kept", 3], ["new", 4]]


def test_a_long_life_takes_no_more_memory_than_what_is_alive(fd: int) -> None:
    alive: list[Record] = [["alive", "x" * 1000]]
    written = write(fd, [], alive)
    for number in range(100):
        written.append([["passing", number, "y" * 1000] for _ in range(100)])
    written.close()

    held = os.fstat(fd).st_blocks * 512
    assert os.fstat(fd).st_size > 5 * COMPACT_BYTES_MIN
    assert held < 2 * COMPACT_BYTES_MIN
    assert next(replay(fd)) == alive[0]


def test_what_a_killed_writer_had_appended_is_there(fd: int) -> None:
    pid = os.fork()
    if not pid:
        write(fd, [["inode", 7]])
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)

    assert list(replay(fd)) == [["inode", 7]]


@given(cut=st.integers(min_value=0), garbage=st.binary(max_size=64))
def test_a_torn_end_loses_what_is_torn_only(cut: int, garbage: bytes) -> None:
    fd = journal.create()
    records: list[Record] = [["inode", number, "name" * (number % 7)] for number in range(20)]
    written = Journal(os.dup(fd), list)
    for record in records:
        written.append([record])
    written.close()
    size = os.fstat(fd).st_size
    keep = 16 + cut % (size - 16)
    os.ftruncate(fd, keep)
    os.pwrite(fd, garbage, keep)
    found = list(replay(fd))
    os.close(fd)

    assert found[: len(records)] == records[: len(found)]


@given(st.binary(max_size=300))
def test_garbage_is_no_records_and_no_error(data: bytes) -> None:
    fd = journal.create()
    os.pwrite(fd, data, 0)
    found = list(replay(fd))
    successor = Journal(os.dup(fd), lambda: [["fresh", 1]])
    successor.close()
    after = list(replay(fd))
    os.close(fd)

    assert all(isinstance(record, list) for record in found)
    assert after == [["fresh", 1]]
