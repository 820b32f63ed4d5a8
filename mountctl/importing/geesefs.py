"""The options of geesefs (0.43) that are not goofys's. Read by translate.py."""

from typing import Final

from mountctl.importing import goofys
from mountctl.importing.draft import (
    Draft,
    Rule,
    Rules,
    apply_all,
    attempts,
    endpoint,
    is_on,
    none,
    unneeded,
    value_of,
)
from mountctl.importing.found import Given
from mountctl.importing.mount_words import with_words
from mountctl.importing.quantities import mebibytes
from mountctl.importing.refusals import OTHER_CERTIFICATES

# Where it goes without --endpoint.
_ENDPOINT: Final = "https://storage.yandexcloud.net"
# MountSpec's bounds of memory-target, in MiB.
_MEMORY_MIN, _MEMORY_MAX = 16, 1024 * 1024

_UNNEEDED_VALUES: Final = (
    *("cache-file-mode", "setuid", "setgid", "iam-header", "list-type", "multipart-copy-threshold", "gc-interval"),
    *("sdk-min-retry-delay", "sdk-max-retry-delay", "sdk-min-throttle-delay", "sdk-max-throttle-delay", "entry-limit"),
    *("max-flushers", "max-parallel-parts", "max-parallel-copy", "read-ahead", "small-read-count", "small-read-cutoff"),
    *("read-ahead-small", "large-read-cutoff", "read-ahead-large", "read-ahead-parallel", "read-merge", "single-part"),
    *("max-merge-copy", "uid-attr", "gid-attr", "mode-attr", "rdev-attr", "mtime-attr", "symlink-attr", "refresh-attr"),
    *("retry-interval", "read-retry-interval", "read-retry-mul", "read-retry-max-interval", "read-retry-attempts"),
    *("max-disk-cache-fd", "iam-flavor"),
)
_UNNEEDED_SWITCHES: Final = (
    *("no-checksum", "no-detect", "no-expire-multipart", "use-enomem", "no-preload-dir", "no-dir-object"),
    *("fsync-on-close", "no-specials", "disable-xattr", "refresh-dirs", "drop-patch-conflicts", "prefer-patch-uploads"),
    *("debug_grpc", "grpc-reflection"),
)
_KEPT_IN_METADATA: Final = (
    "kept modes, owners or times in S3's metadata; here they are the same for all files. "
    "Set uid, gid, file-mode and dir-mode where they matter."
)
_CLUSTER: Final = (
    "hosts told each other of changes. Here metadata-ttl says how soon one sees what another wrote: set it."
)


def _memory(draft: Draft, given: Given) -> None:
    draft.keys["memory-target"] = min(max(int(value_of(given)), _MEMORY_MIN), _MEMORY_MAX)


def _parts(draft: Draft, given: Given) -> None:
    """`5:1000,25:1000,125`: ours grow by themselves behind the 2,000th."""
    draft.keys["write-part-size"] = mebibytes(value_of(given).partition(",")[0].partition(":")[0])


def _metadata_service(draft: Draft, given: Given) -> None:
    flavour = next((each.value for each in draft.found.options if each.name == "iam-flavor"), "gcp")
    if flavour == "imdsv1":
        draft.nothing_needed(given)
    elif is_on(given):
        draft.no_equal(
            given, "asked the metadata service of another cloud for keys. Make static keys, and a profile of them."
        )


def _shared_config(draft: Draft, given: Given) -> None:
    draft.environment["AWS_SHARED_CREDENTIALS_FILE"] = value_of(given)


def _log_file(draft: Draft, given: Given) -> None:
    directory, slash, name = value_of(given).rpartition("/")
    if not slash:
        draft.nothing_needed(given)  # stderr and syslog: the supervisor's log is the journal
        return
    draft.keys["log-directory"] = directory or "/"
    draft.note(given, f"the file is mountctl-NAME.log in that directory, not {name}.")


def _statistics(draft: Draft, given: Given) -> None:
    if value_of(given).rstrip("smh") not in ("", "0"):
        draft.keys["log-metrics"] = True


RULES: Final[Rules] = goofys.RULES | {
    **{name: unneeded() for name in _UNNEEDED_VALUES},
    **{name: unneeded(takes=False) for name in _UNNEEDED_SWITCHES},
    "memory-limit": Rule(_memory),
    "part-sizes": Rule(_parts),
    "shared-config": Rule(_shared_config),
    "sdk-max-retries": attempts(1),
    "iam": Rule(_metadata_service, takes=False),
    "iam-url": none("another metadata service is not asked for keys. Make static keys, and a profile of them."),
    "log-file": Rule(_log_file),
    "print-stats": Rule(_statistics),
    "ignore-fsync": none("fsync returned before S3 had the object; here it waits. Nothing to do.", takes=False),
    "no-verify-ssl": none(OTHER_CERTIFICATES, takes=False),
    "project-id": none("Ceph's tenants in a bucket's name are not supported. Ask for a bucket without."),
    "cold-min-size": none(
        "one storage class is for files of every size here. Nothing to do, or leave storage-class out."
    ),
    "multipart-age": none(
        "uploads that others left were aborted. Let a lifecycle rule of the bucket do that.", unless=("",)
    ),
    "enable-patch": none(
        "changed objects in place, which S3 can't. Programs that need it must write new files.", takes=False
    ),
    "enable-perms": none(_KEPT_IN_METADATA, takes=False),
    "enable-mtime": none(_KEPT_IN_METADATA, takes=False),
    "enable-specials": none("sockets, pipes and devices can't be stored here. Keep them elsewhere.", takes=False),
    "symlink-zeroed": none("symbolic links can't be stored here. Use copies.", takes=False),
    "pprof": none("there is no profiler. `mountctl status --json` has counters."),
    "cluster": none(_CLUSTER, takes=False),
    "cluster-me": none(_CLUSTER),
    "cluster-peer": none(_CLUSTER),
}


def translate(draft: Draft) -> None:
    """Fill the draft. Raises Refused."""
    goofys.bucket_and_prefix(draft)
    if not any(each.name == "endpoint" for each in draft.found.options):
        endpoint(draft, "endpoint", _ENDPOINT)
    apply_all(draft, with_words(draft, RULES), "geesefs")
    goofys.finish(draft)
