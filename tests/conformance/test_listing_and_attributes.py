"""Listings and what stat(2) shows: order, completeness, kinds, owners, modes, sizes, numbers, archived objects."""

import os
import random
import stat
import subprocess
import time
from pathlib import Path

import pytest

from tests.conformance.observed import ObservedMemory, ObservedProxy
from tests.conformance.sharing import Place
from tests.faults import Answer, FaultyProxy
from tests.fuse.mounted import Mounted
from tests.servers import S3Server

NOBODY = 65534


def test_a_listing_is_sorted_by_bytes_and_has_each_name_once(able_place: Place) -> None:
    """S10: files and directories together, whatever order they came into the bucket in."""
    names = [f"{letter}{number}" for letter in "Zaz_é日-" for number in range(3)]
    for name in random.Random(7).sample(names, len(names)):
        able_place.put(f"{name}/inner" if name.endswith("1") else name)
    assert able_place.names() == sorted(names, key=str.encode)


def test_a_listing_of_many_pages_is_complete_and_sorted() -> None:
    """S10: 2,500 files and as many directories, whose names sort between each other."""
    files, directories = [f"n{number:05}.x" for number in range(2500)], [f"n{number:05}" for number in range(2500)]
    with ObservedMemory([*files, *(f"{name}/inner" for name in directories)]) as mounted:
        assert os.listdir(mounted.path) == sorted([*files, *directories])
        counted = mounted.counters()["s3_requests"]
    assert counted["ListObjectsV2"] == 5


def test_a_listing_has_its_own_number_and_its_parents(able_place: Place) -> None:
    """S10: `.` and `..` come first, and a name's number is that of its stat."""
    able_place.put("d/e/f", b"x")
    listed = subprocess.run(["ls", "-fai1", able_place.path / "d"], check=True, capture_output=True, text=True).stdout
    numbers = [line.split() for line in listed.splitlines()]
    assert [name for _, name in numbers] == [".", "..", "e"]
    expected = [(able_place.path / name).stat().st_ino for name in ("d", ".", "d/e")]
    assert [int(number) for number, _ in numbers] == expected


@pytest.mark.parametrize("lasting", [False, True])
def test_a_listing_is_never_remembered(able_place: Place, lasting_place: Place, *, lasting: bool) -> None:
    """S11: what comes and goes in the bucket is seen by the next listing, with any `metadata-ttl`."""
    place = lasting_place if lasting else able_place
    place.put("a")
    assert place.names() == ["a"]
    place.put("b")
    place.put("c/d")
    assert place.names() == ["a", "b", "c"]
    place.delete("a", "c/d")
    assert place.names() == ["b"]


def test_a_listing_of_what_is_no_directory_any_more_is_empty(able_place: Place) -> None:
    """S12: an open directory outlives its last key; it has nothing in it then."""
    able_place.put("d/a")
    descriptor = os.open(able_place.path / "d", os.O_RDONLY)
    try:
        assert os.listdir(descriptor) == ["a"]
        able_place.delete("d/a")
        assert os.listdir(descriptor) == []
    finally:
        os.close(descriptor)


def test_kinds_are_told_by_the_listing_itself(able_place: Place) -> None:
    """S13: so that `find` need not ask for each name."""
    able_place.put("file", b"12345")
    able_place.put("directory/x")
    with os.scandir(able_place.path) as entries:
        kinds = {entry.name: (entry.is_dir(), entry.is_file(), entry.is_symlink()) for entry in entries}
    assert kinds == {"file": (False, True, False), "directory": (True, False, False)}


@pytest.mark.parametrize(("size", "blocks"), [(0, 0), (1, 1), (512, 1), (513, 2), (4096, 8), (4097, 9)])
def test_blocks_are_of_512_bytes_rounded_up(place: Place, size: int, blocks: int) -> None:
    """S17: as `du` counts them."""
    place.put("f", bytes(size))
    found = (place.path / "f").stat()
    assert (found.st_size, found.st_blocks, found.st_blksize) == (size, blocks, 4096)


def test_a_number_belongs_to_one_version_of_an_object(able_place: Place) -> None:
    """S19: the same content put again is the same version; other content is another inode."""
    path = able_place.path / "f"
    able_place.put("f", b"one")
    able_place.names()
    number = path.stat().st_ino
    able_place.put("f", b"one")
    able_place.names()
    assert path.stat().st_ino == number
    able_place.put("f", b"two")
    able_place.names()
    assert path.stat().st_ino != number


@pytest.mark.parametrize(
    ("options", "allowed"),
    [
        ({"dir_mode": "0755", "file_mode": "0644"}, {"ls d", "stat d/f", "cat d/f"}),
        ({"dir_mode": "0755", "file_mode": "0600"}, {"ls d", "stat d/f"}),
        ({"dir_mode": "0711"}, {"stat d/f", "cat d/f"}),
        ({"dir_mode": "0700"}, set()),
        ({"dir_mode": "0700", "file_mode": "0600", "uid": NOBODY}, {"ls d", "stat d/f", "cat d/f"}),
    ],
    ids=["everybody", "the directory", "who knows the name", "nobody", "the owner"],
)
def test_modes_and_owner_decide_who_may_what(
    able_server: S3Server, options: dict[str, object], allowed: set[str]
) -> None:
    """S18: for users that `allow-other` lets in, by the kernel."""
    bucket = able_server.bucket()
    able_server.put(bucket, "d/f", b"x")
    with Mounted(able_server, bucket, allow_other=True, **options) as mounted:
        assert _allowed_to_nobody(mounted.path) == allowed


def test_without_allow_other_nobody_else_is_let_in(able_server: S3Server) -> None:
    """S18: not even to see that there is something."""
    bucket = able_server.bucket()
    able_server.put(bucket, "d/f", b"x")
    with Mounted(able_server, bucket) as mounted:
        assert not _allowed_to_nobody(mounted.path)


def _allowed_to_nobody(directory: Path) -> set[str]:
    """Which commands an unprivileged user may run in a directory; the others must end with "Permission denied"."""
    user = ["setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups", "--"]
    allowed = set()
    for command in ("ls d", "stat d/f", "cat d/f"):
        words = [*user, "env", "LC_ALL=C", *command.split()]
        ended = subprocess.run(words, cwd=directory, capture_output=True, text=True)
        if ended.returncode == 0:
            allowed.add(command)
        else:
            assert "Permission denied" in ended.stderr
    return allowed


def test_a_restored_copy_is_read_and_one_that_is_being_restored_is_not(able_server: S3Server) -> None:
    """S21: as `x-amz-restore` tells; the mode says so before anybody tries."""
    bucket = able_server.bucket()
    able_server.put(bucket, "cold", b"frozen", StorageClass="GLACIER")
    head = {"ETag": able_server.boto.head_object(Bucket=bucket, Key="cold")["ETag"], "Content-Length": "6"}
    head |= {"Last-Modified": "Sun, 22 Nov 2026 10:00:00 GMT", "x-amz-storage-class": "GLACIER"}
    restored = 'ongoing-request="false", expiry-date="Fri, 22 Nov 2126 00:00:00 GMT"'
    expired = restored.replace("2126", "2020").replace("Fri", "Sun")
    with FaultyProxy(able_server.endpoint) as proxy, ObservedProxy(proxy, bucket) as mounted:
        for restore, mode in (("", 0), ('ongoing-request="true"', 0), (expired, 0), (restored, 0o644)):
            told = Answer(200, head | ({"x-amz-restore": restore} if restore else {}), b"")
            proxy.decide = lambda seen, told=told: told if seen.method == "HEAD" else None  # type: ignore[misc]
            time.sleep(0.15)  # what the kernel believes of a file with `minimal`
            assert stat.S_IMODE((mounted.path / "cold").stat().st_mode) == mode, restore
            if mode:
                os.close(os.open(mounted.path / "cold", os.O_RDONLY))
            else:
                with pytest.raises(PermissionError):
                    os.open(mounted.path / "cold", os.O_RDONLY)
