"""Writing under a supervisor: an unprivileged engine, and one that is killed while files are written."""

import errno
import os
import signal
import subprocess
from collections.abc import Callable

import pytest

from tests.servers import S3Server
from tests.service.running import Running, poll_until

MiB = 1024 * 1024


def _errno(call: Callable[..., object], *arguments: object) -> int | None:
    with pytest.raises(OSError) as caught:
        call(*arguments)
    return caught.value.errno


def test_an_unprivileged_engine_writes_and_knows_whose_child_closes_a_file(running: Running, moto: S3Server) -> None:
    bucket = moto.bucket()
    running.configure(moto, data={"bucket": bucket, "allow_delete": True, "infer_content_type": True})
    with running.running():
        place = running.mountpoint("data")
        subprocess.run(
            ["sh", "-ec", "(echo one; ls -d .; echo two) > f.txt; mkdir d; mv f.txt d"], cwd=place, check=True
        )
        (place / "large").write_bytes(bytes(range(256)) * (36 * 1024))
        assert os.listdir(place) == ["d", "large"]
    found = moto.boto.get_object(Bucket=bucket, Key="d/f.txt")
    assert found["Body"].read() == b"one\n.\ntwo\n"
    assert found["ContentType"] == "text/plain"
    assert moto.boto.head_object(Bucket=bucket, Key="large")["ContentLength"] == 9 * MiB


def test_a_file_that_was_being_written_when_its_engine_was_killed_fails_and_nothing_of_it_is_in_s3(
    running: Running, moto: S3Server
) -> None:
    """S79: small and large."""
    bucket = moto.bucket()
    running.configure(moto, data={"bucket": bucket})
    with running.running():
        place = running.mountpoint("data")
        small, large = (os.open(place / name, os.O_WRONLY | os.O_CREAT) for name in ("small", "large"))
        os.write(small, b"half")
        os.write(large, bytes(range(256)) * (36 * 1024))
        poll_until(lambda: "Uploads" in moto.boto.list_multipart_uploads(Bucket=bucket), "the upload in parts")
        old = running.mount("data")["engine"]["pid"]
        os.kill(old, signal.SIGKILL)
        poll_until(lambda: running.mount("data")["engine"]["pid"] not in (None, old), "another engine")
        for file in (small, large):
            told = [_errno(os.write, file, b"x"), _errno(os.fsync, file), _errno(os.close, file)]
            assert told == [errno.EIO] * 3
        assert os.listdir(place) == []
        assert "Contents" not in moto.boto.list_objects_v2(Bucket=bucket)
        poll_until(lambda: "Uploads" not in moto.boto.list_multipart_uploads(Bucket=bucket), "the abort")
        (place / "small").write_bytes(b"again")
        assert (place / "small").read_bytes() == b"again"
