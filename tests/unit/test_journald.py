"""engine/journald.py against a socket that stands for journald's."""

import json
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import log, log_output
from engine.journald import Journal, connected, is_stderr, packed
from engine.log_format import of_process
from engine.log_output import ToJournal, ToStream
from tests.journal import FakeJournal, fake_journal, parsed


@pytest.fixture
def journald(tmp_path: Path) -> Iterator[FakeJournal]:
    with fake_journal(tmp_path / "socket") as journal:
        yield journal


@pytest.fixture
def root_logger() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    for each in root.handlers:
        if each not in handlers:
            each.close()
    root.handlers[:], root.level = handlers, level


@given(st.dictionaries(st.sampled_from(["MESSAGE", "MOUNTCTL_KEY", "PRIORITY"]), st.text(max_size=50)))
def test_no_value_adds_a_field_or_is_lost(fields: dict[str, str]) -> None:
    assert parsed(packed(fields.items())) == fields


def test_bytes_that_are_no_text_are_shown_as_escapes() -> None:
    assert parsed(packed([("MOUNTCTL_KEY", "a\udcff")])) == {"MOUNTCTL_KEY": "a\\udcff"}


def test_what_fits_no_datagram_goes_in_memory_that_nobody_can_change(journald: FakeJournal) -> None:
    journal = Journal(journald.path)
    long = "x" * (1 << 20)
    before = len(os.listdir("/proc/self/fd"))
    journal.send([("MESSAGE", "short")])
    journal.send([("MESSAGE", long), ("MOUNTCTL_KEY", "a\nb")])

    assert journald.entries() == [{"MESSAGE": "short"}, {"MESSAGE": long, "MOUNTCTL_KEY": "a\nb"}]
    assert journald.by_memory == 1
    assert len(os.listdir("/proc/self/fd")) == before
    journal.close()


def test_a_journal_that_does_not_read_holds_nobody_up_and_is_told_what_is_missing(journald: FakeJournal) -> None:
    journal = Journal(journald.path)
    for number in range(1000):
        journal.send([("MESSAGE", f"line {number}")])
    came = journald.entries()
    journal.send([("MESSAGE", "again")])

    assert [each["MESSAGE"] for each in came] == [f"line {number}" for number in range(len(came))]
    missing, again = journald.entries()
    assert missing["MESSAGE"].startswith(f"({1000 - len(came)} lines of this process are missing here")
    assert again == {"MESSAGE": "again"}
    journal.close()


def test_who_may_opens_another_way_when_journald_has_made_another_socket(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with fake_journal(path):
        may, may_not = Journal(path, again=True), Journal(path)
    with fake_journal(path) as second:
        may.send([("MESSAGE", "x")])
        assert second.entries() == [{"MESSAGE": "x"}]
        with pytest.raises(OSError, match="refused"):
            may_not.send([("MESSAGE", "x")])
    may.close()
    may_not.close()


def test_a_child_writes_to_no_descriptor_that_may_be_anothers(journald: FakeJournal) -> None:
    journal = Journal(journald.path)
    child = os.fork()
    if not child:
        try:
            journal.send([("MESSAGE", "from the child")])
            os._exit(1)
        except OSError:
            journal.close()
            os.fstat(journal._fd)  # still open
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert journald.entries() == []
    journal.close()


@pytest.mark.usefixtures("root_logger")
def test_an_engines_log_is_the_journals_if_stderr_is(
    journald: FakeJournal, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    found = os.fstat(2)
    monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino}")
    monkeypatch.setattr(log_output, "Journal", lambda *, again: Journal(journald.path, again=again))
    assert is_stderr()
    log.set_up("data")
    logging.warning("a line")

    [entry] = journald.entries()
    assert (entry["MESSAGE"], entry["MOUNTCTL_MOUNT"], entry["PRIORITY"]) == ("data: a line", "data", "4")
    assert capfd.readouterr().err == ""
    monkeypatch.setenv("JOURNAL_STREAM", "1:1")  # inherited from somebody else
    log.set_up("data")
    assert isinstance(logging.getLogger().handlers[0], ToStream)


@pytest.mark.usefixtures("root_logger")
def test_an_engine_goes_over_to_a_journal_that_it_may_not_open_and_back(
    journald: FakeJournal, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    log.set_up("data", form="text")
    told: list[str] = []
    log.tell_also(told.append)
    log.use_stderr("journal", connected(journald.path))
    logging.warning("to the journal")
    assert [entry["MESSAGE"] for entry in journald.entries()] == ["data: to the journal"]
    log.use_stderr("json")
    logging.warning("as JSON")
    log.use_stderr("journal")  # and there is none
    logging.warning("as text")
    log.use_file(os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT))
    logging.warning("to a file")
    log.use_stderr("text")
    logging.warning("and back")

    first, second, third = capsys.readouterr().err.splitlines()
    assert json.loads(first)["message"] == "as JSON"
    assert second.endswith(" WARNING data: as text")
    assert third.endswith(" WARNING data: and back")
    assert "to a file" in (tmp_path / "log").read_text()
    assert journald.entries() == []
    assert [line.rpartition(" WARNING ")[2] for line in told] == ["to the journal", "as JSON", "as text", "and back"]


@pytest.mark.usefixtures("root_logger")
def test_where_nothing_is_to_be_logged_a_form_changes_nothing(journald: FakeJournal) -> None:
    log.set_up("data", silent=True)
    log.use_stderr("journal", connected(journald.path))
    logging.warning("nothing")
    assert journald.entries() == []


@pytest.mark.usefixtures("root_logger")
def test_that_there_is_no_journal_is_told_where_the_file_wants_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(log_output, "Journal", lambda *, again: Journal(tmp_path / "none", again=again))
    output = log_output.to_stderr("journal", of_process("data", mount=True), again=True)

    assert isinstance(output, ToStream)
    assert "log-format is journal, and the journal can't be reached (No such file" in capsys.readouterr().err


@pytest.mark.usefixtures("root_logger")
def test_what_cant_be_sent_is_on_stderr(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    split = of_process("data", mount=True)
    stream = ToStream(sys.stderr, split)
    with fake_journal(tmp_path / "socket") as journald:
        output = ToJournal(Journal(journald.path), split, stream)
    logging.getLogger().handlers[:] = [output]
    logging.warning("a line")

    assert "a line" in capsys.readouterr().err
