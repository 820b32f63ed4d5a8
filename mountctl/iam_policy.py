"""The least IAM policy that mounts need as they are configured. Pure; commands/iam_policy.py prints it.

ACTIONS_OF says which permission each request of the engine needs, after "Required permissions for Amazon S3 API
operations" of Amazon's user guide. What a mount never sends is never allowed: tests compare with what engines send.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from engine.bucket_names import is_arn
from engine.spec import MountSpec
from mountctl.errors import MountctlError

LIST: Final = "s3:ListBucket"
LIST_UPLOADS: Final = "s3:ListBucketMultipartUploads"
GET: Final = "s3:GetObject"
PUT: Final = "s3:PutObject"
ABORT: Final = "s3:AbortMultipartUpload"
DELETE: Final = "s3:DeleteObject"
RESTORE: Final = "s3:RestoreObject"
DECRYPT: Final = "kms:Decrypt"
GENERATE: Final = "kms:GenerateDataKey"

# Each request that an engine may send, by S3's name for it.
ACTIONS_OF: Final[Mapping[str, str]] = {
    "HeadBucket": LIST,
    "ListObjectsV2": LIST,
    "HeadObject": GET,
    "GetObject": GET,
    "PutObject": PUT,
    "CreateMultipartUpload": PUT,
    "UploadPart": PUT,
    "CompleteMultipartUpload": PUT,
    "AbortMultipartUpload": ABORT,
    "ListMultipartUploads": LIST_UPLOADS,
    "DeleteObject": DELETE,
    "RestoreObject": RESTORE,
}
PARTITIONS: Final = ("aws", "aws-cn", "aws-us-gov")
# The policy language's own version, not a date of ours.
_VERSION: Final = "2012-10-17"
_ON_BUCKET: Final = frozenset({LIST, LIST_UPLOADS})
# Amazon's suffixes of access points' aliases. A policy can't name an access point by one.
_ALIAS: Final = re.compile(r"-(s3alias|ext-s3alias)$|--ol-s3$")
_SERVICES: Final = ("s3", "s3-object-lambda", "s3-outposts")


class NoPolicy(MountctlError):
    """A mount's resources can't be named in a policy; the text says why and what to do."""


@dataclass
class _Grants:
    """What is to be allowed: prefixes by action and bucket; of what is no bucket, resources by action."""

    listed: dict[tuple[str, str], set[str]] = field(default_factory=dict)
    others: dict[str, set[str]] = field(default_factory=dict)

    def add(self, action: str, resource: str) -> None:
        self.others.setdefault(action, set()).add(resource)

    def add_listing(self, action: str, bucket: str, prefix: str) -> None:
        self.listed.setdefault((action, bucket), set()).add(prefix)


def policy(mounts: Iterable[MountSpec], partition: str | None = None, *, restoring: bool = False) -> dict[str, Any]:
    """The policy document for one identity that has all of these mounts.

    Args:
        mounts: they.
        partition: of Amazon's regions: aws, aws-cn, aws-us-gov; None: as each mount's region has it.
        restoring: also what `mountctl restore` needs.

    Raises NoPolicy.
    """
    grants = _Grants()
    for spec in mounts:
        needed = (*actions(spec), RESTORE) if restoring else actions(spec)
        _grant(spec, needed, partition or _partition(spec.region), grants)
    return {"Version": _VERSION, "Statement": [*_listings(grants), *_others(grants)]}


def actions(spec: MountSpec) -> tuple[str, ...]:
    """What a mount must be allowed at S3, by its options. Overwriting needs what writing does.

    Not RESTORE: no mount sends that by itself, only `mountctl restore` has it sent.
    """
    writing = () if spec.read_only else (LIST_UPLOADS, PUT, ABORT)
    deleting = (DELETE,) if spec.allow_delete and not spec.read_only else ()
    return (LIST, GET, *writing, *deleting)


def notes(spec: MountSpec) -> Iterator[str]:
    """What a policy for this identity can't say, as sentences."""
    if spec.no_sign_request:
        yield "requests are anonymous: no policy of an identity counts, only the bucket's own"
    if spec.requester_pays:
        yield "requester pays: the bucket's owner must allow this account in the bucket's policy, too"
    if spec.sse != "AES256" and spec.sse_kms_key_id is None:
        needed = DECRYPT if spec.read_only else f"{DECRYPT} and {GENERATE}"
        yield f"if the bucket encrypts with a KMS key of its own (not aws/s3), allow {needed} on that key"
    if ":s3-object-lambda:" in spec.bucket:
        yield "an Object Lambda access point: allow lambda:InvokeFunction on its function, and what that reads"


def _grant(spec: MountSpec, needed: Iterable[str], partition: str, grants: _Grants) -> None:
    bucket, objects, service = _resources(spec, partition)
    for action in needed:
        named = action.replace("s3:", f"{service}:", 1)
        if action in _ON_BUCKET:
            grants.add_listing(named, bucket, spec.prefix)
        else:
            grants.add(named, f"{objects}/{_literal(spec.prefix)}*")
    if spec.sse_kms_key_id is not None:
        for action in (DECRYPT,) if spec.read_only else (DECRYPT, GENERATE):
            grants.add(action, spec.sse_kms_key_id)


def _resources(spec: MountSpec, partition: str) -> tuple[str, str, str]:
    """How a policy names the bucket and its objects (what comes before the key), and the service of its actions."""
    if _ALIAS.search(spec.bucket):
        raise NoPolicy(
            f"mount {spec.name}: {spec.bucket} is an access point's alias, which no policy can name: "
            "write its ARN as bucket (arn:PARTITION:s3:REGION:ACCOUNT:accesspoint/NAME)"
        )
    if not is_arn(spec.bucket):
        arn = f"arn:{partition}:s3:::{spec.bucket}"
        return arn, arn, "s3"
    # Written with colons or slashes, policies want slashes: arn:aws:s3:REGION:ACCOUNT:accesspoint/NAME/object/KEY.
    head, rest = spec.bucket.split(":", 5)[:5], spec.bucket.split(":", 5)[5]
    arn = ":".join([*head, rest.replace(":", "/")])
    return arn, f"{arn}/object", next(each for each in _SERVICES if head[2] == each)


def _listings(grants: _Grants) -> Iterator[dict[str, Any]]:
    """One statement for each set of prefixes: buckets that are listed alike go together."""
    alike: dict[tuple[str, ...], tuple[set[str], set[str]]] = {}
    by_bucket: dict[tuple[str, tuple[str, ...]], set[str]] = {}
    for (action, bucket), asked in grants.listed.items():
        by_bucket.setdefault((bucket, _widest(asked)), set()).add(action)
    for (bucket, prefixes), allowed in by_bucket.items():
        key = (*sorted(allowed), "", *prefixes)
        found = alike.setdefault(key, (allowed, set()))
        found[1].add(bucket)
    for number, (key, (allowed, buckets)) in enumerate(alike.items(), 1):
        below = key[key.index("") + 1 :]
        statement = _statement(f"List{number}", allowed, buckets)
        if "" not in below:
            statement["Condition"] = {"StringLike": {"s3:prefix": [f"{_literal(each)}*" for each in below]}}
        yield statement


def _others(grants: _Grants) -> Iterator[dict[str, Any]]:
    """One statement for each set of resources."""
    alike: dict[tuple[str, ...], set[str]] = {}
    for action, named in grants.others.items():
        alike.setdefault(_widest(named), set()).add(action)
    for number, (resources, allowed) in enumerate(alike.items(), 1):
        yield _statement(f"Use{number}", allowed, resources)


def _statement(sid: str, allowed: Iterable[str], resources: Iterable[str]) -> dict[str, Any]:
    return {"Sid": sid, "Effect": "Allow", "Action": sorted(allowed), "Resource": sorted(resources)}


def _widest(texts: Iterable[str]) -> tuple[str, ...]:
    """Without those that another one has in it: `a/b/` beside `a/`, and `.../a/b/*` beside `.../a/*`."""
    kept: list[str] = []
    for text in sorted(texts, key=lambda each: (len(each), each)):
        stem = text.removesuffix("*")
        if not any(stem.startswith(wider.removesuffix("*")) and _is_open(wider) for wider in kept):
            kept.append(text)
    return tuple(sorted(kept))


def _is_open(text: str) -> bool:
    """Whether a prefix or resource stands for all that begins with it; a key's ARN does not."""
    return not text or text.endswith(("/", "*"))


def _literal(prefix: str) -> str:
    """A prefix as policies want it, where `*`, `?` and `${` mean something."""
    return re.sub(r"[*?$]", lambda match: f"${{{match[0]}}}", prefix)


def _partition(region: str | None) -> str:
    for start, partition in (("cn-", "aws-cn"), ("us-gov-", "aws-us-gov")):
        if (region or "").startswith(start):
            return partition
    return PARTITIONS[0]
