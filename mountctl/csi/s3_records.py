"""Records of volumes in their buckets: read one, write it only if nothing has changed, remove it."""

from dataclasses import dataclass
from typing import Any, Final

from mountctl.csi.provisioned import Place, Record, parse_record
from mountctl.csi.s3_clients import asking
from mountctl.csi.s3_refusals import S3Said

# Ours have some hundred bytes.
_BYTES_MAX: Final = 64 * 1024


@dataclass(frozen=True)
class Found:
    """What is at a place: a record, or (None) something that is none of ours; and which version of it."""

    record: Record | None
    etag: str


def read(s3: Any, place: Place) -> Found | None:
    """What is there; None: nothing. Raises Refusal, S3Said with `no_bucket` if not even the bucket is there."""
    try:
        with asking(f"read {place.record_key} in bucket {place.bucket}"):
            answer = s3.get_object(Bucket=place.bucket, Key=place.record_key)
            with answer["Body"] as body:
                text = body.read(_BYTES_MAX)
    except S3Said as said:
        if said.absent:
            return None
        raise
    return Found(parse_record(text, place), answer["ETag"])


def write(s3: Any, place: Place, record: Record, over: Found | None) -> bool:
    """Write a record if there is still what was found (None: nothing). False: something else is. Raises Refusal."""
    condition = {"IfNoneMatch": "*"} if over is None else {"IfMatch": over.etag}
    what = {
        "Bucket": place.bucket,
        "Key": place.record_key,
        "Body": record.text(),
        "ContentType": "application/json",
    }
    try:
        with asking(f"write {place.record_key} in bucket {place.bucket}"):
            s3.put_object(**what, **condition)
    except S3Said as said:
        if said.conflict or (over is not None and said.absent):
            return False
        if not said.not_known:
            raise
        with asking(f"write {place.record_key} in bucket {place.bucket}"):
            s3.put_object(**what)
    return True


def remove(s3: Any, place: Place) -> None:
    """Remove a record; one that is gone is no error. Raises Refusal."""
    with asking(f"delete {place.record_key} in bucket {place.bucket}"):
        s3.delete_object(Bucket=place.bucket, Key=place.record_key)
