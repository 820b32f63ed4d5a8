"""rclone's flags for which nothing is needed here, and those that choose files. Read by rclone.py.

Mounts are tuned by other means, written in order, and served by a supervisor: what tunes rclone's buffers, its cache on
a disk, its transfers and its daemon has nothing to do here.
"""

from typing import Final

UNNEEDED_VALUES: Final = (
    *("config", "attr-timeout", "buffer-size", "cache-dir", "checkers", "contimeout", "daemon-timeout", "daemon-wait"),
    *("devname", "expect-continue-timeout", "link-perms", "log-format", "max-read-ahead", "multi-thread-cutoff"),
    *(
        "multi-thread-streams",
        "poll-interval",
        "retries",
        "retries-sleep",
        "s3-max-upload-parts",
        "stats",
        "syslog-facility",
    ),
    *("stats-log-level", "stats-one-line-date-format", "temp-dir", "timeout", "tpslimit-burst", "transfers"),
    *(
        "transfers-sleep",
        "vfs-cache-max-age",
        "vfs-cache-max-size",
        "vfs-cache-min-free-space",
        "vfs-cache-poll-interval",
    ),
    *(
        "vfs-handle-caching",
        "vfs-read-ahead",
        "vfs-read-chunk-size",
        "vfs-read-chunk-size-limit",
        "vfs-read-chunk-streams",
    ),
    *("vfs-read-wait", "vfs-write-back", "vfs-write-wait", "vfs-metadata-extension", "volname", "max-connections"),
    *(
        "log-file-max-age",
        "log-file-max-backups",
        "log-file-max-size",
        "o",
        "option",
        "fuse-flag",
        "mount-case-insensitive",
    ),
    *("default-time", "modify-window", "command", "max-buffer-memory", "http-proxy", "dump", "order-by"),
)
UNNEEDED_SWITCHES: Final = (
    *("allow-non-empty", "allow-idmap", "async-read", "daemon", "default-permissions", "fast-list", "no-checksum"),
    *(
        "no-modtime",
        "no-seek",
        "noappledouble",
        "noapplexattr",
        "network-mode",
        "q",
        "quiet",
        "stats-one-line",
        "syslog",
    ),
    *("use-mmap", "use-server-modtime", "use-cookies", "v", "verbose", "vfs-block-norm-dupes", "vfs-fast-fingerprint"),
    *(
        "vfs-refresh",
        "write-back-cache",
        "ignore-checksum",
        "disable-http2",
        "no-update-modtime",
        "args2env",
        "checksum",
    ),
    *(
        "use-json-log",
        "log-systemd",
        "no-unicode-normalization",
        "size-only",
        "human-readable",
        "no-traverse",
        "no-gzip-encoding",
    ),
    *("metadata", "update", "progress", "P", "no-console", "auto-confirm", "ask-password"),
)
FILTERS: Final = (
    *("exclude", "exclude-from", "exclude-if-present", "filter", "filter-from", "files-from", "files-from-raw", "f"),
    *("include", "include-from", "max-age", "min-age", "max-size", "min-size", "max-depth", "hash-filter"),
    *("metadata-exclude", "metadata-include", "metadata-filter"),
)
# Settings of a remote that stand alone on a command line.
SWITCHES: Final = frozenset(
    {
        *("env_auth", "force_path_style", "v2_auth", "requester_pays", "use_accelerate_endpoint", "use_dual_stack"),
        *("no_check_bucket", "no_head", "no_head_object", "disable_checksum", "disable_http2", "directory_markers"),
        *(
            "versions",
            "version_deleted",
            "decompress",
            "directory_bucket",
            "leave_parts_on_error",
            "no_system_metadata",
        ),
        *("memory_pool_use_mmap", "use_presigned_request", "use_arn_region"),
    }
)
