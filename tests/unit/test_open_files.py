"""Who has a mount open, where the programs have chosen their names themselves."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from mountctl.supervisor import open_files

# Takes a name (prctl(2), PR_SET_NAME), says so, and waits.
NAMED = r"""
import ctypes, sys
ctypes.CDLL(None).prctl(15, b"caf\xe9\x1b[31m", 0, 0, 0)
print("named", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def named(tmp_path: Path) -> Iterator[int]:
    """The process of a program with such a name, whose working directory is the test's own."""
    command = [sys.executable, "-c", NAMED]
    with subprocess.Popen(command, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"named\n"
        yield process.pid
        process.kill()


def test_a_program_whose_name_is_no_text_and_steers_terminals_is_told_as_text(
    named: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_files, "_SECONDS_MAX", 60.0)  # a busy machine has many processes
    assert trio.run(open_files.users, -1, str(tmp_path)) == [rf"caf\udce9\x1b[31m ({named})"]
