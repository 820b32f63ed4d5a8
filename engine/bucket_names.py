"""The names of buckets and of access points, as option `bucket` has them. Used by engine/spec.py. Pure."""

import re
from typing import Any, Final

# AWS names no bound; the longest that its rules allow (an Outpost's access point) is below 200.
_ARN_CHARS_MAX: Final = 512

_BUCKET = re.compile(r"^[0-9a-zA-Z\-._]+$")
# Access points of a region or of many, Object Lambda's and Outposts': what is behind the account is S3's own business.
_ACCESS_POINT = re.compile(
    r"^arn:[a-z0-9-]+:(s3|s3-object-lambda|s3-outposts):(?P<region>[a-z0-9-]*):[0-9]+:"
    r"(accesspoint|outpost)[:/][0-9a-zA-Z\-._]+([:/][0-9a-zA-Z\-._]+)*$"
)
_BUCKET_ARN = re.compile(r"^arn:[a-z0-9-]+:s3:::(?P<name>[^/]+)$")
_DIRECTORY_BUCKET = re.compile(r"^.+--[a-z0-9-]+--x-s3$")


def bucket(value: str) -> str:
    """A bucket's name, or the ARN of an access point. Raises ValueError."""
    if is_arn(value):
        return _arn(value)
    if not 3 <= len(value) <= 255:
        raise ValueError("bucket names must be 3-255 characters long")
    if not _BUCKET.fullmatch(value):
        raise ValueError("bucket names have only letters, numbers, '.', '-' and '_' (an s3:// URL is not a name)")
    return value


def is_directory_bucket(bucket: str) -> bool:
    """Whether a name is that of a directory bucket (S3 Express), which Amazon gives no other bucket."""
    return _DIRECTORY_BUCKET.fullmatch(bucket) is not None


def is_arn(bucket: str) -> bool:
    """Whether a bucket is given by the ARN of an access point, not by a name or an alias."""
    return bucket.startswith("arn:")


def _arn(value: str) -> str:
    if of_bucket := _BUCKET_ARN.fullmatch(value):
        raise ValueError(f"an ARN must be an access point's; write a bucket's name alone: {of_bucket['name']!r}")
    found = _ACCESS_POINT.fullmatch(value)
    if found is None or len(value) > _ARN_CHARS_MAX:
        raise ValueError("not the ARN of an access point: arn:PARTITION:SERVICE:REGION:ACCOUNT:accesspoint/NAME")
    if not found["region"]:
        raise ValueError(
            "a multi-region access point needs SigV4A signatures, which are not supported: "
            "mount one of its buckets, or an access point of one region"
        )
    return value


def bucket_type(value: Any) -> Any:
    """A kind of bucket that is served. Raises ValueError."""
    if value == "directory":
        raise ValueError("'directory' is not supported yet: mount a general purpose bucket")
    return value
