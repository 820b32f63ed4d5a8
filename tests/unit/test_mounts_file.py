"""The state file: believed only in the boot that it was written in, and only where the kernel's list agrees."""

import json
from pathlib import Path

import pytest

from mountctl.supervisor.mountinfo import MountEntry, parse
from mountctl.supervisor.mounts_file import MountsFile, Noted

NOTED = {"mount_id": 9, "minor": 3, "mountpoint": "/mnt/m", "source": "s3://b/"}
HERE = 4026531840
LINE = "9 1 0:3 / /mnt/m rw - fuse.mountctl s3://b/ rw"


def written(directory: Path, text: str) -> MountsFile:
    path = directory / "mounts" / "%2Frun%2Fa%20b.json"
    path.parent.mkdir()
    path.write_text(text)
    return MountsFile(directory, Path("/run/a b"))


def test_what_was_noted_in_this_boot_is_read(tmp_path: Path) -> None:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()

    assert written(tmp_path, json.dumps({"boot": boot, "mounts": [NOTED]})).noted() == [Noted.model_validate(NOTED)]


@pytest.mark.parametrize("text", ["", "{", "[]", json.dumps({"boot": "another", "mounts": [NOTED]})])
def test_a_broken_file_or_that_of_another_boot_says_nothing(tmp_path: Path, text: str) -> None:
    assert written(tmp_path, text).noted() == []


def test_a_file_that_is_no_text_says_nothing(tmp_path: Path) -> None:
    path = tmp_path / "mounts" / "%2Frun%2Fa%20b.json"
    path.parent.mkdir()
    path.write_bytes(b'{"boot": "\xff"}')

    assert MountsFile(tmp_path, Path("/run/a b")).noted() == []


def entry(line: str) -> MountEntry:
    return next(parse(line))


@pytest.mark.parametrize(
    "other",
    [
        LINE.replace("9 1", "8 1"),
        LINE.replace("0:3", "0:4"),
        LINE.replace("fuse.mountctl", "fuse.sshfs"),
        LINE.replace("s3://b/", "s3://c/"),
    ],
)
def test_a_number_that_the_kernel_has_given_again_is_another_mount(other: str) -> None:
    noted = Noted.model_validate(NOTED)

    assert noted.is_at(entry(LINE), HERE)
    assert noted.is_at(entry(LINE.replace("/mnt/m", "/moved")), HERE)
    assert not noted.is_at(entry(other), HERE)


def test_in_another_namespace_it_is_the_mount_of_that_file_system_at_that_place_whatever_its_number() -> None:
    noted = Noted.model_validate(NOTED | {"namespace": HERE + 1})

    assert noted.is_at(entry(LINE.replace("9 1", "7 1")), HERE)
    assert not noted.is_at(entry(LINE.replace("/mnt/m", "/volume")), HERE)
    assert not noted.is_at(entry(LINE.replace("0:3", "0:4")), HERE)
