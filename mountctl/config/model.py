"""What a configuration is once it is known to be good, and which options of Mountpoint are not there yet.

Used by all of mountctl; made by config/load.py only (and by `mountctl mount`, of one mount and no file).
Mounts themselves are engine.spec.MountSpec. Never does I/O.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from engine.logged import Form
from engine.spec import AbsolutePath, MountSpec, kebab
from mountctl.config.address import Address
from mountctl.cost import CURRENCY, GET_PRICE, PUT_PRICE, Prices

_NO_DISK_CACHE: Final = "not supported, because what was read is kept by the kernel, not on a disk: remove it"
_NO_PUSH: Final = (
    "not supported, because engines push nothing: enable mountctl-otlp.service, or run `mountctl metrics --otlp URL`, "
    "for all mounts"
)


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
    log_format: Form | None = Field(
        None,
        description="What goes to standard error: `text`, `json` (an object a line), or `journal` (to journald, with "
        "fields). A reload changes it for all at once. Default: `journal` where that is the journal, else `text`.",
    )
    metrics_listen: str | None = Field(
        None,
        description="Where metrics (`/metrics`) and a page of the status (`/`) are told over HTTP, beside the control "
        "socket: `127.0.0.1:9464`. Whoever reaches it may read them.",
    )
    price_put: float = Field(
        PUT_PRICE,
        ge=0,
        allow_inf_nan=False,
        description="What 1,000 PUT, COPY, POST or LIST requests cost. The defaults are those of S3 Standard in "
        "us-east-1, November 2026.",
    )
    price_get: float = Field(
        GET_PRICE, ge=0, allow_inf_nan=False, description="What 1,000 other requests cost. DELETE costs nothing."
    )
    price_currency: str = Field(CURRENCY, min_length=1, description="What prices are in.")

    @field_validator("metrics_listen")
    @classmethod
    def _is_an_address(cls, value: str | None) -> str | None:
        if value is not None:
            Address.parse(value)
        return value

    @property
    def prices(self) -> Prices:
        """Of requests to S3."""
        return Prices(self.price_put, self.price_get, self.price_currency)


# Of a bucket's name or an access point's ARN, with shell wildcards.
_BUCKET_PATTERN: Final = re.compile(r"^[0-9a-zA-Z\-._:/*?]{1,512}$")
# A day: who wants a mount for longer than that declares it.
LINGER_SECONDS_MAX: Final = 86400


def _bucket_patterns(value: Any) -> Any:
    """One pattern, or several."""
    patterns = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value
    for pattern in patterns if isinstance(patterns, tuple) else ():
        if isinstance(pattern, str) and not _BUCKET_PATTERN.fullmatch(pattern):
            raise ValueError("must be names of buckets, in which * and ? stand for any characters and for one")
    return patterns


class CsiSpec(BaseModel):
    """The `[csi]` table: volumes that an orchestrator asks for while the supervisor runs. Frozen."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=kebab, validate_by_name=True, validate_by_alias=True, strict=True
    )

    target_directory: AbsolutePath | None = Field(
        None,
        description="Volumes are bound at paths below this directory only: `/var/lib/kubelet` for Kubernetes. "
        "Default: anywhere.",
    )
    inline_buckets: Annotated[tuple[str, ...], BeforeValidator(_bucket_patterns)] = Field(
        (),
        description="Buckets that pods may use by an inline volume, without a PersistentVolume: names, in which `*` "
        "and `?` stand for any characters and for one. Default: none.",
    )
    linger: int = Field(
        0,
        ge=0,
        le=LINGER_SECONDS_MAX,
        description="How long a volume stays mounted when nobody uses it any more, in seconds: the next one finds "
        "what is in its memory.",
    )


@dataclass(frozen=True)
class Shared:
    """What mounts that no file declares have of a file's tables, by keys of TOML.

    Args:
        defaults: the `[defaults]` table.
        templates: the `[template.NAME]` tables.
    """

    defaults: dict[str, Any] = field(default_factory=dict)
    templates: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Config:
    """A configuration without errors.

    Args:
        path: the file that was asked for.
        files: what was read, in order: the file, then its drop-ins.
        supervisor: the `[supervisor]` table.
        mounts: every mount by its name, in the order of the files.
        referenced: files that values refer to.
        csi: the `[csi]` table.
        shared: what volumes have of it.
    """

    path: Path
    files: tuple[Path, ...]
    supervisor: SupervisorSpec
    mounts: dict[str, MountSpec]
    referenced: tuple[Path, ...] = ()
    csi: CsiSpec = field(default_factory=CsiSpec)
    shared: Shared = field(default_factory=Shared)


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

UNSUPPORTED_SUPERVISOR_OPTIONS: Final[MappingProxyType[str, str]] = MappingProxyType({})
