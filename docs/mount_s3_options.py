"""The page about the options of mount-s3: what each of them is here. Called by docs/generate.py.

What an option means stands in the models; here stands only what is another than there. An option that is neither ours
nor refused by name stops the generator: none can be forgotten.
"""

from collections.abc import Iterator
from typing import Final

from engine.spec import MountSpec
from mountctl.config.model import UNSUPPORTED_MOUNT_OPTIONS
from mountctl.config.words import fields

# The options of mount-s3 1.24, in the order of its help, and what is different here; None: nothing is.
_THEIRS: Final[dict[str, str | None]] = {
    "prefix": None,
    "region": (
        "Default: AWS_REGION, AWS_DEFAULT_REGION, the profile's, us-east-1; the instance is not asked. Where "
        "nobody chose one, S3's redirect is followed once, and remembered for the mount's next engines."
    ),
    "endpoint-url": (
        "No path and no user in it. The environment's AWS_ENDPOINT_URL_S3 and the profile's `endpoint_url` count too."
    ),
    "force-path-style": None,
    "transfer-acceleration": "Refused together with `endpoint-url`, `force-path-style` or an ARN.",
    "dual-stack": "Refused together with `endpoint-url`.",
    "requester-pays": None,
    "bucket-type": "Only `general-purpose`; `directory` is refused, as are the names of directory buckets.",
    "storage-class": None,
    "expected-bucket-owner": None,
    "sse": ("An answer of S3 that names another encryption fails that file with EIO. (There: the whole process ends.)"),
    "sse-kms-key-id": None,
    "upload-checksums": None,
    "infer-content-type": None,
    "no-sign-request": None,
    "profile": None,
    "read-only": None,
    "allow-delete": "Also lets `mv` copy and delete (EXDEV), and `rm -r` remove what it has emptied.",
    "allow-overwrite": "Needs nothing of the kernel that could be missing.",
    "incremental-upload": None,
    "auto-unmount": "The supervisor unmounts at its end anyway. With it also when one is killed and none follows.",
    "allow-root": "Nothing to allow: mounts are made by root. No /etc/fuse.conf is read.",
    "allow-other": "No /etc/fuse.conf is read.",
    "uid": "Default: root's, as the supervisor is root.",
    "gid": "Default: root's.",
    "dir-mode": None,
    "file-mode": None,
    "maximum-throughput-gbps": "Default: as much as comes. The instance type is not looked up.",
    "max-threads": "Default: 64. They are tasks, not threads.",
    "memory-target": "Default: 512, not a share of the machine's memory: there are many mounts. From 16 on.",
    "part-size": None,
    "read-part-size": "From 128 KiB on (there: 5 MiB). The largest range: the first ones of a file are smaller.",
    "write-part-size": "Parts grow behind the 2,000th: files are not bound to 10,000 parts of this size.",
    "ca-bundle": None,
    "bind": None,
    "foreground": (
        "Of `mountctl mount`, which stays in the foreground anyway, but for `-o`. Refused in a file and in fstab."
    ),
    "log-directory": (
        "One file a mount, `mountctl-NAME.log`, opened anew by SIGHUP and reload; a directory that can't be "
        "used is a warning. Default: stderr, which is the journal under systemd."
    ),
    "log-metrics": "The counters that changed, every 5 s; `mountctl status --json` has all of them at any time.",
    "debug": "Metrics are asked for by `log-metrics`.",
    "debug-crt": "The same as `debug`.",
    "no-log": "Of the mount's engine; what the supervisor does with the mount is still told.",
    "otlp-endpoint": None,
    "otlp-export-interval": None,
    "cache": None,
    "max-cache-size": None,
    "cache-block-size": None,
    "cache-xz": None,
    "metadata-ttl": "0 is what it says: nothing is believed for longer than a moment, as `minimal`.",
    "negative-metadata-ttl": None,
    "user-agent-prefix": "Put before `mountctl-s3`.",
}

_HEAD: Final = """\
# The options of mount-s3

{generated}

What is not in this table is as [configuration.md](configuration.md) says. About the command line, the environment and
what programs see: [moving-from-mount-s3.md](moving-from-mount-s3.md).

| option | here |
|---|---|"""


def page(generated: str) -> str:
    """The page. Raises LookupError for an option of theirs that nobody has decided about.

    Args:
        generated: the line that says where the page comes from.
    """
    return "\n".join([_HEAD.format(generated=generated), *_rows(), ""])


def _rows() -> Iterator[str]:
    ours = fields(MountSpec)
    for option, difference in _THEIRS.items():
        if option in UNSUPPORTED_MOUNT_OPTIONS and difference is None:
            told = f"Refused: {UNSUPPORTED_MOUNT_OPTIONS[option].removesuffix(': remove it')}."
        elif option in ours or difference is not None:
            told = difference or "The same."
        else:
            raise LookupError(f"nothing is said about mount-s3's option {option}")
        yield f"| `{option}` | {told} |"
