"""Bytes of files, and how soon what changes in the bucket is seen: by readers, lookups, opens and listings."""

import errno
import fcntl
import mmap
import os
import random
import subprocess
import threading

import pytest

from tests.conformance.observed import ObservedMemory, ObservedProxy
from tests.conformance.sharing import Place, eventually
from tests.faults import FaultyProxy
from tests.servers import S3Server

MiB = 1024 * 1024
LARGE = random.Random(3).randbytes(3 * MiB + 4321)


def test_two_descriptors_of_a_file_have_offsets_of_their_own(place: Place) -> None:
    """S23: and what lies behind the end is nothing."""
    place.put("f", b"hello world")
    with (place.path / "f").open("rb", buffering=0) as one, (place.path / "f").open("rb", buffering=0) as two:
        assert one.read(5) == b"hello"
        assert two.read(20) == b"hello world"
        assert one.read(20) == b" world"
        assert os.pread(two.fileno(), 10, 50) == b""


@pytest.mark.parametrize("size", [1000, 70_000, 1 << 20])
def test_any_size_of_read_gives_the_same_bytes(place: Place, size: int) -> None:
    """S23: sequential reads that fit no boundary of ours."""
    place.put("f", LARGE)
    found = bytearray()
    with (place.path / "f").open("rb", buffering=0) as file:
        while piece := file.read(size):
            found += piece
    assert found == LARGE


def test_random_and_backward_reads_and_maps_are_exact(place: Place) -> None:
    """S23: in any order, and by mmap(2)."""
    place.put("f", LARGE)
    places = random.Random(5)
    with (place.path / "f").open("rb", buffering=0) as file:
        for offset in range(len(LARGE) - 100_000, 0, -400_000):
            assert os.pread(file.fileno(), 100_000, offset) == LARGE[offset : offset + 100_000]
        for _ in range(20):
            offset, size = places.randrange(len(LARGE)), places.randrange(1, MiB)
            assert os.pread(file.fileno(), size, offset) == LARGE[offset : offset + size]
        with mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
            assert mapped[2_000_000:2_000_100] == LARGE[2_000_000:2_000_100]


def test_a_duplicate_reads_on_when_the_first_descriptor_is_closed(place: Place) -> None:
    """S26: also where it has not read yet."""
    place.put("f", LARGE)
    first = os.open(place.path / "f", os.O_RDONLY)
    second = os.dup(first)
    try:
        assert os.read(first, 100) == LARGE[:100]
        os.close(first)
        assert os.pread(second, 500, len(LARGE) - 500) == LARGE[-500:]
    finally:
        os.close(second)


def test_readers_of_a_small_memory_share_it(able_server: S3Server) -> None:
    """S27: twenty-four files of 3 MiB side by side, in 16 MiB."""
    keys = [f"f{number}" for number in range(24)]
    bucket = able_server.bucket()
    for key in keys:
        able_server.put(bucket, key, LARGE)
    wrong: list[str] = []
    with FaultyProxy(able_server.endpoint) as proxy, ObservedProxy(proxy, bucket, memory_target=16) as mounted:

        def read(key: str) -> None:
            if (mounted.path / key).read_bytes() != LARGE:
                wrong.append(key)

        readers = [threading.Thread(target=read, args=(key,)) for key in keys]
        for reader in readers:
            reader.start()
        most = 0
        while any(reader.is_alive() for reader in readers):
            most = max(most, mounted.counters()["arena_bytes"])
        assert 0 < most <= 16 * MiB
        eventually(lambda: mounted.counters()["arena_bytes"] == 0)
    assert not wrong


def test_a_file_may_be_truncated_to_nothing_behind_a_reader(able_place: Place) -> None:
    """S24: the old size with the new bytes would be a mix; it is the old bytes or ESTALE."""
    able_place.put("f", LARGE)
    with (able_place.path / "f").open("rb", buffering=0) as file:
        assert file.read(100) == LARGE[:100]
        able_place.put("f", b"")
        assert _bytes_or_errno(file.fileno(), 2 * MiB) in (LARGE[2 * MiB : 2 * MiB + 4096], errno.ESTALE)
    able_place.names()
    assert (able_place.path / "f").read_bytes() == b""


def test_the_old_descriptor_and_the_new_one_share_no_page(able_place: Place) -> None:
    """S24, S25: pages of one version are never shown for another."""
    old, new = b"o" * 512 * 1024, b"n" * 512 * 1024
    able_place.put("f", old)
    with (able_place.path / "f").open("rb", buffering=0) as before:
        assert before.read(4096) == old[:4096]
        able_place.put("f", new)
        able_place.names()
        with (able_place.path / "f").open("rb", buffering=0) as after:
            for offset in (0, 256 * 1024):
                assert os.pread(after.fileno(), 4096, offset) == new[:4096]
                assert _bytes_or_errno(before.fileno(), offset) in (old[:4096], errno.ESTALE)


def _bytes_or_errno(file: int, offset: int) -> bytes | int | None:
    try:
        return os.pread(file, 4096, offset)
    except OSError as failure:
        return failure.errno


def test_a_new_object_is_seen_at_once_and_an_open_gives_the_newest(able_place: Place) -> None:
    """S30: with `minimal`, also for a name that was missing a moment ago."""
    path = able_place.path / "f"
    able_place.put("other")
    assert not path.exists()
    able_place.put("f", b"first")
    assert path.read_bytes() == b"first"
    able_place.put("f", b"second, longer")
    eventually(lambda: path.stat().st_size == len(b"second, longer"))
    assert path.read_bytes() == b"second, longer"
    able_place.delete("f")
    eventually(lambda: not path.exists())


def test_who_walks_a_directory_is_told_what_it_listed_and_opens_the_newest(able_place: Place) -> None:
    """S52, S30: other programs see what is there, and the walking one, too, when it has closed the directory."""
    able_place.put("f", b"first")
    able_place.put("g", b"first")
    directory = os.open(able_place.path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        assert sorted(os.listdir(directory)) == ["f", "g"]
        able_place.put("f", b"second, longer")
        able_place.put("g", b"second, longer")

        def seen_by_another() -> int:
            return int(subprocess.check_output(["stat", "-c", "%s", able_place.path / "g"]))

        eventually(lambda: seen_by_another() == len(b"second, longer"))
        assert os.stat("f", dir_fd=directory).st_size == len(b"first")
        assert (able_place.path / "f").read_bytes() == b"second, longer"
        assert os.stat("f", dir_fd=directory).st_size == len(b"second, longer")
        able_place.put("f", b"third")
    finally:
        os.close(directory)
    eventually(lambda: (able_place.path / "f").stat().st_size == len(b"third"))


def test_with_a_ttl_what_is_known_is_believed_until_a_listing_tells_better(lasting_place: Place) -> None:
    """S31, S33: a changed object, and one that is gone."""
    path = lasting_place.path / "f"
    lasting_place.put("f", b"1")
    lasting_place.put("stays")
    assert path.read_bytes() == b"1"
    lasting_place.put("f", b"22")
    assert path.stat().st_size == 1
    assert path.read_bytes() == b"1"
    assert sorted(lasting_place.names()) == ["f", "stays"]
    assert path.stat().st_size == 2
    assert path.read_bytes() == b"22"


def test_a_ttl_that_has_passed_has_s3_asked_again(able_server: S3Server) -> None:
    """S31: one second."""
    bucket = able_server.bucket()
    able_server.put(bucket, "f", b"1")
    with FaultyProxy(able_server.endpoint) as proxy, ObservedProxy(proxy, bucket, metadata_ttl=1) as mounted:
        assert (mounted.path / "f").read_bytes() == b"1"
        able_server.put(bucket, "f", b"22")
        eventually(lambda: (mounted.path / "f").stat().st_size == 2)
        assert (mounted.path / "f").read_bytes() == b"22"


def test_a_name_that_was_missing_stays_so_until_a_listing_shows_it(lasting_place: Place) -> None:
    """S32: the answer "no such name" is kept as long as others."""
    path = lasting_place.path / "f"
    lasting_place.put("other")
    assert not path.exists()
    lasting_place.put("f", b"there")
    assert not path.exists()
    assert sorted(lasting_place.names()) == ["f", "other"]
    assert path.read_bytes() == b"there"


@pytest.mark.parametrize("negative", [1, "minimal"])
def test_how_long_a_name_is_believed_missing_is_an_option_of_its_own(
    able_server: S3Server, negative: int | str
) -> None:
    """S32: `negative-metadata-ttl` of a second, and of none, with all else believed for ever."""
    bucket = able_server.bucket()
    options = {"metadata_ttl": "indefinite", "negative_metadata_ttl": negative}
    with FaultyProxy(able_server.endpoint) as proxy, ObservedProxy(proxy, bucket, **options) as mounted:
        assert not (mounted.path / "f").exists()
        able_server.put(bucket, "f", b"there")
        if negative == "minimal":
            assert (mounted.path / "f").exists()
        eventually((mounted.path / "f").exists)


def test_locks_are_the_hosts_own() -> None:
    """S34: flock(2) and fcntl(2) locks succeed, and hold among the programs of this host."""
    with (
        ObservedMemory(["f"]) as mounted,
        (mounted.path / "f").open("rb") as one,
        (mounted.path / "f").open("rb") as two,
    ):
        fcntl.flock(one, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with pytest.raises(BlockingIOError):
            fcntl.flock(two, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(one, fcntl.LOCK_UN)
        fcntl.flock(two, fcntl.LOCK_EX | fcntl.LOCK_NB)
