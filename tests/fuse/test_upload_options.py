"""How files that are written on a real mount arrive in S3: checksums, kinds of content, encryption, parts."""

import errno
import os
from pathlib import Path

import pytest

from tests.conformance.sharing import eventually
from tests.faults import Answer, FaultyProxy, Seen
from tests.fuse.conftest import Place
from tests.fuse.mounted import Mounted
from tests.refusals import refused
from tests.servers import S3Server

MiB = 1024 * 1024


@pytest.mark.parametrize("algorithm", ["crc32c", "crc64nvme", "off"])
def test_each_object_and_part_goes_with_the_checksum_that_was_asked_for(able_server: S3Server, algorithm: str) -> None:
    bucket = able_server.bucket()
    with (
        FaultyProxy(able_server.endpoint) as proxy,
        Mounted(able_server, bucket, endpoint_url=proxy.endpoint, upload_checksums=algorithm) as mounted,
    ):
        (mounted.path / "small").write_bytes(b"x")
        (mounted.path / "large").write_bytes(bytes(20 * MiB))
        puts = [seen.headers for seen in proxy.seen if seen.method == "PUT"]

    told = [{name for name in headers if name.startswith("x-amz-checksum-")} for headers in puts]
    assert len(told) == 1 + 3
    assert told == [set() if algorithm == "off" else {f"x-amz-checksum-{algorithm}"}] * 4
    assert able_server.boto.get_object(Bucket=bucket, Key="large")["ContentLength"] == 20 * MiB


def test_the_kind_of_content_follows_the_name_and_only_where_it_tells_one(able_server: S3Server) -> None:
    bucket = able_server.bucket()
    able_server.put(bucket, "old.png", b"x", ContentType="text/plain")
    with Mounted(able_server, bucket, infer_content_type=True, allow_overwrite=True) as mounted:
        for name in ("old.png", "plain", "odd.nobody-knows"):
            (mounted.path / name).write_bytes(b"new")

    kinds = {
        key: able_server.boto.head_object(Bucket=bucket, Key=key)["ContentType"]
        for key in ("old.png", "plain", "odd.nobody-knows")
    }
    assert kinds["old.png"] == "image/png"
    assert kinds["plain"] == kinds["odd.nobody-knows"]
    assert kinds["plain"] in ("binary/octet-stream", "application/octet-stream")


def test_parts_are_in_s3_before_the_file_is_closed_and_no_object_is(place: Place) -> None:
    """S71: while it is written."""
    with (place.path / "f").open("wb", buffering=0) as file:
        for _ in range(20):
            file.write(bytes(MiB))
        eventually(lambda: place.uploads() == [f"{place.prefix}f"])
        assert not place.has("f")
    assert len(place.content("f")) == 20 * MiB


@pytest.mark.not_on("versitygw", "it does not encrypt, and says so only by not saying that it did")
def test_an_encryption_that_was_not_asked_for_fails_the_file_and_not_the_mount(able_server: S3Server) -> None:
    """S69: S3 says afterwards how it has encrypted; the other files go on."""
    bucket = able_server.bucket()

    def decide(seen: Seen) -> Answer | None:
        if seen.method == "PUT" and seen.target.endswith("/wrong"):
            return Answer(200, {"ETag": '"e"', "x-amz-server-side-encryption": "AES256"}, done=True)
        return None

    with (
        FaultyProxy(able_server.endpoint, decide) as proxy,
        Mounted(able_server, bucket, endpoint_url=proxy.endpoint, sse="aws:kms", allow_overwrite=True) as mounted,
    ):
        file = os.open(mounted.path / "wrong", os.O_WRONLY | os.O_CREAT)
        os.write(file, b"x")
        assert refused(lambda: os.close(file)) == errno.EIO
        (mounted.path / "right").write_bytes(b"x")
        assert (mounted.path / "right").read_bytes() == b"x"
        pid = mounted.pid
        assert Path(f"/proc/{pid}").exists()

    assert mounted.exit_code == 0
    assert able_server.boto.head_object(Bucket=bucket, Key="right")["ServerSideEncryption"] == "aws:kms"


def test_keys_that_may_see_a_prefix_only_mount_that_prefix_and_not_the_bucket(able_server: S3Server) -> None:
    bucket = able_server.bucket()
    able_server.put(bucket, "ours/f", b"x")
    denied = Answer(403, body=b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>")

    def decide(seen: Seen) -> Answer | None:
        path, _, query = seen.target.partition("?")
        allowed = path.startswith(f"/{bucket}/ours/") or "prefix=ours%2F" in query
        return None if allowed else denied

    with FaultyProxy(able_server.endpoint, decide) as proxy:
        with (
            pytest.raises(Exception, match="may not ListBucket"),
            Mounted(able_server, bucket, endpoint_url=proxy.endpoint),
        ):
            pytest.fail("it was mounted")
        with Mounted(able_server, f"{bucket}/ours/", endpoint_url=proxy.endpoint) as mounted:
            assert (mounted.path / "f").read_bytes() == b"x"
            (mounted.path / "g").write_bytes(b"new")
            assert sorted(os.listdir(mounted.path)) == ["f", "g"]
