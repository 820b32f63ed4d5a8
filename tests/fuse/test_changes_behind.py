"""A mount and a bucket that change at the same time: names that come and go while files are made and listed."""

import errno
import os
import time

import pytest

from engine.s3.interface import LIST_ENTRIES_MAX
from tests.conformance.sharing import eventually
from tests.fuse.conftest import Place
from tests.fuse.mounted import Mounted, MountedMemory
from tests.refusals import refused
from tests.servers import S3Server

# What `metadata-ttl = minimal` lets the kernel believe of a file, in seconds, and a little more.
BELIEVED_SECONDS = 0.15


def test_a_name_whose_object_was_deleted_elsewhere_is_made_anew(free: Place) -> None:
    path = free.path / "f"
    path.write_bytes(b"first")
    assert path.read_bytes() == b"first"
    free.delete("f")
    eventually(lambda: not path.exists())
    with path.open("xb") as file:
        file.write(b"second")
    assert free.content("f") == b"second"
    assert path.read_bytes() == b"second"


def test_under_a_ttl_a_name_that_is_believed_is_taken_though_it_is_gone(able_server: S3Server) -> None:
    """S31: a believed name is a name, to those who would make it too."""
    bucket = able_server.bucket()
    able_server.put(bucket, "f", b"x")
    with Mounted(able_server, bucket, metadata_ttl=3600) as mounted:
        assert (mounted.path / "f").stat().st_size == 1
        able_server.delete(bucket, "f")
        assert refused(lambda: os.open(mounted.path / "f", os.O_WRONLY | os.O_CREAT | os.O_EXCL)) == errno.EEXIST
        assert refused((mounted.path / "f").mkdir) == errno.EEXIST


def test_under_a_ttl_a_reader_that_finds_its_version_gone_opens_the_new_one_next(able_server: S3Server) -> None:
    """S24: what was believed for an hour is known to be wrong then."""
    bucket = able_server.bucket()
    able_server.put(bucket, "f", b"old")
    with Mounted(able_server, bucket, metadata_ttl=3600) as mounted:
        path = mounted.path / "f"
        assert path.stat().st_size == 3
        able_server.put(bucket, "f", b"newer")
        assert refused(path.read_bytes) == errno.ESTALE
        assert path.read_bytes() == b"newer"


@pytest.mark.parametrize("synced", [False, True])
def test_the_size_of_what_was_written_stays_right_when_it_is_asked_for_again(place: Place, synced: bool) -> None:
    path = place.path / "f"
    file = os.open(path, os.O_WRONLY | os.O_CREAT)
    try:
        os.write(file, bytes(12_345))
        if synced:
            os.fsync(file)
        time.sleep(BELIEVED_SECONDS)
        assert os.fstat(file).st_size == path.stat().st_size == 12_345
    finally:
        os.close(file)
    time.sleep(BELIEVED_SECONDS)
    assert path.stat().st_size == 12_345


def test_an_open_directory_that_is_rewound_shows_what_was_made_here_and_in_s3(place: Place) -> None:
    """S11: rewinding is a new listing, of both."""
    place.put("b", b"x")
    directory = os.open(place.path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        assert os.listdir(directory) == [".here", "b"]
        place.put("c", b"x")
        with (place.path / "a").open("wb") as file:
            file.write(b"x")
            (place.path / "d").mkdir()
            assert os.listdir(directory) == [".here", "a", "b", "c", "d"]
        assert os.listdir(directory) == [".here", "a", "b", "c", "d"]
    finally:
        os.close(directory)


def test_a_file_that_is_completed_while_it_is_listed_is_listed_once() -> None:
    """S10: wherever its name stands, before the page that is read or behind it."""
    count = LIST_ENTRIES_MAX + 50
    with MountedMemory(count) as mounted:
        directory = mounted.path / "many"
        files = [(directory / name).open("wb") for name in ("-", "00500-x", "z")]
        expected = sorted([f"{number:05}" for number in range(count)] + ["-", "00500-x", "z"])
        with os.scandir(directory) as entries:
            seen = [next(entries).name for _ in range(10)]
            for file in files:
                file.write(b"done")
                file.close()
            seen += [entry.name for entry in entries]
        assert seen == expected
        assert os.listdir(directory) == expected
