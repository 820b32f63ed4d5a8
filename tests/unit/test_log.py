"""Where an engine's log goes, and that a log file is made as root's should be."""

import logging
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from engine import log
from engine.log_output import ToStream
from mountctl.supervisor.log_file import LogFileUnusable, opened, path_of


@pytest.fixture(autouse=True)
def root_logger() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    for handler in root.handlers:
        if handler not in handlers and isinstance(handler, ToStream) and handler.stream is not sys.stderr:
            handler.stream.close()
    root.handlers[:], root.level = handlers, level


def file_for(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def test_a_rotated_log_goes_on_in_the_new_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log.set_up("data")
    logging.warning("on stderr")
    old, new = tmp_path / "old", tmp_path / "new"
    log.use_file(file_for(old))
    logging.warning("in the %s file", "old")
    before = len(os.listdir("/proc/self/fd"))
    log.use_file(file_for(new))
    logging.warning("a key with \ud800")

    assert capsys.readouterr().err.count("\n") == 1
    assert old.read_text().endswith("WARNING in the old file\n")
    assert new.read_text().endswith("WARNING a key with \\ud800\n")
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_full_disk_is_told_once_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    log.set_up("data")
    log.use_file(os.open("/dev/full", os.O_WRONLY))
    for _ in range(3):
        logging.warning("lost")

    assert capsys.readouterr().err == "the log file can't be written, and lines are lost: No space left on device\n"


def test_a_silent_engine_logs_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    log.set_up("data", silent=True)
    logging.error("nothing")

    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("debug", [False, True])
def test_what_botocore_has_to_say_is_not_logged_as_it_may_quote_a_secret(
    debug: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    log.set_up("data", level="debug" if debug else "info")
    for level in (logging.DEBUG, logging.WARNING, logging.ERROR):
        logging.getLogger("botocore.credentials").log(level, "a token")
        logging.getLogger("urllib3.connectionpool").log(level, "a token")

    assert capsys.readouterr() == ("", "")


def test_a_log_file_and_its_directory_are_not_for_everybody_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o000)
    try:
        trio.run(opened, str(tmp_path / "logs"), "data").close()
    finally:
        os.umask(before)

    path = path_of(str(tmp_path / "logs"), "data")
    assert path.name == "mountctl-data.log"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o750


def test_a_log_file_that_is_there_keeps_what_it_has_and_its_mode(tmp_path: Path) -> None:
    path = path_of(str(tmp_path), "data")
    path.write_text("before\n")
    path.chmod(0o600)
    with trio.run(opened, str(tmp_path), "data") as file:
        file.write(b"after\n")

    assert path.read_text() == "before\nafter\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("kind", ["link", "pipe", "directory", "no directory"])
def test_what_is_no_log_file_is_refused_and_never_waited_for(tmp_path: Path, kind: str) -> None:
    path = path_of(str(tmp_path), "data")
    match kind:
        case "link":
            (tmp_path / "target").touch()
            path.symlink_to(tmp_path / "target")
        case "pipe":
            os.mkfifo(path)
        case "directory":
            path.mkdir()
        case _:
            (tmp_path / "file").touch()
            path = tmp_path / "file" / path.name

    with pytest.raises(LogFileUnusable, match=r"cannot open .*mountctl-data\.log"):
        trio.run(opened, str(path.parent), "data")
