"""The options of goofys (0.24), most of which are its fork geesefs's too (geesefs.py). Read by translate.py."""

from typing import Final

from mountctl.importing.draft import (
    Draft,
    Refused,
    Rule,
    Rules,
    apply_all,
    endpoint,
    is_on,
    none,
    owner,
    same,
    switch,
    ttl,
    unneeded,
    value_of,
)
from mountctl.importing.found import Given
from mountctl.importing.keys import of_environment
from mountctl.importing.mount_words import with_words
from mountctl.importing.quantities import go_integer, seconds
from mountctl.importing.refusals import ACL, CUSTOMER_KEYS, DISK_CACHE

# Other clouds, which goofys speaks with, too.
_OTHER_CLOUDS: Final = ("wasb", "abfs", "adl", "gs")


def _encryption(draft: Draft, given: Given) -> None:
    if is_on(given):
        draft.keys.setdefault("sse", "AES256")


def _kms(draft: Draft, given: Given) -> None:
    draft.keys["sse"] = "aws:kms"
    if given.value and given.value.startswith("arn:"):
        draft.keys["sse-kms-key-id"] = given.value
    elif given.value:
        draft.no_equal(given, "a key is named by its whole ARN here. Set sse-kms-key-id to that key's ARN.")


def _endpoint(draft: Draft, given: Given) -> None:
    endpoint(draft, given, value_of(given))


def _mode(key: str) -> Rule:
    def apply(draft: Draft, given: Given) -> None:
        draft.keys[key] = f"{go_integer(value_of(given)):04o}"

    return Rule(apply)


RULES: Final[Rules] = {
    "dir-mode": _mode("dir-mode"),
    "file-mode": _mode("file-mode"),
    "uid": owner("uid"),
    "gid": owner("gid"),
    "endpoint": Rule(_endpoint),
    "region": same("region"),
    "requester-pays": switch("requester-pays"),
    "storage-class": same("storage-class"),
    "profile": same("profile"),
    "use-content-type": switch("infer-content-type"),
    "sse": Rule(_encryption, takes=False),
    "sse-kms": Rule(_kms),
    "sse-c": none(CUSTOMER_KEYS),
    "acl": none(ACL, unless=("", "private")),
    "subdomain": unneeded(takes=False),  # read by finish(): without it the bucket is in the path
    "cheap": unneeded(takes=False),
    "no-implicit-dir": none(
        "directories without an object of their own were not shown; here they are. Nothing to do.", takes=False
    ),
    "stat-cache-ttl": ttl("metadata-ttl", seconds),
    "type-cache-ttl": ttl("metadata-ttl", seconds),
    "http-timeout": unneeded(),
    "cache": none(DISK_CACHE, unless=("",)),
    "debug_fuse": switch("debug"),
    "debug_s3": switch("debug"),
    "debug": switch("debug"),
    "f": unneeded(takes=False),
    "o": unneeded(),
}


def bucket_and_prefix(draft: Draft) -> None:
    """Of `BUCKET` or `BUCKET:PREFIX`. Raises Refused."""
    source = draft.found.source
    scheme, has_scheme, rest = source.partition("://")
    if has_scheme and scheme in _OTHER_CLOUDS:
        raise Refused(f"{source} is not in S3: only S3 and servers that speak its language can be mounted")
    bucket, _, prefix = (rest if has_scheme else source).partition(":")
    if not bucket or "/" in bucket:
        raise Refused(f"{source} is not {draft.found.program}'s BUCKET or BUCKET:PREFIX")
    draft.keys["bucket"] = bucket
    if prefix.strip("/"):
        draft.keys["prefix"] = prefix.strip("/") + "/"


def finish(draft: Draft) -> None:
    """What is so without any option: the bucket in the path, files that may be replaced, keys of the environment."""
    names = {each.name for each in draft.found.options}
    if "endpoint-url" in draft.keys and "subdomain" not in names:
        draft.keys["force-path-style"] = True
    if not draft.keys.get("read-only"):
        draft.keys |= {"allow-delete": True, "allow-overwrite": True}
    if "profile" not in draft.keys and not draft.keys.get("no-sign-request"):
        draft.key_source = of_environment(draft.found.environment, f"the environment of {draft.found.origin}")


def translate(draft: Draft) -> None:
    """Fill the draft. Raises Refused."""
    bucket_and_prefix(draft)
    apply_all(draft, with_words(draft, RULES), "goofys")
    finish(draft)
