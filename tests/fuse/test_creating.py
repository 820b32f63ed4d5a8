"""Files made by open(2) on a real mount: what the kernel asks for that, and what an open that fails leaves."""

import errno
import os

from tests.fuse.mounted import Mounted
from tests.refusals import refused
from tests.servers import S3Server


def test_a_new_file_is_made_and_opened_by_one_request_of_the_kernel(able_server: S3Server) -> None:
    with Mounted(able_server, able_server.bucket()) as mounted:
        (mounted.path / "f").write_bytes(b"x")
        asked = mounted.stop()["fuse_requests"]
    assert asked["create"] == 1
    assert "mknod" not in asked
    assert "open" not in asked


def test_a_file_whose_open_fails_is_made_and_can_be_written(able_server: S3Server) -> None:
    """As if mknod(2) had made it, which S81 keeps."""
    bucket = able_server.bucket()
    with Mounted(able_server, bucket) as mounted:
        path = mounted.path / "f"
        assert refused(lambda: os.open(path, os.O_RDONLY | os.O_CREAT)) == errno.EPERM
        assert refused(lambda: os.open(mounted.path / "g", os.O_WRONLY | os.O_CREAT | os.O_SYNC)) == errno.EINVAL
        assert sorted(os.listdir(mounted.path)) == ["f", "g"]
        path.write_bytes(b"text")
        assert path.read_bytes() == b"text"
        assert refused(lambda: os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)) == errno.EEXIST
