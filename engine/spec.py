"""What a mount is. The contract between configuration, supervisor and engine; its field names (kebab-case) are the
keys of a `[mount.NAME]` table and Mountpoint's option names.

Read by mountctl/config (which validates tables with it), the supervisor and every engine. Never does I/O.
"""

import re
from pathlib import PurePosixPath
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

KiB: Final = 1024
MiB: Final = 1024 * KiB

# Linux: PATH_MAX with its closing NUL, and NAME_MAX. mount(2) refuses what is longer.
PATH_BYTES_MAX: Final = 4095
PATH_COMPONENT_BYTES_MAX: Final = 255

# Mountpoint's bound: 100 years in seconds.
TTL_MAX_SECONDS: Final = 3_153_600_000

_BUCKET = re.compile(r"^[0-9a-zA-Z\-._]+$")
_NAME = re.compile(r"^[0-9a-zA-Z][0-9a-zA-Z\-._]{0,62}$")


def _mount_name(value: str) -> str:
    if not _NAME.match(value):
        raise ValueError("a mount's name has 1-63 letters, digits, '.', '-' and '_', and starts with a letter or digit")
    return value


def _bucket(value: str) -> str:
    if value.startswith("arn:"):
        raise ValueError("ARNs of access points are not supported yet; give the bucket's name or the alias")
    if not 3 <= len(value) <= 255:
        raise ValueError("bucket names must be 3-255 characters long")
    if not _BUCKET.match(value):
        raise ValueError("bucket names have only letters, numbers, '.', '-' and '_' (an s3:// URL is not a name)")
    return value


def _prefix(value: str) -> str:
    if value and not value.endswith("/"):
        raise ValueError(f"prefix must end in '/': write {value + '/'!r}")
    if value.startswith("/"):
        raise ValueError("prefix must not start with '/': keys in S3 do not")
    return value


def _mountpoint(value: str) -> str:
    if not value.startswith("/"):
        raise ValueError("mountpoint must be an absolute path")
    if "\0" in value:
        raise ValueError("mountpoint must not contain a NUL")
    if len(value.encode()) > PATH_BYTES_MAX:
        raise ValueError(f"mountpoint must not be longer than {PATH_BYTES_MAX} bytes")
    path = PurePosixPath(value)
    if any(len(part.encode()) > PATH_COMPONENT_BYTES_MAX for part in path.parts):
        raise ValueError(f"mountpoint must not have a name of more than {PATH_COMPONENT_BYTES_MAX} bytes in it")
    if ".." in path.parts:
        raise ValueError("mountpoint must not contain '..'")
    if len(path.parts) == 1:
        raise ValueError("mountpoint must not be '/'")
    return str(PurePosixPath("/", *path.parts[1:]))


def _endpoint_url(value: str) -> str:
    if not re.match(r"^https?://[^/?#\s@]+/?$", value):
        raise ValueError("endpoint-url must be http://HOST[:PORT] or https://HOST[:PORT], without path or user")
    return value.rstrip("/")


def _mode(value: Any) -> Any:
    """Octal text ("0755"), or an integer as TOML's 0o755 gives it."""
    if isinstance(value, str):
        if not re.match(r"^(0o)?[0-7]{1,4}$", value):
            raise ValueError('must be an octal number such as "0755"')
        value = int(value.removeprefix("0o"), 8)
    if isinstance(value, int) and not isinstance(value, bool) and not 0 <= value <= 0o777:
        raise ValueError('only user, group and other permissions: at most "0777" (a number needs 0o in front: 0o755)')
    return value


def _ttl(value: Any) -> Any:
    if isinstance(value, bool) or not (isinstance(value, int) or value in ("minimal", "indefinite")):
        raise ValueError("must be a number of seconds, 'minimal' or 'indefinite'")
    if isinstance(value, int) and not 0 <= value <= TTL_MAX_SECONDS:
        raise ValueError(f"must be between 0 and {TTL_MAX_SECONDS} seconds (100 years)")
    return value


Ttl = Annotated[int | Literal["minimal", "indefinite"], BeforeValidator(_ttl)]
Mode = Annotated[int, BeforeValidator(_mode)]


def kebab(name: str) -> str:
    """A field's name as it is written in TOML and on the command line."""
    return name.replace("_", "-")


class MountSpec(BaseModel):
    """One mount: which bucket, where, how. Frozen; two equal specs need no change of a running mount."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=kebab, validate_by_name=True, validate_by_alias=True, strict=True
    )

    name: Annotated[str, AfterValidator(_mount_name)] = Field(description="The mount's name: the table's name.")
    bucket: Annotated[str, AfterValidator(_bucket)] = Field(description="The bucket's name or alias.")
    mountpoint: Annotated[str, AfterValidator(_mountpoint)] = Field(
        description="Where it is mounted: an absolute path. A missing directory is made."
    )
    prefix: Annotated[str, AfterValidator(_prefix)] = Field(
        "", description="Mount only the keys below this prefix, which ends in `/`."
    )

    region: str | None = Field(
        None, min_length=1, description="The bucket's region. Default: the profile's or environment's, else us-east-1."
    )
    endpoint_url: Annotated[str, AfterValidator(_endpoint_url)] | None = Field(
        None, description="Another S3 than Amazon's: `http://HOST:PORT` or `https://HOST:PORT`."
    )
    force_path_style: bool = Field(
        default=False,
        description="Address the bucket in the path, not in the host name; most other S3 servers need it.",
    )
    requester_pays: bool = Field(default=False, description="Accept that requests and transfer are charged to you.")

    profile: str | None = Field(None, min_length=1, description="Profile of the AWS configuration files.")
    no_sign_request: bool = Field(default=False, description="Anonymous requests; wins over `profile`.")

    read_only: bool = Field(default=False, description="Mount read-only.")
    allow_other: bool = Field(default=False, description="Let every user in, not only root; modes then decide.")
    allow_root: bool = Field(
        default=False, description="Let root in. Mounts are made by root, so root always is; not with `allow-other`."
    )
    uid: int | None = Field(None, ge=1, le=2**32 - 2, description="Owner of all files. Default: root.")
    gid: int | None = Field(None, ge=1, le=2**32 - 2, description="Group of all files. Default: root's.")
    dir_mode: Mode = Field(0o755, description="Mode of all directories, in octal.")
    file_mode: Mode = Field(0o644, description="Mode of all files, in octal.")

    metadata_ttl: Ttl = Field(
        "minimal", description="How long names and attributes are believed: seconds, `minimal` or `indefinite`."
    )
    read_part_size: int = Field(
        8 * MiB, ge=128 * KiB, le=5 * KiB * MiB, description="Largest range of one GET request, in bytes."
    )
    memory_target: int = Field(512, ge=16, le=KiB * KiB, description="Memory for data being read, in MiB.")
    max_threads: int = Field(
        64, ge=1, le=4096, description="Requests of the kernel served at once (tasks here; no thread is started)."
    )
    debug: bool = Field(default=False, description="Log at debug level.")

    @model_validator(mode="after")
    def _together(self) -> Self:
        if self.allow_other and self.allow_root:
            raise ValueError("allow-root conflicts with allow-other: keep one")
        return self

    @property
    def source(self) -> str:
        """The mount's source as `status` and the mount table show it."""
        return f"s3://{self.bucket}/{self.prefix}"
