"""`mountctl upgrade --others`: which supervisors it finds, and what it says of them."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio

from mountctl.commands import supervisors, upgrade
from mountctl.control.protocol import ReloadResult
from tests.unit.controlled import Supervisor, serving

# As a supervisor does: a lock that is held, beside a socket. Says so, and waits for its end.
_HOLDER = """
import os, socket, sys
os.chdir(sys.argv[1])
held = os.open(sys.argv[2], os.O_CREAT | os.O_RDWR)
socket.socket(socket.AF_UNIX).bind("control.sock")
print("there", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    made = tmp_path / "runtime"
    made.mkdir()
    return made


@contextmanager
def holding(directory: Path, program: str, file: str = "lock") -> Iterator[None]:
    command = [program, "-c", _HOLDER, str(directory), file]
    with subprocess.Popen(command, executable=sys.executable, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield
        process.kill()


@pytest.mark.parametrize(
    ("called", "file", "found"),
    [("program", "lock", True), ("another", "lock", False), ("program", "other-file", False)],
)
def test_a_supervisor_is_a_process_of_this_installation_that_holds_a_runtime_directory(
    directory: Path, tmp_path: Path, called: str, file: str, found: bool
) -> None:
    with holding(directory, str(tmp_path / called), file):
        assert supervisors.runtime_dirs(str(tmp_path / "program")) == ([directory] if found else [])


def test_one_with_another_root_is_of_another_installation(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which a process in a container is, whatever its paths are called."""
    monkeypatch.setattr(os.path, "samestat", lambda *_: False)
    with holding(directory, str(tmp_path / "program")):
        assert supervisors.runtime_dirs(str(tmp_path / "program")) == []


def test_each_is_asked_but_for_ones_own_and_told_by_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    own, silent = tmp_path / "own", tmp_path / "silent"

    async def body(runtime_dir: Path, supervisor: Supervisor) -> None:
        supervisor.result = ReloadResult(ok=True, mounts={"one": "handed over"})
        monkeypatch.setattr(supervisors, "runtime_dirs", lambda: [own, runtime_dir, silent])
        code = await trio.to_thread.run_sync(lambda: upgrade.upgrade_others(own, as_json=False))
        told = capsys.readouterr()
        assert (code, told.out) == (1, f"{runtime_dir}: one: handed over\n")
        assert told.err.startswith(f"mountctl: {silent}: not upgraded, nothing changed: ")
        monkeypatch.setattr(supervisors, "runtime_dirs", lambda: [runtime_dir])
        assert await trio.to_thread.run_sync(lambda: upgrade.upgrade_others(own, as_json=True)) == 0
        assert json.loads(capsys.readouterr().out)[str(runtime_dir)]["mounts"] == {"one": "handed over"}

    serving(tmp_path, body)
