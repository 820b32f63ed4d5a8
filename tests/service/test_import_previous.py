"""How `mountctl import --switch` stops what was there before, and has it back: with a tmpfs in the place of S3."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mountctl.importing import previous
from mountctl.importing.found import Found, FstabLine, Process, Program
from mountctl.importing.host import Host
from mountctl.supervisor import mountinfo
from tests.service.running import gone, poll_until

# As daemons of FUSE are: it mounts, and serves until it is told to end.
_PROGRAM = """
import os, subprocess, sys, time
pids, mountpoint = sys.argv[1:]
with open(pids, "a") as file:
    file.write(f"{os.getpid()}\\n")
subprocess.run(["mount", "-t", "tmpfs", "old", mountpoint], check=True)
while True:
    time.sleep(60)
"""


@pytest.fixture
def mountpoint(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "mnt"
    place.mkdir()
    yield place
    while mountinfo.at(str(place)) is not None:
        subprocess.run(["umount", "--lazy", place], check=True)


@pytest.fixture
def pids(tmp_path: Path) -> Iterator[Path]:
    """Where processes write who they are; they have ended after the test."""
    file = tmp_path / "pids"
    file.touch()
    yield file
    for pid in map(int, file.read_text().split()):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)


def line(tmp_path: Path, written: str) -> Found:
    """A mounted line of fstab, with its mountpoint as it is written there."""
    fstab = tmp_path / "fstab"
    text = f"old {written} tmpfs defaults 0 0"
    fstab.write_text(f"{text}\n")
    subprocess.run(["mount", "-T", fstab, written], check=True)
    return Found(Program.S3FS, "old", written, (), "fstab:1", FstabLine(fstab, 1, text))


def process(pids: Path, mountpoint: Path) -> Found:
    """A process that has mounted."""
    call = [sys.executable, "-c", _PROGRAM, str(pids), str(mountpoint)]
    pid = os.posix_spawn(sys.executable, call, os.environ)
    poll_until(lambda: mountinfo.at(str(mountpoint)) is not None, "the mount")
    return Found(Program.S3FS, "old", str(mountpoint), (), "process", Process(pid))


@pytest.mark.parametrize("written", ["{}/", "//{}", "{}.link"])
def test_a_mountpoint_that_is_not_written_as_the_kernel_has_it_is_unmounted(
    tmp_path: Path, mountpoint: Path, written: str
) -> None:
    Path(f"{mountpoint}.link").symlink_to(mountpoint)
    old = previous.previous(line(tmp_path, written.format(mountpoint)), Host())
    assert mountinfo.at(str(mountpoint)) is not None

    old.stop()

    assert mountinfo.at(str(mountpoint)) is None
    old.bring_back()
    assert mountinfo.at(str(mountpoint)) is not None
    assert mountinfo.count(str(mountpoint)) == 1


@pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")  # as it is meant to be
@pytest.mark.parametrize("way", ["line", "process"])
def test_who_does_not_wait_for_the_end_of_the_old_mount_has_it_back(
    tmp_path: Path, mountpoint: Path, pids: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = line(tmp_path, str(mountpoint)) if way == "line" else process(pids, mountpoint)
    seen: list[bool] = []

    def interrupted(place: str, _host: Host) -> None:
        seen.append(mountinfo.at(place) is not None)
        raise KeyboardInterrupt

    monkeypatch.setattr(previous, "wait_until_gone", interrupted)
    with pytest.raises(KeyboardInterrupt):
        previous.previous(found, Host()).stop()

    assert seen == [False]
    assert mountinfo.count(str(mountpoint)) == 1


def test_a_mount_that_is_in_use_stays_and_nothing_is_started_for_it(mountpoint: Path, pids: Path) -> None:
    found = process(pids, mountpoint)
    with (mountpoint / "open").open("w"), pytest.raises(previous.CannotStop, match="busy"):
        previous.previous(found, Host()).stop()

    assert mountinfo.count(str(mountpoint)) == 1
    (pid,) = map(int, pids.read_text().split())
    assert not gone(pid)


def test_what_was_mounted_nowhere_here_is_not_started_here(tmp_path: Path, pids: Path, mountpoint: Path) -> None:
    found = process(pids, mountpoint)
    elsewhere = replace(found, mountpoint=str(tmp_path / "elsewhere"))
    subprocess.run(["umount", mountpoint], check=True)
    old = previous.previous(elsewhere, Host())

    old.stop()
    old.bring_back()

    assert len(pids.read_text().split()) == 1
