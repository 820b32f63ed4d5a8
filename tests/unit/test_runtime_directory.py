"""The runtime directory: one holder at a time, nothing left behind."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mountctl.supervisor.runtime import RuntimeDirectory, RuntimeDirectoryHeld, RuntimeDirectoryUnusable


def test_a_second_holder_is_refused_and_told_who_holds_it(tmp_path: Path) -> None:
    with RuntimeDirectory(tmp_path / "run"), pytest.raises(RuntimeDirectoryHeld, match=f"pid {os.getpid()}"):
        RuntimeDirectory(tmp_path / "run").__enter__()


def test_nothing_is_left_and_it_can_be_held_again(tmp_path: Path) -> None:
    path = tmp_path / "a" / "run"
    for _ in range(2):
        with RuntimeDirectory(path) as held:
            held.socket_path.touch()
        assert not path.exists()


def test_a_directory_that_was_there_stays(tmp_path: Path) -> None:
    with RuntimeDirectory(tmp_path):
        assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"

    assert list(tmp_path.iterdir()) == []


def test_a_killed_holder_holds_nothing(tmp_path: Path) -> None:
    script = (
        "import os, pathlib, sys\n"
        "from mountctl.supervisor.runtime import RuntimeDirectory\n"
        "RuntimeDirectory(pathlib.Path(sys.argv[1])).__enter__()\n"
        "os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", script, tmp_path])

    assert (tmp_path / "lock").exists()
    with RuntimeDirectory(tmp_path) as held:
        assert held.path == tmp_path


def test_a_directory_without_room_is_held_all_the_same(tmp_path: Path) -> None:
    script = (
        "import pathlib, subprocess, sys\n"
        "from mountctl.supervisor.runtime import RuntimeDirectory, RuntimeDirectoryHeld\n"
        "full = pathlib.Path(sys.argv[1])\n"
        "subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=4k', 'full', full], check=True)\n"
        "(full / 'fill').write_bytes(bytes(4096))\n"
        "with RuntimeDirectory(full):\n"
        "    try:\n"
        "        RuntimeDirectory(full).__enter__()\n"
        "    except RuntimeDirectoryHeld as error:\n"
        "        print(error)\n"
    )
    command = ["unshare", "--mount", sys.executable, "-c", script, tmp_path]
    done = subprocess.run(command, capture_output=True, text=True)

    assert done.stderr == ""
    assert "another supervisor, pid unknown, holds" in done.stdout


def test_a_file_in_its_place_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(RuntimeDirectoryUnusable, match="file"):
        RuntimeDirectory(tmp_path / "file").__enter__()
