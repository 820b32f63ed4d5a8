"""Files that are written on a real mount: what is in S3 and when, what is refused, what an error leaves."""

import errno
import hashlib
import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Self

import pytest

from tests.conformance.sharing import eventually
from tests.faults import Answer, FaultyProxy, Seen
from tests.fuse.conftest import Place
from tests.fuse.mounted import Mounted
from tests.refusals import refused
from tests.servers import S3Server

KiB = 1024
MiB = 1024 * KiB


def _bytes(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


@pytest.mark.parametrize("size", [0, 1, 32, 4096, 8 * MiB, 8 * MiB + 1, 20 * MiB])
def test_what_was_written_is_in_s3_when_the_file_is_closed(anywhere: Place, size: int) -> None:
    """S61: of any size, in one PUT or in parts."""
    data = _bytes(size)
    (anywhere.path / "f").write_bytes(data)

    eventually(lambda: anywhere.has("f"))  # an empty file is made by the last close, which nobody waits for
    assert hashlib.md5(anywhere.content("f")).digest() == hashlib.md5(data).digest()
    assert (anywhere.path / "f").stat().st_size == size
    assert (anywhere.path / "f").read_bytes() == data
    assert anywhere.uploads() == []


@pytest.mark.parametrize("flags", [os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_APPEND])
def test_a_file_is_visible_here_while_it_is_written_and_in_s3_when_it_is_closed(place: Place, flags: int) -> None:
    """S61, S62: with the size that it has so far."""
    path = place.path / "f"
    file = os.open(path, flags | os.O_CREAT)
    assert path.stat().st_size == 0
    for number in range(50):
        assert os.write(file, bytes([number]) * KiB) == KiB
        assert os.fstat(file).st_size == (number + 1) * KiB
    assert path.stat().st_size == 50 * KiB
    assert sorted(os.listdir(place.path)) == [".here", "f"]
    assert place.stored() == [".here"]
    assert refused(lambda: os.pread(file, 1, 0)) == errno.EBADF
    os.close(file)

    assert place.content("f") == b"".join(bytes([number]) * KiB for number in range(50))
    assert path.stat().st_size == 50 * KiB


def test_a_new_one_byte_file_costs_one_put_beyond_its_lookup(able_server: S3Server) -> None:
    """S71: HEAD and LIST side by side, then the PUT."""
    bucket = able_server.bucket()
    with Mounted(able_server, bucket) as mounted:
        (mounted.path / "f").write_bytes(b"x")
        requests = mounted.stop()["s3_requests"]
    assert requests["PutObject"] == 1
    assert requests["HeadObject"] == 1
    assert requests["ListObjectsV2"] == 1 + 1, "preflight and lookup"
    assert "CreateMultipartUpload" not in requests


def test_writing_is_counted(able_server: S3Server) -> None:
    bucket = able_server.bucket()
    with Mounted(able_server, bucket) as mounted:
        (mounted.path / "f").write_bytes(bytes(9 * MiB))
        stats = mounted.stop()
    assert stats["bytes_written"] == 9 * MiB
    assert stats["uploads"] == 0
    assert stats["arena_bytes"] == 0
    assert stats["s3_requests"]["UploadPart"] == 2


def test_fsync_makes_the_object_and_ends_the_writing(place: Place) -> None:
    """S61, S63: the object is there when fsync returns."""
    path = place.path / "f"
    file = os.open(path, os.O_WRONLY | os.O_CREAT)
    try:
        os.write(file, b"all")
        os.fsync(file)
        assert place.content("f") == b"all"
        assert path.read_bytes() == b"all"
        assert refused(lambda: os.write(file, b"more")) == errno.EIO
        os.fsync(file)
    finally:
        os.close(file)
    assert place.content("f") == b"all"


def test_fsync_of_an_empty_file_makes_an_empty_object(place: Place) -> None:
    file = os.open(place.path / "f", os.O_WRONLY | os.O_CREAT)
    os.fsync(file)
    assert place.content("f") == b""
    os.close(file)


@pytest.mark.parametrize("move", [-1, 1, 1000])
def test_a_write_out_of_order_gives_the_file_up(place: Place, move: int) -> None:
    """S64: backwards and forwards, and every call after it tells."""
    path = place.path / "f"
    file = os.open(path, os.O_WRONLY | os.O_CREAT)
    os.write(file, _bytes(9 * MiB))
    assert refused(lambda: os.pwrite(file, b"x", 9 * MiB + move)) == errno.EINVAL
    assert refused(lambda: os.pwrite(file, b"x", 9 * MiB)) == errno.EINVAL
    assert refused(lambda: os.fsync(file)) == errno.EINVAL
    assert refused(lambda: os.close(file)) == errno.EINVAL

    eventually(lambda: not path.exists())
    assert place.stored() == [".here"]
    assert place.uploads() == []


def test_a_write_out_of_order_over_an_object_leaves_the_object(free: Place) -> None:
    """S64: as if nothing had been written."""
    free.put("f", b"old")
    path = free.path / "f"
    file = os.open(path, os.O_WRONLY | os.O_TRUNC)
    os.write(file, b"new")
    assert refused(lambda: os.pwrite(file, b"x", 0)) == errno.EINVAL
    assert refused(lambda: os.close(file)) == errno.EINVAL

    assert free.content("f") == b"old"
    eventually(lambda: path.stat().st_size == 3)
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize(
    "command",
    [
        "cp $SOURCE/sparse copy",  # writes its first block and says how large it is
        "cp $SOURCE/empty copy",  # only says how large it is
        "tar -C $SOURCE --sparse -c sparse | tar --transform s/sparse/copy/ -x",
        "dd if=$SOURCE/sparse of=copy bs=4096 conv=sparse",
        "truncate --size 5 copy",
    ],
)
def test_a_hole_at_the_end_of_a_file_gives_it_up(place: Place, tmp_path: Path, command: str) -> None:
    """S110: instead of publishing it without the zeros."""
    (tmp_path / "sparse").write_bytes(b"head")
    for name in ("sparse", "empty"):
        subprocess.run(["truncate", "--size", "1M", tmp_path / name], check=True)
    environment = os.environ | {"SOURCE": str(tmp_path)}
    run = subprocess.run(["sh", "-c", command], cwd=place.path, env=environment, capture_output=True, text=True)
    assert run.returncode != 0
    assert "Invalid argument" in run.stderr
    eventually(lambda: not (place.path / "copy").exists())
    assert place.stored() == [".here"]


def test_a_file_is_given_the_size_that_is_written_before_and_after(place: Place) -> None:
    """S110: programs claim room, and cut what they claimed too much; but nothing that was written is cut."""
    with (place.path / "f").open("wb", buffering=0) as file:
        file.truncate(100)
        file.write(b"abc")
        assert refused(lambda: file.truncate(2)) == errno.EINVAL
        file.truncate(3)
        file.write(b"d")
    assert place.content("f") == b"abcd"


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (os.O_WRONLY | os.O_SYNC, errno.EINVAL),
        (os.O_WRONLY | os.O_CREAT | os.O_DSYNC, errno.EINVAL),
        (os.O_WRONLY, errno.EPERM),
        (os.O_WRONLY | os.O_APPEND, errno.EPERM),
        (os.O_WRONLY | os.O_TRUNC, errno.EPERM),
        (os.O_RDWR | os.O_TRUNC, errno.EPERM),
        (os.O_RDONLY | os.O_TRUNC, errno.EPERM),
        (os.O_WRONLY | os.O_CREAT | os.O_EXCL, errno.EEXIST),
    ],
)
def test_an_object_can_only_be_read_without_leave_to_overwrite(place: Place, flags: int, expected: int) -> None:
    """S65: by none of the ways to open it for writing."""
    place.put("f", b"old")
    assert refused(lambda: os.open(place.path / "f", flags)) == expected
    assert place.content("f") == b"old"


@pytest.mark.parametrize("flags", [os.O_WRONLY, os.O_WRONLY | os.O_APPEND])
def test_with_leave_to_overwrite_an_object_is_replaced_as_a_whole_or_not(free: Place, flags: int) -> None:
    """S65: without O_TRUNC, even of an empty one."""
    free.put("f", b"")
    assert refused(lambda: os.open(free.path / "f", flags)) == errno.EPERM


def test_a_file_opened_for_both_is_read_if_it_exists(free: Place) -> None:
    free.put("f", b"old")
    file = os.open(free.path / "f", os.O_RDWR)
    try:
        assert os.read(file, 10) == b"old"
        assert refused(lambda: os.write(file, b"x")) == errno.EBADF
    finally:
        os.close(file)
    assert free.content("f") == b"old"


def test_a_new_file_opened_synchronously_is_refused(place: Place) -> None:
    """S66: also where writing is allowed."""
    assert refused(lambda: os.open(place.path / "new", os.O_WRONLY | os.O_CREAT | os.O_SYNC)) == errno.EINVAL


@pytest.mark.parametrize("flags", [os.O_WRONLY, os.O_RDWR])
@pytest.mark.parametrize("size", [5, 9 * MiB])
def test_an_object_is_replaced_when_the_file_is_closed_and_not_before(anywhere: Place, flags: int, size: int) -> None:
    """S61, S65: the old object is there meanwhile."""
    anywhere.put("f", b"old content")
    path, data = anywhere.path / "f", _bytes(size)
    assert path.read_bytes() == b"old content"
    file = os.open(path, flags | os.O_TRUNC)
    assert path.stat().st_size == 0
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]
    assert anywhere.content("f") == b"old content"
    assert refused(lambda: os.open(path, os.O_RDONLY)) == errno.EPERM
    os.close(file)

    assert anywhere.content("f") == data
    assert path.read_bytes() == data


def test_truncating_an_object_by_opening_and_closing_it_empties_it(free: Place) -> None:
    free.put("f", b"old")
    os.close(os.open(free.path / "f", os.O_WRONLY | os.O_TRUNC))
    files = [(free.path / "f").open("rb") for _ in range(2)]
    assert [file.read() for file in files] == [b"", b""]
    for file in files:
        file.close()
    assert free.content("f") == b""


def test_a_file_being_read_is_not_replaced_until_every_reader_has_closed_it(free: Place) -> None:
    """S67: duplicates that are used again count as readers."""
    free.put("f", b"old")
    path = free.path / "f"
    first, second = os.open(path, os.O_RDONLY), os.open(path, os.O_RDONLY)
    twin = os.dup(first)
    try:
        assert refused(lambda: os.open(path, os.O_WRONLY | os.O_TRUNC)) == errno.EPERM
        os.close(first)
        assert refused(lambda: os.open(path, os.O_WRONLY | os.O_TRUNC)) == errno.EPERM
        os.close(second)
        assert os.pread(twin, 3, 0) == b"old"
        assert refused(lambda: os.open(path, os.O_WRONLY | os.O_TRUNC)) == errno.EPERM, "it was used again"
        os.close(os.dup(twin))
        path.write_bytes(b"new")
        # What the kernel has of the old object is gone, and the handle that could fetch more of it was overridden.
        assert refused(lambda: os.pread(twin, 3, 0)) == errno.EBADF
    finally:
        os.close(twin)
    assert free.content("f") == b"new"


def test_a_file_being_written_is_opened_by_nobody_else(place: Place) -> None:
    """S67: neither to read nor to write it."""
    path = place.path / "f"
    file = os.open(path, os.O_WRONLY | os.O_CREAT)
    for flags in (os.O_RDONLY, os.O_WRONLY, os.O_RDWR):
        assert refused(lambda flags=flags: os.open(path, flags)) == errno.EPERM  # type: ignore[misc]
    os.write(file, b"one")
    twin = os.dup(file)
    os.close(os.dup(twin))
    os.close(file)
    os.close(twin)
    assert path.read_bytes() == b"one"


def test_what_was_closed_empty_goes_up_before_the_next_open(place: Place) -> None:
    path = place.path / "f"
    file = os.open(path, os.O_WRONLY | os.O_CREAT)
    twin = os.dup(file)
    os.close(file)
    assert place.stored() == [".here"], "a twin of the descriptor may still write"
    assert path.read_bytes() == b""
    assert place.content("f") == b""
    assert refused(lambda: os.write(twin, b"late")) == errno.EBADF
    os.close(twin)


def test_a_twin_may_write_on_after_an_empty_close(place: Place) -> None:
    file = os.open(place.path / "f", os.O_WRONLY | os.O_CREAT)
    twin = os.dup(file)
    os.close(file)
    os.write(twin, b"late")
    os.close(twin)
    assert place.content("f") == b"late"


def test_a_child_that_closes_an_inherited_file_does_not_complete_it(place: Place) -> None:
    """S68: the opener closes, or the last descriptor."""
    path = place.path / "f"
    with path.open("wb", buffering=0) as file:
        file.write(b"before ")
        subprocess.run(["true"], check=True)
        subprocess.run([sys.executable, "-c", "import sys; sys.stdout.write('child ')"], stdout=file, check=True)
        assert place.stored() == [".here"]
        file.write(b"after")
    assert place.content("f") == b"before child after"


def test_a_shell_writes_with_children_in_between(place: Place) -> None:
    subprocess.run(["sh", "-c", "(echo one; ls -d .; echo two) > f"], cwd=place.path, check=True)
    assert place.content("f") == b"one\n.\ntwo\n"


def test_threads_write_in_turn(place: Place) -> None:
    data = [_bytes(5 * MiB, seed) for seed in range(4)]
    with (place.path / "f").open("wb", buffering=0) as file:
        for piece in data:
            thread = threading.Thread(target=lambda piece=piece: file.write(piece))  # type: ignore[misc]
            thread.start()
            thread.join()
    assert place.content("f") == b"".join(data)


def test_the_program_that_is_killed_leaves_what_it_wrote(place: Place) -> None:
    """S68: the kernel closes for it."""
    code = "import os, sys, time; f = open('f', 'wb', 0); f.write(b'half'); print('ready', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], cwd=place.path, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"ready\n"
        assert place.stored() == [".here"]
        writer.kill()
    eventually(lambda: place.has("f"))
    assert place.content("f") == b"half", "to the kernel that was a close like any other"


@pytest.mark.parametrize(
    "command",
    [
        "dd if=/dev/zero of=f bs=128 count=1 status=none",
        "head -c 128 /dev/zero > f",
        "head -c 128 /dev/zero | tee f > /dev/null",
        "head -c 128 /dev/zero | dd of=f bs=1k status=none conv=fsync",
    ],
)
def test_the_object_is_there_when_the_command_ends(place: Place, command: str) -> None:
    subprocess.run(["sh", "-c", command], cwd=place.path, check=True)
    assert place.content("f") == bytes(128)


def test_touch_makes_an_empty_object_and_sets_times_only_until_then(place: Place) -> None:
    subprocess.run(["touch", "f"], cwd=place.path, check=True)
    eventually(lambda: place.has("f"))
    assert place.content("f") == b""
    assert refused(lambda: os.utime(place.path / "f")) == errno.EPERM

    file = os.open(place.path / "g", os.O_WRONLY | os.O_CREAT)
    os.utime(place.path / "g", ns=(10**9, 2 * 10**9))
    os.fchmod(file, 0o600)
    os.fchown(file, 1, 1)
    found = os.fstat(file)
    assert (found.st_atime_ns, found.st_mtime_ns) == (10**9, 2 * 10**9)
    assert (found.st_mode & 0o777, found.st_uid) == (0o644, 0), "S3 keeps neither, so nothing is pretended"
    os.close(file)


def test_names_of_all_kinds_are_written(anywhere: Place) -> None:
    names = ["a b", "ä+%41", "🐈", "n" * 255, "-rf", "#?&="]
    for name in names:
        (anywhere.path / name).write_bytes(name.encode())
    assert sorted(os.listdir(anywhere.path)) == sorted([".here", *names])
    assert all((anywhere.path / name).read_bytes() == name.encode() for name in names)


def test_a_key_longer_than_s3_allows_is_told_when_the_file_is_made(place: Place) -> None:
    deep = place.path
    for _ in range(3):
        deep /= "d" * 250
        deep.mkdir()
    deep /= "d" * 240
    deep.mkdir()
    assert refused(lambda: (deep / ("f" * 50)).write_bytes(b"x")) == errno.ENAMETOOLONG
    assert refused((deep / ("f" * 50)).mkdir) == errno.ENAMETOOLONG


@pytest.mark.not_on("versitygw", "it does not encrypt, and says so only by not saying that it did")
def test_options_reach_the_object(able_server: S3Server) -> None:
    bucket = able_server.bucket()
    options = {
        "storage_class": "STANDARD_IA",
        "sse": "aws:kms",
        "sse_kms_key_id": "arn:aws:kms:us-east-1:123456789012:key/one",
        "infer_content_type": True,
        "write_part_size": 5 * MiB,
    }
    with Mounted(able_server, bucket, **options) as mounted:
        (mounted.path / "small.png").write_bytes(b"x")
        (mounted.path / "large.html").write_bytes(bytes(11 * MiB))
        requests = mounted.stop()["s3_requests"]
    for key, kind in (("small.png", "image/png"), ("large.html", "text/html")):
        head = able_server.boto.head_object(Bucket=bucket, Key=key)
        assert head["StorageClass"] == "STANDARD_IA"
        assert head["ServerSideEncryption"] == "aws:kms"
        assert head["SSEKMSKeyId"] == options["sse_kms_key_id"]
        assert head["ContentType"] == kind
    assert requests["UploadPart"] == 3


class _Faulty:
    """Moto behind a proxy that fails what a test says, and a mount of it."""

    def __init__(self, able_server: S3Server, decide: Callable[[Seen], Answer | None]) -> None:
        self.server = able_server
        self.bucket = able_server.bucket()
        self._decide = decide

    def __enter__(self) -> Self:
        self._proxy = FaultyProxy(self.server.endpoint, self._decide).__enter__()
        self._mounted = Mounted(self.server, self.bucket, endpoint_url=self._proxy.endpoint).__enter__()
        self.path: Path = self._mounted.path
        return self

    def __exit__(self, *_: object) -> None:
        self.stats = self._mounted.stop()
        self._mounted.__exit__(None, None, None)
        self._proxy.__exit__()

    @property
    def left(self) -> tuple[list[str], list[str]]:
        """Keys and multipart uploads."""
        keys = [entry["Key"] for entry in self.server.boto.list_objects_v2(Bucket=self.bucket).get("Contents", [])]
        uploads = self.server.boto.list_multipart_uploads(Bucket=self.bucket).get("Uploads", [])
        return keys, [entry["Key"] for entry in uploads]


_DENIED = Answer(403, body=b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>")
_INVALID = Answer(400, body=b"<Error><Code>InvalidStorageClass</Code><Message>no</Message></Error>")


@pytest.mark.parametrize(("answer", "expected"), [(_DENIED, errno.EACCES), (_INVALID, errno.EIO)])
def test_an_upload_that_s3_refuses_fails_the_close_and_leaves_nothing(
    able_server: S3Server, answer: Answer, expected: int
) -> None:
    """S69: a PUT, and parts of an upload."""

    def decide(seen: Seen) -> Answer | None:
        return answer if seen.method == "PUT" and seen.target.partition("?")[0].endswith("/f") else None

    with _Faulty(able_server, decide) as faulty:
        for size in (1, 9 * MiB, 30 * MiB):
            file = os.open(faulty.path / "f", os.O_WRONLY | os.O_CREAT)
            told = 0
            try:
                for start in range(0, size, MiB):
                    os.write(file, bytes(min(MiB, size - start)))
            except OSError as error:
                told = error.errno or 0
            assert told in (0, expected), "a part that fails may be told by a write that follows"
            assert refused(lambda file=file: os.fsync(file)) == expected  # type: ignore[misc]
            assert refused(lambda file=file: os.close(file)) == expected  # type: ignore[misc]
            eventually(lambda: not (faulty.path / "f").exists())
        (faulty.path / "g").write_bytes(b"the mount goes on")
        assert faulty.left == (["g"], [])
    assert faulty.stats["uploads"] == 0
    assert faulty.stats["arena_bytes"] == 0


def test_a_passing_failure_of_s3_is_not_noticed(able_server: S3Server) -> None:
    failed: set[str] = set()

    def decide(seen: Seen) -> Answer | None:
        if seen.method not in ("PUT", "POST") or seen.target in failed:
            return None
        failed.add(seen.target)
        return Answer(503, body=b"<Error><Code>SlowDown</Code><Message>later</Message></Error>")

    with _Faulty(able_server, decide) as faulty:
        (faulty.path / "small").write_bytes(b"x")
        data = _bytes(20 * MiB)
        (faulty.path / "large").write_bytes(data)
        assert faulty.left == (["large", "small"], [])
    assert able_server.boto.get_object(Bucket=faulty.bucket, Key="large")["Body"].read() == data
    assert faulty.stats["s3_retries"] >= 4


def test_more_writers_than_memory_has_room_for_are_refused_until_one_ends(able_server: S3Server) -> None:
    """S70: and let in again then."""
    bucket = able_server.bucket()
    able_server.put(bucket, "busy", b"x")
    with Mounted(able_server, bucket, memory_target=64, allow_overwrite=True) as mounted:
        files = [os.open(mounted.path / f"f{number}", os.O_WRONLY | os.O_CREAT) for number in range(5)]
        reader = os.open(mounted.path / "busy", os.O_RDONLY)
        try:
            assert refused(lambda: os.open(mounted.path / "g", os.O_WRONLY | os.O_CREAT)) == errno.ENOMEM
            assert refused(lambda: os.open(mounted.path / "busy", os.O_WRONLY | os.O_TRUNC)) == errno.ENOMEM
            os.write(files[0], b"x")
            os.close(files.pop(0))
            assert refused(lambda: os.open(mounted.path / "busy", os.O_WRONLY | os.O_TRUNC)) == errno.EPERM
            (mounted.path / "g").write_bytes(b"now there is room")
        finally:
            for file in [*files, reader]:
                os.close(file)
    assert able_server.boto.get_object(Bucket=bucket, Key="g")["Body"].read() == b"now there is room"


def test_many_files_are_written_at_once_in_little_memory(able_server: S3Server) -> None:
    bucket = able_server.bucket()
    wrong: list[str] = []

    def write(path: Path, data: bytes) -> None:
        path.write_bytes(data)
        if path.read_bytes() != data:
            wrong.append(path.name)

    with Mounted(able_server, bucket, memory_target=64) as mounted:
        threads = [
            threading.Thread(target=write, args=(mounted.path / f"f{number}", _bytes(12 * MiB + number, number)))
            for number in range(5)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        assert not any(thread.is_alive() for thread in threads)
    assert not wrong
    assert len(able_server.boto.list_objects_v2(Bucket=bucket)["Contents"]) == 5


def test_an_engine_that_ends_gives_up_what_is_being_written(able_server: S3Server) -> None:
    bucket = able_server.bucket()
    with Mounted(able_server, bucket) as mounted:
        file = os.open(mounted.path / "f", os.O_WRONLY | os.O_CREAT)
        try:
            os.write(file, _bytes(9 * MiB))
            mounted.stop()
            assert "f" in mounted.log
            assert able_server.boto.list_multipart_uploads(Bucket=bucket).get("Uploads", []) == []
            assert "Contents" not in able_server.boto.list_objects_v2(Bucket=bucket)
        finally:
            with pytest.raises(OSError):
                os.close(file)
