"""The servers that the suite uses do what a real S3 does for an object's way in and out."""

import os

from tests.servers import S3Server


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
