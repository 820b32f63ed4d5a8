"""What `mountctl check` sees at mountpoints, and that no dead mount holds it up. Needs root and /dev/fuse for that."""

import contextlib
import ctypes
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mountctl.commands.mountpoints import Mountpoints

SECONDS_MAX = 30.0
NOT_EMPTY = "not empty: what is in the directory can't be seen while it is mounted over; use an empty one"
_MNT_DETACH = 2

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")


@contextlib.contextmanager
def _mounted(where: Path, fstype: str, options: str = "") -> Iterator[None]:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"for-a-test", os.fsencode(where), fstype.encode(), 0, options.encode()) != 0:
        raise OSError(ctypes.get_errno(), f"mount {fstype}")
    try:
        yield
    finally:
        libc.umount2(os.fsencode(where), _MNT_DETACH)


@contextlib.contextmanager
def _mute(where: Path) -> Iterator[None]:
    """A FUSE mount that nobody serves: whoever looks into it waits for ever."""
    fd = os.open("/dev/fuse", os.O_RDWR)
    try:
        with _mounted(where, "fuse", f"fd={fd},rootmode=40000,user_id=0,group_id=0"):
            yield
    finally:
        os.close(fd)


def _occupied(path: Path | str) -> str | None:
    """The answer, or a failure if there is none: a thread that hangs in the kernel can't be joined."""
    answer: list[str | None] = []
    thread = threading.Thread(target=lambda: answer.append(Mountpoints().occupied(str(path))), daemon=True)
    thread.start()
    thread.join(SECONDS_MAX)
    assert answer, "it waits for a mount that does not answer"
    return answer[0]


def test_an_empty_directory_and_one_that_is_not_there_are_free(tmp_path: Path) -> None:
    assert _occupied(tmp_path) is None
    assert _occupied(tmp_path / "a" / "b") is None


def test_a_directory_with_something_in_it_is_not(tmp_path: Path) -> None:
    (tmp_path / ".hidden").touch()
    assert _occupied(tmp_path) == NOT_EMPTY


def test_a_link_to_a_directory_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real" / "inner").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real/../real")
    (tmp_path / "circle").symlink_to("circle")
    assert _occupied(tmp_path / "link") == NOT_EMPTY
    assert _occupied(tmp_path / "link" / "inner") is None
    assert _occupied(tmp_path / "circle") is None


def test_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    told = "a file, and must be a directory: remove it, or choose another mountpoint"
    assert _occupied(tmp_path / "file") == told


@needs_root
def test_what_else_is_mounted_there_is_told(tmp_path: Path) -> None:
    with _mounted(tmp_path, "tmpfs"):
        assert _occupied(tmp_path) == (
            "for-a-test (tmpfs) is mounted there now: unmount it, or choose another mountpoint"
        )


@needs_root
def test_a_directory_in_a_local_file_system_that_is_mounted_is_looked_into(tmp_path: Path) -> None:
    with _mounted(tmp_path, "tmpfs"):
        (tmp_path / "a" / "b").mkdir(parents=True)
        assert _occupied(tmp_path / "a") == NOT_EMPTY


@needs_root
@pytest.mark.parametrize("below", ["", "/below", "/../mute/below"])
def test_a_mount_that_does_not_answer_is_not_touched(tmp_path: Path, below: str) -> None:
    mute = tmp_path / "mute"
    mute.mkdir()
    (tmp_path / "link").symlink_to(mute)
    with _mute(mute):
        _occupied(f"{mute}{below}")
        assert _occupied(f"{tmp_path}/link{below}") is None
