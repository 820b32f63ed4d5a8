"""Where a supervisor in the background says what it has to say."""

import os
import shutil
import socket
import stat
from pathlib import Path

import pytest

from engine.spec import MountSpec
from mountctl import background


def spec(**options: object) -> MountSpec:
    return MountSpec.model_validate({"name": "data", "bucket": "bucket", "mountpoint": "/mnt/data"} | options)


def test_the_journal_gets_lines_under_our_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "_JOURNAL", tmp_path / "stdout")
    monkeypatch.setenv("JOURNAL_STREAM", "as it was")
    with socket.socket(socket.AF_UNIX) as journald:
        journald.bind(str(tmp_path / "stdout"))
        journald.listen()
        fd = background._log(spec())
        assert fd is not None
        found = os.fstat(fd)
        os.write(fd, b"a line\n")
        os.close(fd)
        stream, _ = journald.accept()
        with stream, stream.makefile("rb") as received:
            identifier, unit, priority, levels, *forwards, line = received.read().splitlines()

    assert (identifier, unit, priority, levels, forwards) == (b"mountctl", b"", b"30", b"0", [b"0", b"0", b"0"])
    assert line == b"a line"
    assert os.environ["JOURNAL_STREAM"] == f"{found.st_dev}:{found.st_ino}"


def test_without_a_journal_logger_gets_them_and_ends_with_us(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "logger"
    program.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/said\ncat >> {tmp_path}/said\necho end >> {tmp_path}/said\n')
    program.chmod(0o755)
    monkeypatch.setattr(background, "_JOURNAL", tmp_path / "none")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    fd = background._log(spec())
    assert fd is not None
    os.write(fd, b"a line\n")
    os.close(fd)
    os.wait()

    assert (tmp_path / "said").read_text() == "--tag mountctl --priority daemon.info\na line\nend\n"


def test_a_log_directory_holds_the_supervisors_lines_too(tmp_path: Path) -> None:
    fd = background._log(spec(**{"log-directory": str(tmp_path)}))
    assert fd is not None
    os.write(fd, b"a line\n")
    os.close(fd)

    path = tmp_path / "mountctl-data.log"
    assert path.read_text() == "a line\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_where_there_is_nobody_to_hear_there_is_no_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "_JOURNAL", tmp_path / "none")
    monkeypatch.setattr(shutil, "which", lambda _program: None)

    assert background._log(spec()) is None
