"""Files of a real mount: bytes, versions, flags, and what reading costs."""

import errno
import hashlib
import os
import random
import threading
from pathlib import Path

import pytest

from tests.conformance.sharing import eventually
from tests.fuse.mounted import Mounted, NotMounted
from tests.servers import S3Server

MiB = 1024 * 1024


def _bytes(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


def test_files_have_the_objects_bytes(s3_server: S3Server) -> None:
    """S23: whole files of all sizes."""
    bucket = s3_server.bucket()
    contents = {f"f{size}": _bytes(size) for size in (0, 1, 4096, MiB, MiB + 1, 20 * MiB)}
    for key, data in contents.items():
        s3_server.put(bucket, key, data)

    with Mounted(s3_server, bucket) as mounted:
        for key, data in contents.items():
            with (mounted.path / key).open("rb") as file:
                assert hashlib.file_digest(file, "md5").digest() == hashlib.md5(data).digest()
                assert file.read(10) == b""
        read, there = mounted.stop()["bytes_read"], sum(map(len, contents.values()))
        # A kernel that is short of memory drops pages of its cache that nobody has read yet, and asks for them again.
        assert there <= read < there * 1.5


def test_random_reads_and_reads_across_the_end_are_exact(able_server: S3Server) -> None:
    """S23: and none behind the end."""
    data = _bytes(5 * MiB + 12_345)
    bucket = able_server.bucket()
    able_server.put(bucket, "f", data)
    places = random.Random(1)

    with Mounted(able_server, bucket) as mounted:
        file = os.open(mounted.path / "f", os.O_RDONLY)
        try:
            for _ in range(60):
                offset, size = places.randrange(len(data) + 1000), places.choice((1, 100, 16_384, 300_000))
                assert os.pread(file, size, offset) == data[offset : offset + size]
        finally:
            os.close(file)


def test_many_readers_of_many_files_see_their_own(able_server: S3Server) -> None:
    bucket = able_server.bucket()
    contents = {f"f{number}": _bytes(700_000 + number, number) for number in range(8)}
    for key, data in contents.items():
        able_server.put(bucket, key, data)
    wrong: list[str] = []

    def read(path: Path, data: bytes) -> None:
        if any(path.read_bytes() != data for _ in range(3)):
            wrong.append(path.name)

    with Mounted(able_server, bucket, memory_target=16) as mounted:
        threads = [
            threading.Thread(target=read, args=(mounted.path / key, data))
            for key, data in contents.items()
            for _ in "ab"
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert not wrong


def test_a_small_file_read_once_costs_four_requests_at_most(able_server: S3Server) -> None:
    bucket = able_server.bucket()
    able_server.put(bucket, "f", _bytes(16_384))

    with Mounted(able_server, bucket) as mounted:
        assert len((mounted.path / "f").read_bytes()) == 16_384
        requests = mounted.stop()["s3_requests"]
    assert requests["HeadObject"] <= 2
    assert requests["ListObjectsV2"] <= 1 + 1, "preflight and lookup"
    assert requests["GetObject"] == 1


def test_with_a_ttl_names_are_believed_and_reading_again_costs_nothing(able_server: S3Server) -> None:
    bucket = able_server.bucket()
    able_server.put(bucket, "d/f", _bytes(16_384))

    with Mounted(able_server, bucket, metadata_ttl=300) as mounted:
        for _ in range(5):
            assert len((mounted.path / "d/f").read_bytes()) == 16_384
            assert not (mounted.path / "missing").exists()
        requests = mounted.stop()["s3_requests"]
    assert requests["GetObject"] < 5, "the kernel keeps the pages of one version, but for what it drops now and then"
    assert requests["HeadObject"] <= 3, "d, d/f and missing, each once"
    assert requests["ListObjectsV2"] <= 1 + 3


def test_a_replaced_object_shows_its_old_bytes_or_estale_and_opened_anew_the_new_ones(able_server: S3Server) -> None:
    """S24: all over a file that is too large to have been read ahead."""
    old, new = b"o" * (24 * MiB), b"n" * (24 * MiB)
    bucket = able_server.bucket()
    able_server.put(bucket, "f", old)

    with Mounted(able_server, bucket) as mounted:
        path = mounted.path / "f"
        file = os.open(path, os.O_RDONLY)
        try:
            number = os.fstat(file).st_ino
            assert os.pread(file, 4096, 0) == old[:4096]
            able_server.put(bucket, "f", new)
            seen = {_bytes_or_errno(file, offset) for offset in range(0, len(old), MiB)}
            assert errno.ESTALE in seen, "not everything can have been read before"
            assert seen <= {errno.ESTALE, b"o"}
            eventually(lambda: path.stat().st_ino != number)
            with path.open("rb") as fresh:
                assert set(fresh.read(MiB)) == {ord("n")}
        finally:
            os.close(file)


def _bytes_or_errno(file: int, offset: int) -> bytes | int:
    """The one byte that some read bytes are all made of, or the error's number."""
    try:
        data = os.pread(file, 65_536, offset)
    except OSError as error:
        return error.errno or 0
    return data[:1] if data == data[:1] * len(data) else data


def test_a_deleted_object_fails_its_readers_with_eio_and_has_no_name(able_server: S3Server) -> None:
    """S29: from its end, which nobody has read ahead."""
    bucket = able_server.bucket()
    able_server.put(bucket, "f", b"x" * (24 * MiB))

    with Mounted(able_server, bucket) as mounted:
        path = mounted.path / "f"
        file = os.open(path, os.O_RDONLY)
        try:
            os.pread(file, 4096, 0)
            able_server.delete(bucket, "f")
            assert errno.EIO in {_bytes_or_errno(file, offset) for offset in range(23 * MiB, 0, -MiB)}
        finally:
            os.close(file)
        eventually(lambda: not path.exists())  # the kernel believes in the name for a moment (S30)
        with pytest.raises(FileNotFoundError):
            path.open("rb")


@pytest.mark.not_on("versitygw", "it has one storage class")
def test_archived_objects_have_no_permissions_and_cannot_be_opened(able_server: S3Server) -> None:
    """S21: of the classes that need a restore; the others are as any."""
    bucket = able_server.bucket()
    for name in ("GLACIER", "DEEP_ARCHIVE", "GLACIER_IR", "STANDARD_IA"):
        able_server.put(bucket, name, b"data", StorageClass=name)

    with Mounted(able_server, bucket) as mounted:
        with os.scandir(mounted.path) as entries:
            modes = {entry.name: entry.stat().st_mode & 0o777 for entry in entries}
        assert modes == {"GLACIER": 0, "DEEP_ARCHIVE": 0, "GLACIER_IR": 0o644, "STANDARD_IA": 0o644}
        for name in ("GLACIER", "DEEP_ARCHIVE"):
            with pytest.raises(PermissionError):
                (mounted.path / name).open("rb")
        assert (mounted.path / "GLACIER_IR").read_bytes() == b"data"
        assert mounted.stop()["fuse_errors"]["EACCES"] == 2


def test_o_direct_reads_the_newest_version_whatever_the_ttl(able_server: S3Server) -> None:
    """S29: beside an open that is believed for ever."""
    bucket = able_server.bucket()
    able_server.put(bucket, "f", b"1" * 8192)

    with Mounted(able_server, bucket, metadata_ttl="indefinite") as mounted:
        path = mounted.path / "f"
        assert path.read_bytes() == b"1" * 8192
        able_server.put(bucket, "f", b"2" * 8192)
        assert path.read_bytes() == b"1" * 8192, "believed for ever"
        file = os.open(path, os.O_RDONLY | os.O_DIRECT)
        try:
            assert os.read(file, 8192) == b"2" * 8192
        finally:
            os.close(file)


def test_a_mount_that_only_reads_refuses_whatever_would_write_with_erofs(able_server: S3Server) -> None:
    """S60: before S3 is asked, and whoever asks."""
    bucket = able_server.bucket()
    able_server.put(bucket, "f", b"x")

    with Mounted(able_server, bucket, read_only=True) as mounted:
        path, new = mounted.path / "f", mounted.path / "new"
        attempts = [
            lambda: path.open("r+b"),
            lambda: path.open("ab"),
            lambda: path.open("wb"),
            lambda: new.open("xb"),
            lambda: os.truncate(path, 0),
            lambda: path.chmod(0o600),
            lambda: os.utime(path),
            new.mkdir,
            path.unlink,
            lambda: path.rename(new),
            lambda: new.symlink_to("f"),
            lambda: os.link(path, new),
            lambda: os.mkfifo(new),
        ]
        for attempt in attempts:
            with pytest.raises(OSError) as caught:
                attempt()
            assert caught.value.errno == errno.EROFS
        assert path.read_bytes() == b"x"
        os.close(os.open(path, os.O_RDONLY | os.O_SYNC))
    assert [found["Key"] for found in able_server.boto.list_objects_v2(Bucket=bucket)["Contents"]] == ["f"]


def test_extended_attributes_and_holes_are_not_supported_and_do_no_harm(able_server: S3Server) -> None:
    """S35: programs that try them go on without."""
    bucket = able_server.bucket()
    able_server.put(bucket, "f", b"x" * 100)

    with Mounted(able_server, bucket) as mounted:
        path = mounted.path / "f"
        with pytest.raises(OSError) as caught:
            os.getxattr(path, "user.a")
        assert caught.value.errno == errno.EOPNOTSUPP
        file = os.open(path, os.O_RDONLY)
        try:
            assert os.lseek(file, 0, os.SEEK_DATA) == 0
            os.fsync(file)
        finally:
            os.close(file)


def test_a_missing_bucket_is_told_in_a_sentence(s3_server: S3Server) -> None:
    with (
        pytest.raises(NotMounted, match="bucket 'no-such-bucket' does not exist at http"),
        Mounted(s3_server, "no-such-bucket"),
    ):
        pass


def test_sigint_unmounts_and_exits_with_0(able_server: S3Server) -> None:
    bucket = able_server.bucket()
    with Mounted(able_server, bucket) as mounted:
        mounted.stop()
        assert mounted.exit_code == 0
        assert str(mounted.path) not in Path("/proc/self/mountinfo").read_text(errors="surrogateescape")
