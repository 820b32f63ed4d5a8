"""The servers that the suite uses do what a real S3 does for an object's way in and out."""

import contextlib
import os

import botocore.exceptions
import pytest

from tests.faults import Answer, FaultyProxy, Seen, error
from tests.servers import S3Server, boto_client


def test_an_object_put_into_a_server_is_listed_and_read(s3_server: S3Server) -> None:
    bucket = s3_server.bucket()
    etag = s3_server.put(bucket, "a/b ü.txt", b"data")

    listed = s3_server.boto.list_objects_v2(Bucket=bucket)["Contents"]

    # rclone leaves the quotes out of its listings
    assert [(entry["Key"], entry["ETag"].strip('"')) for entry in listed] == [("a/b ü.txt", etag.strip('"'))]
    assert s3_server.boto.get_object(Bucket=bucket, Key="a/b ü.txt")["Body"].read() == b"data"


def test_the_users_aws_settings_are_out_of_reach() -> None:
    assert os.environ["AWS_CONFIG_FILE"] == os.devnull
    assert not any(name in os.environ for name in ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_REGION"))


def test_the_faulty_proxy_passes_on_what_it_is_not_told_to_spoil(s3_server: S3Server) -> None:
    bucket = s3_server.bucket()
    s3_server.put(bucket, "k", b"data")

    def spoil(seen: Seen) -> Answer | None:
        return error(503, "SlowDown") if seen.method == "GET" and len(proxy.seen) == 1 else None

    with FaultyProxy(s3_server.endpoint, spoil) as proxy:
        boto = boto_client(proxy.endpoint)
        with contextlib.closing(boto):
            with pytest.raises(botocore.exceptions.ClientError, match="SlowDown"):
                boto.get_object(Bucket=bucket, Key="k")
            assert boto.get_object(Bucket=bucket, Key="k")["Body"].read() == b"data"
            assert boto.head_object(Bucket=bucket, Key="k")["ContentLength"] == 4
    assert [seen.method for seen in proxy.seen] == ["GET", "GET", "HEAD"]
