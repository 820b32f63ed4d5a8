"""Directories of a real mount: names, kinds, shadowing, attributes, and what listings cost."""

import ctypes
import errno
import os
import stat
import time
from pathlib import Path
from typing import Self

import pytest

from tests.conformance.sharing import eventually
from tests.fuse.mounted import Mounted, MountedMemory
from tests.servers import S3Server

WEIRD = [
    "with space",
    "percent%20",
    "plus+",
    "ünï-日本-\U0001f600",
    "'quotes\" & <xml>",
    "back\\slash",
    "-dash",
    "~#?=;,:@!$*()[]{}|^`",
    "x" * 255,
    "ü" * 127,
]


def test_odd_names_are_listed_found_and_read(s3_server: S3Server) -> None:
    """S7: names that are awkward in XML, URLs or shells."""
    bucket = s3_server.bucket()
    for name in WEIRD:
        s3_server.put(bucket, f"d/{name}", name.encode())

    with Mounted(s3_server, bucket) as mounted:
        assert sorted(os.listdir(mounted.path / "d")) == sorted(WEIRD)
        for name in WEIRD:
            assert (mounted.path / "d" / name).read_bytes() == name.encode()


def test_a_prefix_is_the_root_and_hides_all_else(s3_server: S3Server) -> None:
    """S2: and keys that only begin alike are not below it."""
    bucket = s3_server.bucket()
    for key in ("train/a", "train/deep/er/b", "trainer/c", "d"):
        s3_server.put(bucket, key, key.encode())

    with Mounted(s3_server, f"{bucket}/train/") as mounted:
        assert sorted(os.listdir(mounted.path)) == ["a", "deep"]
        assert (mounted.path / "deep/er/b").read_text() == "train/deep/er/b"
        assert [name for name, _, _ in os.walk(mounted.path)] == [
            str(mounted.path / name) for name in (".", "deep", "deep/er")
        ]


@pytest.mark.not_on("versitygw", "objects are files, so that none is below another")
def test_a_directory_hides_a_file_until_it_is_empty(able_server: S3Server) -> None:
    """S5: and the log says so."""
    bucket = able_server.bucket()
    able_server.put(bucket, "blue", b"file")
    able_server.put(bucket, "blue/x", b"x")

    with Mounted(able_server, bucket) as mounted:
        blue = mounted.path / "blue"
        assert os.listdir(mounted.path) == ["blue"]
        number = blue.stat().st_ino
        assert blue.is_dir()
        able_server.delete(bucket, "blue/x")
        eventually(blue.is_file)
        assert blue.read_bytes() == b"file"
        assert blue.stat().st_ino != number
        mounted.stop()
        assert "'blue' is hidden by the directory" in mounted.log


@pytest.mark.not_on("versitygw", "a marker is a directory, so that it has no content")
def test_markers_make_empty_directories_and_are_no_entries(able_server: S3Server) -> None:
    """S4: also a marker that has content."""
    bucket = able_server.bucket()
    able_server.put(bucket, "empty/")
    able_server.put(bucket, "full/", b"content")
    able_server.put(bucket, "full/x")

    with Mounted(able_server, bucket) as mounted:
        assert sorted(os.listdir(mounted.path)) == ["empty", "full"]
        assert os.listdir(mounted.path / "empty") == []
        assert os.listdir(mounted.path / "full") == ["x"]
        with pytest.raises(NotADirectoryError):
            os.listdir(mounted.path / "full/x")


@pytest.mark.not_on("versitygw", "it tidies keys as if they were paths")
def test_keys_without_a_path_are_hidden_and_the_others_are_there(able_server: S3Server) -> None:
    """S6: and counted."""
    bucket = able_server.bucket()
    for key in ("a//b", "a/ok", "a/./c", "/lead", "top"):
        able_server.put(bucket, key)

    with Mounted(able_server, bucket) as mounted:
        assert sorted(os.listdir(mounted.path)) == ["a", "top"]
        assert os.listdir(mounted.path / "a") == ["ok"]
        assert mounted.stop()["hidden_names"] == 3


def test_names_no_key_can_have_are_invalid_and_missing_ones_missing(able_server: S3Server) -> None:
    bucket = able_server.bucket()
    able_server.put(bucket, "a")

    with Mounted(able_server, bucket) as mounted:
        with pytest.raises(OSError, match="Invalid argument") as caught:
            os.stat(bytes(mounted.path) + b"/\xff\xfe")
        assert caught.value.errno == errno.EINVAL
        with pytest.raises(FileNotFoundError):
            os.stat(mounted.path / "b")
        with pytest.raises(NotADirectoryError):
            os.stat(mounted.path / "a/b")


def test_attributes_are_those_of_the_mount_and_the_object(able_server: S3Server) -> None:
    """S15, S18, S20: by stat, by a listing and by statvfs."""
    bucket = able_server.bucket()
    able_server.put(bucket, "d/f", b"x" * 1000)
    before = int(time.time())

    with Mounted(
        able_server, bucket, uid=1234, gid=4321, file_mode="0640", dir_mode="0750", allow_other=True
    ) as mounted:
        file, directory = (mounted.path / "d/f").stat(), (mounted.path / "d").stat()
        assert stat.filemode(file.st_mode) == "-rw-r-----"
        assert stat.filemode(directory.st_mode) == "drwxr-x---"
        assert (file.st_uid, file.st_gid, directory.st_uid, directory.st_gid) == (1234, 4321, 1234, 4321)
        assert (file.st_size, file.st_blocks, file.st_blksize, file.st_nlink) == (1000, 2, 4096, 1)
        assert (directory.st_size, directory.st_nlink) == (0, 2)
        modified = able_server.boto.head_object(Bucket=bucket, Key="d/f")["LastModified"].timestamp()
        assert file.st_mtime == file.st_ctime == file.st_atime == modified
        assert before <= directory.st_mtime <= time.time()
        with os.scandir(mounted.path / "d") as entries:
            listed = next(entries).stat()
        assert (listed.st_mtime, listed.st_ino) == (file.st_mtime, file.st_ino), "LIST and HEAD agree"
        statvfs = os.statvfs(mounted.path)
        assert statvfs.f_bavail == statvfs.f_blocks == (2**64 - 1) // 1024
        assert statvfs.f_namemax == 255


def test_ten_thousand_entries_cost_ten_lists_and_no_head_also_with_attributes() -> None:
    with MountedMemory(10_000) as mounted:
        with os.scandir(mounted.path / "many") as entries:
            sizes = {entry.name: entry.stat().st_size for entry in entries}
        assert len(sizes) == 10_000
        assert set(sizes.values()) == {1}
        requests = mounted.stop()["s3_requests"]
    assert requests["ListObjectsV2"] == 1 + 10, "the lookup of the directory, then its pages"
    assert requests.get("HeadObject", 0) <= 1, "the lookup's, which its LIST ends"


def test_seekdir_and_rewinddir_give_what_was_there(able_server: S3Server) -> None:
    """S11, S12: by the C library."""
    bucket = able_server.bucket()
    names = sorted(f"file-{number:03}-{'x' * 100}" for number in range(60))
    for name in names:
        able_server.put(bucket, name)

    with Mounted(able_server, bucket) as mounted, _Directory(mounted.path) as directory:
        first = directory.read()
        assert [name for name, _ in first] == [".", "..", *names]
        for index in (0, 2, 30, len(first) - 1):
            directory.seek(first[index][1])
            assert [name for name, _ in directory.read()] == [name for name, _ in first[index + 1 :]]
        able_server.put(bucket, "new")
        directory.rewind()
        assert [name for name, _ in directory.read()] == [".", "..", *names, "new"]


class _Directory:
    """A directory by the C library, whose telldir, seekdir and rewinddir Python does not show."""

    def __init__(self, path: Path) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._libc.opendir.restype = self._libc.readdir.restype = ctypes.c_void_p
        self._libc.telldir.restype = ctypes.c_long
        self._path = path

    def __enter__(self) -> Self:
        self._dir = ctypes.c_void_p(self._libc.opendir(bytes(self._path)))
        return self

    def __exit__(self, *_: object) -> None:
        self._libc.closedir(self._dir)

    def read(self) -> list[tuple[str, int]]:
        """The names to come, each with the position behind it."""
        found = []
        while entry := self._libc.readdir(self._dir):
            # struct dirent: ino 8, off 8, reclen 2, type 1, then the name.
            found.append((ctypes.string_at(entry + 19).decode(), self._libc.telldir(self._dir)))
        return found

    def seek(self, position: int) -> None:
        self._libc.seekdir(self._dir, ctypes.c_long(position))

    def rewind(self) -> None:
        self._libc.rewinddir(self._dir)
