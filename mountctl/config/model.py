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
_NO_DISK_CACHE: Final = "not supported, because what was read is kept by the kernel, not on a disk: remove it"
_NO_PUSH: Final = "not supported, because nothing is pushed: have a collector ask `mountctl status --json`"


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
    watch: bool = Field(
        default=True,
        description="Reload by itself when the file, its drop-ins or what they refer to have changed.",
    )


@dataclass(frozen=True)
class Config:
    """A configuration without errors.

    Args:
        path: the file that was asked for.
        files: what was read, in order: the file, then its drop-ins.
        supervisor: the `[supervisor]` table.
        mounts: every mount by its name, in the order of the files.
        referenced: files that values refer to.
    """

    path: Path
    files: tuple[Path, ...]
    supervisor: SupervisorSpec
    mounts: dict[str, MountSpec]
    referenced: tuple[Path, ...] = ()


# Mountpoint's options that a user may bring along. None may be ignored in silence: data would be written with the
# wrong encryption, or a cache be missed. An option that becomes a field of MountSpec leaves this table.
UNSUPPORTED_MOUNT_OPTIONS: Final = MappingProxyType(
    {
        "cache": _NO_DISK_CACHE,
        "cache-block-size": _NO_DISK_CACHE,
        "cache-xz": _NO_DISK_CACHE,
        "foreground": "has no meaning here, because a supervisor serves the mount: remove it",
        "incremental-upload": "not supported, because S3 can append in directory buckets only: write a new object",
        "max-cache-size": _NO_DISK_CACHE,
        "otlp-endpoint": _NO_PUSH,
        "otlp-export-interval": _NO_PUSH,
    }
)

UNSUPPORTED_SUPERVISOR_OPTIONS: Final = MappingProxyType({"metrics-listen": _LATER})
