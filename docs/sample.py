"""The configuration file that packages bring: every option as a comment, with its meaning. Called by docs/generate.py.

It declares nothing, so that what a user adds stands beside it.
"""

import textwrap
from collections.abc import Iterator
from types import MappingProxyType
from typing import Any, Final

from pydantic import BaseModel

from engine.spec import MountSpec
from mountctl.config.model import SupervisorSpec
from mountctl.config.words import fields, wanted

_WIDTH: Final = 110
_HEAD: Final = """\
# What mountctl mounts where: see mountpoint-s3.toml(5) and /usr/share/doc/mountctl/examples. A mount is two lines:
#
#     mount.data.bucket = "my-bucket"
#     mount.data.mountpoint = "/mnt/data"
#
# Best written to a file of its own, /etc/mountpoint-s3.d/data.toml: this one then comes anew with each version, with
# the options that it brings. `mountctl check` finds mistakes; `systemctl enable --now mountctl` mounts now and at boot;
# a supervisor that runs sees the change by itself. Credentials are those that root's AWS tools would use.
"""
# For options that are off unless given.
_EXAMPLES: Final = MappingProxyType(
    {
        "prefix": '"train/"',
        "bucket-type": '"general-purpose"',
        "maximum-throughput-gbps": "10",
        "uid": "1000",
        "gid": "1000",
        "negative-metadata-ttl": "1",
        "read-part-size": "8388608",
        "write-part-size": "8388608",
        "part-size": "8388608",
        "region": '"eu-central-1"',
        "endpoint-url": '"https://s3.example.internal:9000"',
        "ca-bundle": '"/etc/ssl/certs/internal-ca.pem"',
        "profile": '"backup"',
        "environment": '{ AWS_ROLE_ARN = "arn:aws:iam::123456789012:role/reader" }',
        "expected-bucket-owner": '"123456789012"',
        "user-agent-prefix": '"my-team"',
        "storage-class": '"STANDARD_IA"',
        "sse": '"aws:kms"',
        "sse-kms-key-id": '"arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"',
        "bind": '["eth1"]',
        "memory-high": "1024",
        "memory-max": "1280",
        "cpu-weight": "50",
        "slice": '"batch.slice"',
        "log-directory": '"/var/log/mountctl"',
        "log-format": '"json"',
        "control-group": '"mountctl"',
        "metrics-listen": '"127.0.0.1:9464"',
    }
)


def text() -> str:
    """The file."""
    mounts = _options(MountSpec, leave_out=("name", "bucket", "mountpoint"))
    lines = [
        "",
        "# For all mounts; any of these may stand in a [mount.NAME] or a [template.NAME] as well.",
        "#[defaults]",
    ]
    return _HEAD + "\n".join([*lines, *mounts, "", "#[supervisor]", *_options(SupervisorSpec), ""])


def _options(model: type[BaseModel], leave_out: tuple[str, ...] = ()) -> Iterator[str]:
    for key, field in fields(model).items():
        if key in leave_out:
            continue
        meaning = (field.description or "").replace("`", "")
        yield ""
        yield from (f"# {line}" for line in textwrap.wrap(meaning, _WIDTH, break_on_hyphens=False))
        yield f"#{key} = {_EXAMPLES.get(key) or _toml(field)}"


def _toml(field: Any) -> str:
    """A default as it is written."""
    value = field.default
    if isinstance(value, bool):
        return str(value).lower()
    if "octal" in wanted(field) and value is not None:
        return f'"{value:04o}"'
    if isinstance(value, str):
        return f'"{value}"'
    return str(value)
