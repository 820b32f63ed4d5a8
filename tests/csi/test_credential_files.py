"""The files of credentials: who may read them, when they are written, and what is left of them."""

import os
import stat
from pathlib import Path

import pytest

from mountctl.csi.credentials.files import CredentialFiles


@pytest.fixture
def files(tmp_path: Path) -> CredentialFiles:
    return CredentialFiles(tmp_path)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_files_and_directories_are_for_root_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        CredentialFiles(tmp_path).write("volume-a", {"token": "t"})
    finally:
        os.umask(before)

    assert mode(tmp_path / "credentials") == 0o700
    assert mode(tmp_path / "credentials" / "volume-a") == 0o700
    assert mode(tmp_path / "credentials" / "volume-a" / "token") == 0o600


def test_a_directory_that_others_may_read_is_closed_before_anything_is_written(tmp_path: Path) -> None:
    (tmp_path / "credentials" / "volume-a").mkdir(parents=True)
    (tmp_path / "credentials").chmod(0o755)

    CredentialFiles(tmp_path).write("volume-a", {"token": "t"})

    assert mode(tmp_path / "credentials") == 0o700
    assert mode(tmp_path / "credentials" / "volume-a") == 0o700


def test_a_file_that_says_the_same_is_not_touched_and_another_is_replaced_as_a_whole(
    files: CredentialFiles,
) -> None:
    assert files.write("a", {"token": "one", "credentials": "x"})
    first = (files.path("a") / "token").stat()

    assert not files.write("a", {"token": "one"})
    assert (files.path("a") / "token").stat().st_ino == first.st_ino
    with (files.path("a") / "token").open() as open_before:
        assert files.write("a", {"token": "two"})
        assert open_before.read() == "one"
    assert (files.path("a") / "token").read_text() == "two"
    assert sorted(each.name for each in files.path("a").iterdir()) == ["credentials", "token"]


def test_what_a_killed_writer_left_is_in_nobodys_way(files: CredentialFiles) -> None:
    files.write("a", {"token": "one"})
    elsewhere = files.path("a").parent.parent / "elsewhere"
    (files.path("a") / ".new-token").symlink_to(elsewhere)

    assert files.write("a", {"token": "two"})
    assert (files.path("a") / "token").read_text() == "two"
    assert not elsewhere.exists()


def test_a_mount_that_is_gone_leaves_nothing_and_may_be_gone_twice(files: CredentialFiles) -> None:
    files.write("a", {"token": "one"})

    files.remove("a")
    files.remove("a")

    assert not files.path("a").exists()


def test_a_sweep_leaves_mounts_that_are_there_and_what_was_written_since(tmp_path: Path) -> None:
    before = CredentialFiles(tmp_path)
    for name in ("there", "gone", "again"):
        before.write(name, {"token": name})
    (tmp_path / "credentials" / "stray").write_text("x")

    files = CredentialFiles(tmp_path)
    files.write("again", {"token": "new"})
    files.write("new", {"token": "new"})

    assert files.sweep({"there"}, 60.0) == ["gone", "stray"]
    assert sorted(each.name for each in (tmp_path / "credentials").iterdir()) == ["again", "new", "there"]


def test_a_sweep_takes_what_this_process_has_written_once_its_mount_can_not_be_under_way(tmp_path: Path) -> None:
    now = 1000.0
    files = CredentialFiles(tmp_path, lambda: now)
    for name in ("lingered", "renewed"):
        files.write(name, {"token": name})
    now += 60.0
    files.write("renewed", {"token": "renewed"})  # nothing has changed, and somebody has it
    files.write("new", {"token": "new"})

    assert files.sweep(["lingered"], 60.0) == []
    assert files.sweep([], 60.0) == []
    now += 1.0
    assert files.sweep([], 60.0) == ["lingered"]
    now += 60.0
    assert files.sweep([], 60.0) == ["new", "renewed"]


def test_a_sweep_before_anything_was_written_finds_nothing(files: CredentialFiles) -> None:
    assert files.sweep((), 60.0) == []


@pytest.mark.parametrize("name", ["", "..", "a/b", "../x", ".hidden", "a" * 64])
def test_what_is_no_mounts_name_is_no_directory(files: CredentialFiles, name: str) -> None:
    with pytest.raises(ValueError, match="not the name of a mount"):
        files.path(name)
