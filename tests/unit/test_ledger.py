"""The ledger: what happened in one engine is what the next one begins with."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.fs.inherited import Inherited, InheritedDirectory, InheritedFile, InheritedWriter
from engine.fs.ledger import Ledger, Record, inherit, parsed, snapshot
from engine.namespace.inode import Inode
from engine.namespace.listing import FIRST, Given
from engine.namespace.packed import pack, unpack
from engine.s3.interface import Likeness, ObjectInfo
from engine.write.state import Uploaded
from tests.unit.journal_kinds import KINDS

INFO = ObjectInfo("d/f", 10, '"e1"', 1700000000.25, "GLACIER", restored=True)


def test_open_files_directories_and_inodes_are_inherited() -> None:
    records: list[str] = []
    ledger = Ledger(records.extend)
    for inode in (Inode(5, "d", None, 0.0), Inode.of(6, "d/f", INFO, 0.0), Inode.of(7, "gone", INFO, 0.0)):
        ledger.inode(inode)
    ledger.opened(20, 6, INFO, direct=True)
    ledger.opened(21, 6, INFO, direct=False)
    ledger.reading(20)
    ledger.opened_directory(22, 5)
    ledger.page(22, 1, ("token", (INFO,)))
    ledger.forgot(7)
    ledger.closed(21)
    assert records == []
    ledger.flush()

    found = inherit(parsed(records))

    assert found.inodes == {5: ("d", None), 6: ("d/f", pack(INFO))}
    assert found.files == {20: InheritedFile(6, INFO, direct=True, active=True)}
    assert found.directories == {22: InheritedDirectory(5, [(None, ()), ("token", (INFO,))])}


def test_a_file_that_was_opened_by_code_that_did_not_tell_its_inode_is_open_still() -> None:
    """Mounts outlive an upgrade, and what is open on them."""
    records: list[str] = []
    ledger = Ledger(records.extend)
    ledger.opened(20, 6, INFO, direct=True)
    ledger.flush()
    (opened,) = parsed(records)
    assert inherit([[*opened[:2], *opened[3:]]]).files == {20: InheritedFile(0, INFO, direct=True)}


def test_a_file_and_a_directory_of_the_same_number_are_closed_by_themselves() -> None:
    """The kernel knows of each number what it is of."""
    records: list[str] = []
    ledger = Ledger(records.extend)
    for handle in (2, 4):
        ledger.opened(handle, 6, INFO, direct=False)
        ledger.opened_directory(handle, 5)
    ledger.closed_directory(2)
    ledger.closed(4)
    ledger.flush()
    found = inherit(parsed(records))
    assert (set(found.files), set(found.directories)) == ({2}, {4})


def test_what_is_being_written_is_inherited_as_far_as_it_came() -> None:
    records: list[str] = []
    ledger = Ledger(records.extend)
    directory, file, gone = Inode(5, "d", None, 0.0), Inode.of(6, "d/f", INFO, 0.0), Inode.of(7, "g", INFO, 0.0)
    for inode in (directory, file, gone):
        inode.pending = True
        ledger.inode(inode)
    file.pending = False
    ledger.inode(file)
    ledger.discarded(gone)
    for handle in (21, 23, 25, 27):
        ledger.writing(handle, 6, "d/f", 9)
    ledger.written(23, Uploaded("d/f", '"e2"', 10))
    ledger.closed(25)
    for key in ("d/f", "d/g", "refused", "unanswered"):
        ledger.upload_asked(key)
    ledger.upload_begun("one", "d/f")
    ledger.upload_begun("two", "d/g")
    ledger.upload_refused("refused")
    ledger.upload_ended("one")
    ledger.publishing(27, Likeness(10, '"e3"'))  # is written down at once, and all before it

    found = inherit(parsed(records))

    assert (set(found.inodes), found.pending, found.removed) == ({5, 6, 7}, {5}, {7})
    assert found.writers == {
        21: InheritedWriter(6, "d/f", 9),
        23: InheritedWriter(6, "d/f", 9, uploaded=Uploaded("d/f", '"e2"', 10)),
        27: InheritedWriter(6, "d/f", 9, publishing=Likeness(10, '"e3"')),
    }
    assert [writer.lost for writer in found.writers.values()] == [True, False, False]
    assert found.uploads == ledger.uploads == {"two": "d/g"}
    assert found.asked == ledger.asked
    assert set(found.asked) == {"unanswered"}


def test_a_directory_that_is_read_again_starts_without_pages() -> None:
    records: list[str] = []
    ledger = Ledger(records.extend)
    ledger.opened_directory(22, 5)
    ledger.page(22, 1, ("old", ()))
    ledger.opened_directory(22, 5)
    ledger.flush()

    assert inherit(parsed(records)).directories[22].pages == [FIRST]


def test_a_snapshot_is_inherited_as_it_was() -> None:
    before = Inherited(
        mounted=12.5,
        inodes={2: ("größe", pack(INFO)), 3: ("", None)},
        files={9: InheritedFile(2, INFO, direct=False)},
        directories={10: InheritedDirectory(3, [FIRST, ("t", (INFO,))], Given(1, 7, "größe"))},
        pending={3},
        removed={2},
        writers={
            11: InheritedWriter(2, "größe", 7),
            13: InheritedWriter(2, "größe", 0, publishing=Likeness(3, '"e"', "AAAA", "crc32c"), failed=True),
            15: InheritedWriter(2, "größe", 0, uploaded=Uploaded("größe", '"e"', 3)),
        },
        uploads={"id": "größe"},
        asked={"größe": 12.5},
    )

    after = inherit(parsed(snapshot(before)))

    assert (after.mounted, after.files, after.directories) == (12.5, before.files, before.directories)
    assert (after.pending, after.removed, after.writers) == (before.pending, before.removed, before.writers)
    assert (after.uploads, after.asked) == (before.uploads, before.asked)
    assert after.inodes[3] == ("", None)
    assert after.inodes[2][1] is not None
    assert unpack("", after.inodes[2][1]).etag == INFO.etag


def test_a_journal_that_takes_nothing_more_is_no_error_to_programs(caplog: pytest.LogCaptureFixture) -> None:
    def full(records: list[str]) -> None:
        raise OSError(28, "No space left on device")

    ledger = Ledger(full)
    for _ in range(3):
        ledger.forgot(7)
        ledger.flush()

    assert caplog.text.count("No space left") == 1


_JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=6),
    max_leaves=12,
)
_WORDS = st.sampled_from(KINDS)


@given(st.lists(st.builds(lambda word, rest: [word, *rest], _WORDS, st.lists(_JSON, max_size=6)), max_size=8))
def test_records_that_mean_nothing_are_no_error(records: list[Record]) -> None:
    number = 2**61 + 7
    good: Record = ["inode", number, "d", None]

    assert inherit([good, *records]).inodes[number] == ("d", None)
    assert inherit([*records, good]).inodes[number] == ("d", None)
