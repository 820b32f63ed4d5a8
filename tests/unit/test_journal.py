"""The journal: what was appended is replayed, whatever a dying writer left at its end."""

import contextlib
import json
import os
import resource
import signal
import struct
import zlib
from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import journal
from engine.journal import COMPACT_BYTES_MIN, Journal, Record, Replay


@pytest.fixture
def fd() -> Iterator[int]:
    fd = journal.create()
    yield fd
    os.close(fd)


def texts(records: Iterable[Record]) -> list[str]:
    return [json.dumps(record, ensure_ascii=False) for record in records]


def write(fd: int, records: list[Record], alive: list[Record] | None = None) -> Journal:
    written = Journal(os.dup(fd), lambda: [texts([record]) for record in alive or []])
    written.append(texts(records))
    return written


def test_an_empty_journal_has_no_records(fd: int) -> None:
    assert list(Replay(fd)) == []
    write(fd, []).close()
    assert list(Replay(fd)) == []


def test_records_come_back_in_their_order(fd: int) -> None:
    records = [["inode", 2**62, "größe/\n\u2028 x", 1.5, None], ["forget", 3], ["open", 1, True]]
    written = write(fd, records[:2])
    written.append(texts(records[2:]))
    written.close()

    assert list(Replay(fd)) == records


def test_a_new_writer_begins_with_its_own_snapshot(fd: int) -> None:
    write(fd, [["old", 1], ["old", 2]]).close()
    write(fd, [["new", 4]], alive=[["old", 2], ["kept", 3]]).close()

    assert list(Replay(fd)) == [["old", 2], ["kept", 3], ["new", 4]]


def test_a_long_life_takes_no_more_memory_than_what_is_alive(fd: int) -> None:
    alive: list[Record] = [["alive", "x" * 1000]]
    written = write(fd, [], alive)
    for number in range(100):
        written.append(texts([["passing", number, "y" * 1000] for _ in range(100)]))
    written.close()

    held = os.fstat(fd).st_blocks * 512
    assert os.fstat(fd).st_size > 5 * COMPACT_BYTES_MIN
    assert held < 2 * COMPACT_BYTES_MIN
    assert alive[0] in list(Replay(fd))


def test_what_a_killed_writer_had_appended_is_there(fd: int) -> None:
    pid = os.fork()
    if not pid:
        write(fd, [["inode", 7]])
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)

    assert list(Replay(fd)) == [["inode", 7]]


@settings(deadline=None)  # another program may have the machine
@given(cut=st.integers(min_value=0), garbage=st.binary(max_size=64))
def test_a_torn_end_loses_what_is_torn_only(cut: int, garbage: bytes) -> None:
    fd = journal.create()
    records: list[Record] = [["inode", number, "name" * (number % 7)] for number in range(20)]
    written = Journal(os.dup(fd), list)
    for record in records:
        written.append(texts([record]))
    written.close()
    size = os.fstat(fd).st_size
    start = journal._start_of(fd)
    keep = start + cut % (size - start)
    os.ftruncate(fd, keep)
    os.pwrite(fd, garbage, keep)
    found = list(Replay(fd))
    os.close(fd)

    assert found[: len(records)] == records[: len(found)]


def test_a_log_begun_anew_gets_what_is_alive_little_by_little_and_what_happens_meanwhile(fd: int) -> None:
    alive = {number: f"name {number} {'x' * 600}" for number in range(2_000)}

    def snapshot() -> Iterator[list[str]]:
        for number in list(alive):
            if number in alive:
                yield texts([["inode", number, alive[number]], ["pending", number]])

    written = Journal(os.dup(fd), snapshot)
    written.append(texts([["inode", number, name] for number, name in alive.items()]))
    start = journal._start_of(fd)
    steps = 0
    while journal._start_of(fd) == start:
        gone, came, changed = steps, 100_000 + steps, 1_000 + steps
        alive[came], alive[changed] = "new", "changed"
        del alive[gone]
        written.append(texts([["forgot", gone], ["inode", came, "new"], ["inode", changed, "changed"]]))
        steps += 1
        if steps % 5 == 0:
            assert _left(fd) == alive, "whenever its writer dies"
    written.close()

    assert steps > 20, "no step took long"
    assert _left(fd) == alive


def _left(fd: int) -> dict[int, str]:
    found = {}
    for kind, number, *name in Replay(fd):
        if kind == "inode":
            found[number] = name[0]
        elif kind == "forgot":
            found.pop(number, None)
        else:
            assert kind == "pending"
            assert number in found, "what belongs together stays together"
    return found


def test_a_long_journal_is_written_on_where_it_ends(fd: int) -> None:
    records: list[Record] = [["inode", number, "x" * 100] for number in range(20_000)]
    write(fd, records).close()
    before = journal._start_of(fd)
    written = Journal(os.dup(fd), lambda: [texts([record]) for record in records])

    assert journal._start_of(fd) == before
    written.append(texts([["forgot", 3]]))
    written.close()
    found = list(Replay(fd))
    assert found[: len(records)] == records
    assert found[-1] == ["forgot", 3]


def test_a_successor_that_has_read_the_records_writes_on_behind_them(fd: int) -> None:
    records: list[Record] = [["inode", number, "x" * 100] for number in range(20_000)]
    write(fd, records).close()
    whole = os.fstat(fd).st_size
    os.pwrite(fd, b"torn", whole)
    replayed = Replay(fd)
    drawn = iter(replayed)

    assert next(drawn) == records[0]
    written = Journal(os.dup(fd), lambda: [texts([record]) for record in records], replayed)
    written.append(texts([["forgot", 3]]))
    written.close()
    assert os.pread(fd, 4, whole) != b"torn"
    assert list(Replay(fd)) == [*records, ["forgot", 3]]


@contextlib.contextmanager
def full(fd: int) -> Iterator[None]:
    """No file of this process can grow beyond what this one has."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (os.fstat(fd).st_size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_what_could_not_be_added_is_made_up_for_when_there_is_room_again(
    fd: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "HEAL_SECONDS", 0.0)
    alive: list[Record] = [["one", 1]]
    written = write(fd, [], alive)
    with full(fd):
        for number in range(2, 5):
            alive.append(["more", number])
            with pytest.raises(OSError):
                written.append(texts([alive[-1]]))
        assert list(Replay(fd)) == [["one", 1]]
    alive.append(["last", 5])
    written.append(texts([alive[-1]]))
    written.append(texts([["after", 6]]))
    written.close()

    assert list(Replay(fd)) == [*alive, ["after", 6]]


def test_an_engine_begins_also_when_there_is_no_room(fd: int) -> None:
    os.ftruncate(fd, journal._LOG_START)
    with full(fd):
        written = write(fd, [])
        with pytest.raises(OSError):
            written.append(texts([["one", 1]]))
        written.close()


def test_records_that_are_too_long_for_one_batch_are_written_as_several(
    fd: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "BATCH_BYTES_MAX", 1000)
    records: list[Record] = [["inode", number, "x" * 90] for number in range(100)]
    write(fd, records).close()

    assert list(Replay(fd)) == records


def _frame(body: bytes) -> bytes:
    return struct.pack("<II", len(body), zlib.crc32(body)) + body


# Headers that are right, but for where they point; frames that are right, but for what is in them; and anything.
_HEADERS = st.binary(max_size=16) | st.builds(
    lambda start: struct.pack("<QQ", start, start ^ (2**64 - 1)),
    st.integers(0, 2**64 - 1) | st.sampled_from([journal._LOG_START, journal._LOG_START + 7, 16, 0]),
)
_BODIES = st.binary(max_size=60) | st.sampled_from(
    (
        *(b"", b"[]", b"[[]]", b"{}", b"[[1]]", b'[["a", NaN, 1e999]]', b"[" * 100_000, b"9" * 10_000),
        *(b'[["\\ud800"]]', b"\xff"),
    )
)
_LENGTHS = st.builds(lambda length: struct.pack("<II", length, 0), st.sampled_from([0, 1, 2**24, 2**24 + 1, 2**32 - 1]))


@settings(max_examples=60, deadline=None)
@given(
    _HEADERS,
    st.lists(_BODIES.map(_frame) | _LENGTHS | st.binary(max_size=40), max_size=4),
    st.sampled_from([0, 2**40]),
)
def test_garbage_is_no_error_and_a_successor_begins_all_the_same(header: bytes, parts: list[bytes], size: int) -> None:
    fd = journal.create()
    os.pwrite(fd, header, 0)
    os.pwrite(fd, b"".join(parts), journal._LOG_START)
    if size:
        os.ftruncate(fd, size)
    found = list(Replay(fd))
    successor = Journal(os.dup(fd), lambda: [texts([["fresh", 1]])])
    successor.close()
    after = list(Replay(fd))
    os.close(fd)

    assert all(isinstance(record, list) for record in found)
    assert after == [["fresh", 1]]
