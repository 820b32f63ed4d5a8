"""Deletes all that is below a prefix: objects with all their versions, and what was being uploaded.

In batches, as long as there is time; whoever asks again goes on with the rest.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final

from grpc import StatusCode

from mountctl.csi.refusal import Refusal
from mountctl.csi.s3_clients import asking
from mountctl.csi.s3_refusals import S3Said, refused

# What a listing brings, and what DeleteObjects takes, at most.
_BATCH: Final = 1000
# How servers that want another checksum than the one that boto3 sends refuse a batch.
_NO_BATCHES: Final = ("MissingContentMD5", "InvalidDigest")


def remove_below(s3: Any, bucket: str, prefix: str, more: Callable[[], bool]) -> int:
    """Delete everything below a prefix.

    Args:
        s3: boto3's client.
        bucket: where.
        prefix: ends in "/".
        more: whether there is time for another batch.

    Returns the number of objects and versions deleted. Raises Refusal: ABORTED when the time is over; what was deleted
    is deleted.
    """
    assert prefix.endswith("/"), prefix
    assert prefix != "/", prefix
    _abort_uploads(s3, bucket, prefix, more)
    count, before = 0, list[dict[str, str]]()
    while batch := _some(s3, bucket, prefix):
        if batch == before:
            raise Refusal(StatusCode.INTERNAL, f"S3 says that it deletes objects below {prefix}, and still lists them")
        if not more():
            raise _time_is_over(f"{count} objects below {prefix} in bucket {bucket} are deleted")
        _delete(s3, bucket, batch)
        count, before = count + len(batch), batch
    return count


def _some(s3: Any, bucket: str, prefix: str) -> list[dict[str, str]]:
    """The first objects, as DeleteObjects wants them; those of a bucket that has versions with each of them."""
    doing = f"list {prefix} in bucket {bucket}"
    try:
        with asking(doing):
            page = s3.list_object_versions(Bucket=bucket, Prefix=prefix, MaxKeys=_BATCH)
    except S3Said as said:
        if not said.not_known:
            raise
        with asking(doing):  # a server that has no versions
            page = s3.list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=_BATCH)
        return [{"Key": each["Key"]} for each in page.get("Contents", [])]
    listed = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
    return [{"Key": each["Key"], "VersionId": each["VersionId"]} for each in listed]


def _delete(s3: Any, bucket: str, batch: list[dict[str, str]]) -> None:
    try:
        with asking(f"delete objects in bucket {bucket}"):
            answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": batch, "Quiet": True})
    except S3Said as said:
        if not (said.not_known or said.error_code in _NO_BATCHES):
            raise
        for each in batch:
            with asking(f"delete {each['Key']} in bucket {bucket}"):
                s3.delete_object(Bucket=bucket, **each)
        return
    for error in answer.get("Errors", []):
        raise refused({"Error": error}, f"delete {error.get('Key')} in bucket {bucket}")


def _abort_uploads(s3: Any, bucket: str, prefix: str, more: Callable[[], bool]) -> None:
    for upload in _uploads(s3, bucket, prefix):
        if not more():
            raise _time_is_over(f"uploads below {prefix} in bucket {bucket} are being aborted")
        _abort(s3, bucket, upload)


def _uploads(s3: Any, bucket: str, prefix: str) -> Iterator[dict[str, str]]:
    pages = s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, Prefix=prefix)
    try:
        with asking(f"list uploads below {prefix} in bucket {bucket}"):
            for page in pages:
                # Not all servers look at the prefix.
                yield from (each for each in page.get("Uploads", []) if each["Key"].startswith(prefix))
    except S3Said as said:
        # The latter is how rclone says that there are none.
        if not (said.not_known or said.error_code == "NoSuchUpload"):
            raise


def _abort(s3: Any, bucket: str, upload: dict[str, str]) -> None:
    try:
        with asking(f"abort the upload of {upload['Key']} in bucket {bucket}"):
            s3.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
    except S3Said as said:
        if said.error_code != "NoSuchUpload":  # it has ended by itself meanwhile
            raise


def _time_is_over(so_far: str) -> Refusal:
    return Refusal(StatusCode.ABORTED, f"{so_far}, and the time of this call is over: the next one goes on")
