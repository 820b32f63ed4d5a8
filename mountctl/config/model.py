"""What a configuration is once it is known to be good, and which options of Mountpoint are not there yet.

Used by all of mountctl; made by config/load.py only (and by `mountctl mount`, of one mount and no file).
Mounts themselves are engine.spec.MountSpec. Never does I/O.
"""

from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from engine.spec import MountSpec, kebab

# Told by both tables below: the option is known, and this version can't honour it.
_LATER: Final = "not supported yet by this version: remove it"


class SupervisorSpec(BaseModel):
    """The `[supervisor]` table: what concerns no single mount. Frozen."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=kebab, validate_by_name=True, validate_by_alias=True, strict=True
    )

    control_group: str | None = Field(
        None,
        min_length=1,
        description="A Unix group whose members may use the control socket beside root. It must exist.",
    )


@dataclass(frozen=True)
class Config:
    """A configuration without errors.

    Args:
        path: the file that was asked for.
        files: what was read, in order: the file, then its drop-ins.
        supervisor: the `[supervisor]` table.
        mounts: every mount by its name, in the order of the files.
    """

    path: Path
    files: tuple[Path, ...]
    supervisor: SupervisorSpec
    mounts: dict[str, MountSpec]


# Mountpoint's options that a user may bring along. None may be ignored in silence: data would be written with the
# wrong encryption, or a cache be missed. An option that becomes a field of MountSpec leaves this table.
UNSUPPORTED_MOUNT_OPTIONS: Final = MappingProxyType(
    dict.fromkeys(
        (
            "allow-delete",
            "allow-overwrite",
            "bind",
            "bucket-type",
            "ca-bundle",
            "cache",
            "cache-block-size",
            "cache-xz",
            "dual-stack",
            "expected-bucket-owner",
            "incremental-upload",
            "infer-content-type",
            "log-metrics",
            "max-cache-size",
            "maximum-throughput-gbps",
            "negative-metadata-ttl",
            "otlp-endpoint",
            "otlp-export-interval",
            "sse",
            "sse-kms-key-id",
            "storage-class",
            "transfer-acceleration",
            "upload-checksums",
            "user-agent-prefix",
            "write-part-size",
        ),
        _LATER,
    )
    | {
        "auto-unmount": "has no meaning here, because the supervisor unmounts: remove it",
        "debug-crt": "has no meaning here, because no CRT is used: remove it",
        "foreground": "has no meaning here, because `mountctl run` stays in the foreground: remove it",
        "log-directory": "has no meaning here, because logs go to stderr and so to the journal: remove it",
        "no-log": "has no meaning here, because logs go to stderr and so to the journal: remove it",
        "part-size": "not supported: use read-part-size",
    }
)

UNSUPPORTED_SUPERVISOR_OPTIONS: Final = MappingProxyType({"metrics-listen": _LATER})
