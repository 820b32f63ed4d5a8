"""What a mount is. The contract between configuration, supervisor and engine; its field names (kebab-case) are the
keys of a `[mount.NAME]` table and Mountpoint's option names.

Read by mountctl/config (which validates tables with it), the supervisor and every engine. Never does I/O.
"""

import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Annotated, Any, Final, Literal, Self

from annotated_types import Ge, Le, MinLen
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, model_validator

from engine import bucket_names
from engine.bucket_names import is_arn, is_directory_bucket
from engine.interfaces import as_interfaces
from engine.logged import FileForm
from engine.resources import MEMORY_LIMIT_MAX_MIB, MEMORY_LIMIT_MIN_MIB, memory_conflicts, slice_name
from engine.variables import as_pairs, as_table

KiB: Final = 1024
MiB: Final = 1024 * KiB

# Linux: PATH_MAX with its closing NUL, and NAME_MAX. mount(2) refuses what is longer.
PATH_BYTES_MAX: Final = 4095
PATH_COMPONENT_BYTES_MAX: Final = 255

# Mountpoint's default, in bytes, of both directions: a connection to S3 moves it in a tenth of a second.
PART_BYTES: Final = 8 * MiB

# Mountpoint's bound: 100 years in seconds.
TTL_MAX_SECONDS: Final = 3_153_600_000

# An engine replies what two to four fetchers bring; more are of use if TLS is slow there.
FETCHERS_MAX: Final = 16

_NAME = re.compile(r"^[0-9a-zA-Z][0-9a-zA-Z\-._]{0,62}$")


def _mount_name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError("a mount's name has 1-63 letters, digits, '.', '-' and '_', and starts with a letter or digit")
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
    if not re.fullmatch(r"https?://[^/?#\s@]+/?", value):
        raise ValueError("endpoint-url must be http://HOST[:PORT] or https://HOST[:PORT], without path or user")
    return value.rstrip("/")


def _absolute(value: str) -> str:
    if not value.startswith("/"):
        raise ValueError("must be an absolute path")
    if "\0" in value:
        raise ValueError("must not contain a NUL")
    return value


def _kms_key(value: str) -> str:
    if not value.startswith("arn:") or ":key" not in value:
        raise ValueError("must be a key's ARN, arn:PARTITION:kms:REGION:ACCOUNT:key/ID: no key id, no alias")
    return _header_text(value)


def _header_text(value: str) -> str:
    if not value.isascii() or not value.isprintable():
        raise ValueError("must be printable ASCII: it is sent as an HTTP header")
    return value


def _mode(value: Any) -> Any:
    """Octal text ("0755"), or an integer as TOML's 0o755 gives it."""
    if isinstance(value, str):
        if not re.fullmatch(r"(0o)?[0-7]{1,4}", value):
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


def _fetchers(value: Any) -> Any:
    if value != "auto" and (type(value) is not int or not 0 <= value <= FETCHERS_MAX):
        raise ValueError(f"must be 'auto' or a number from 0 to {FETCHERS_MAX}")
    return value


Ttl = Annotated[int | Literal["minimal", "indefinite"], BeforeValidator(_ttl)]
Fetchers = Annotated[Annotated[int, Ge(0), Le(FETCHERS_MAX)] | Literal["auto"], BeforeValidator(_fetchers)]
Mode = Annotated[int, BeforeValidator(_mode)]
AbsolutePath = Annotated[str, AfterValidator(_absolute)]
Variables = Annotated[tuple[str, ...], BeforeValidator(as_pairs), PlainSerializer(as_table)]
Interfaces = Annotated[tuple[str, ...], BeforeValidator(as_interfaces)]
HeaderText = Annotated[str, MinLen(1), AfterValidator(_header_text)]


def kebab(name: str) -> str:
    """A field's name as it is written in TOML and on the command line."""
    return name.replace("_", "-")


class MountSpec(BaseModel):
    """One mount: which bucket, where, how. Frozen; two equal specs need no change of a running mount."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=kebab, validate_by_name=True, validate_by_alias=True, strict=True
    )

    name: Annotated[str, AfterValidator(_mount_name)] = Field(description="The mount's name: the table's name.")
    bucket: Annotated[str, AfterValidator(bucket_names.bucket)] = Field(
        description="The bucket's name, or an access point's alias or ARN."
    )
    mountpoint: Annotated[str, AfterValidator(_mountpoint)] = Field(
        description="Where it is mounted: an absolute path. A missing directory is made."
    )
    prefix: Annotated[str, AfterValidator(_prefix)] = Field(
        "", description="Mount only the keys below this prefix, which ends in `/`."
    )

    bucket_type: Annotated[Literal["general-purpose"], BeforeValidator(bucket_names.bucket_type)] | None = Field(
        None, description="What kind of bucket it is. There is one kind that is served, so nothing depends on it."
    )
    region: HeaderText | None = Field(
        None, description="The bucket's region. Default: the profile's or environment's, else us-east-1."
    )
    endpoint_url: Annotated[str, AfterValidator(_endpoint_url)] | None = Field(
        None, description="Another S3 than Amazon's: `http://HOST:PORT` or `https://HOST:PORT`."
    )
    force_path_style: bool = Field(
        default=False,
        description="Address the bucket in the path, not in the host name; most other S3 servers need it.",
    )
    transfer_acceleration: bool = Field(
        default=False, description="Use S3 Transfer Acceleration, which must be enabled on the bucket."
    )
    dual_stack: bool = Field(default=False, description="Use Amazon's endpoints that have IPv6 addresses too.")
    requester_pays: bool = Field(default=False, description="Accept that requests and transfer are charged to you.")
    expected_bucket_owner: HeaderText | None = Field(
        None, description="The account that must own the bucket; every request is refused otherwise."
    )
    user_agent_prefix: HeaderText | None = Field(
        None, description="Put before the user agent that S3's access logs show."
    )

    profile: str | None = Field(None, min_length=1, description="Profile of the AWS configuration files.")
    environment: Variables = Field(
        (),
        description="A table of variables that say where credentials come from, instead of the supervisor's own: "
        'AWS_ROLE_ARN = "...". Never keys themselves.',
    )
    no_sign_request: bool = Field(default=False, description="Anonymous requests; wins over `profile`.")
    ca_bundle: AbsolutePath | None = Field(
        None,
        description="Certificate authorities to trust instead of the system's, for S3 and where credentials come from: "
        "a PEM file, read as root. Default: what AWS_CA_BUNDLE names.",
    )
    bind: Interfaces = Field(
        (), description="Network interfaces to spread connections to S3 over. Default: as the routes go. Linux 5.7."
    )
    maximum_throughput_gbps: int | None = Field(
        None,
        ge=1,
        le=10_000,
        description="What this mount is meant to reach, in Gbit/s. Bounds its connections to S3 (two for each 0.72 "
        "Gbit/s, 4 to 128; default: 128) and what one file reads ahead (what comes in 0.1 s, 12 to 96 MiB; default: 96 "
        "MiB). Not a limit of the rate.",
    )
    fetchers: Fetchers = Field(
        "auto",
        description="Processes that fetch for this mount while its engine only answers programs: a number, or `auto`: "
        "none where there are up to two cores, else half as many as cores, four at most. They run while large files "
        "are read.",
    )

    read_only: bool = Field(default=False, description="Mount read-only.")
    allow_delete: bool = Field(default=False, description="Let programs delete files.")
    allow_overwrite: bool = Field(
        default=False, description="Let programs replace files, by opening them with O_TRUNC as `>` of a shell does."
    )
    storage_class: HeaderText | None = Field(
        None, description="Storage class of files that are written. Default: S3's."
    )
    sse: Literal["aws:kms", "aws:kms:dsse", "AES256"] | None = Field(
        None, description="Server-side encryption of files that are written. Default: the bucket's."
    )
    sse_kms_key_id: Annotated[str, AfterValidator(_kms_key)] | None = Field(
        None, description="ARN of the KMS key for it. Default: the bucket's, or Amazon's own."
    )
    upload_checksums: Literal["crc32c", "crc64nvme", "off"] = Field(
        "crc32c", description="The checksum that S3 checks what is written by, and keeps."
    )
    infer_content_type: bool = Field(
        default=False, description="Store a Content-Type by the file name's extension, as the system's table has it."
    )
    auto_unmount: bool = Field(
        default=False,
        description="Leave no mount behind. The supervisor unmounts at its end with or without it. If it is killed and "
        "none follows within 20 s, the mount is taken away; without it, it goes on. (Under systemd one follows.)",
    )
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
    negative_metadata_ttl: Ttl | None = Field(
        None,
        description="How long it is believed that there is no such name: seconds, `minimal` (not at all) or "
        "`indefinite`. Default: `metadata-ttl`.",
    )
    read_part_size: int | None = Field(
        None, ge=128 * KiB, le=5 * KiB * MiB, description="Largest range of one GET request, in bytes. Default: 8 MiB."
    )
    write_part_size: int | None = Field(
        None,
        ge=5 * MiB,
        le=5 * KiB * MiB,
        description="Size of the parts of large uploads, in bytes; behind 2,000 of them they grow. Default: 8 MiB.",
    )
    part_size: int | None = Field(
        None, ge=5 * MiB, le=5 * KiB * MiB, description="`read-part-size` and `write-part-size` in one."
    )
    memory_target: int = Field(
        512,
        ge=16,
        le=KiB * KiB,
        description="Memory for data being read and written, in MiB; all else takes up to 64 MiB more.",
    )
    memory_high: int | None = Field(
        None,
        ge=MEMORY_LIMIT_MIN_MIB,
        le=MEMORY_LIMIT_MAX_MIB,
        description="Memory of the mount's engine and fetchers, in MiB, beyond which the kernel slows them down. Under "
        "systemd with cgroup v2.",
    )
    memory_max: int | None = Field(
        None,
        ge=MEMORY_LIMIT_MIN_MIB,
        le=MEMORY_LIMIT_MAX_MIB,
        description="Memory of the mount's engine and fetchers, in MiB, beyond which the kernel ends one, and another "
        "takes over. Twice `memory-target` and more leaves room for two engines at a handover. Under systemd.",
    )
    cpu_weight: int | None = Field(
        None, ge=1, le=10_000, description="Its share of the CPU when that is short; 100 is everybody's. Under systemd."
    )
    slice: Annotated[str, AfterValidator(slice_name)] | None = Field(
        None,
        description="The slice of systemd below which the mount has its own, `PARENT-NAME.slice`: for limits that "
        "several mounts have together. Default, where a limit is given: `mountctl.slice`; else engines are the "
        "service's.",
    )
    max_threads: int = Field(
        64, ge=1, le=4096, description="Requests of the kernel served at once (tasks here; no thread is started)."
    )
    debug: bool = Field(default=False, description="Log at debug level: each request to S3 that fails or is repeated.")
    debug_crt: bool = Field(
        default=False, description="The same as `debug`: there is no CRT, and requests to S3 are logged by ourselves."
    )
    log_metrics: bool = Field(default=False, description="Log every 5 s which counters have changed, and by how much.")
    log_directory: AbsolutePath | None = Field(
        None,
        description="Log to the file `mountctl-NAME.log` in this directory, not to stderr. Opened anew by a reload.",
    )
    log_format: FileForm | None = Field(
        None, description="What that file has: `text`, or `json`, an object a line. Default: `text`."
    )
    no_log: bool = Field(default=False, description="The mount's engine logs nothing; the supervisor still does.")

    @model_validator(mode="after")
    def _together(self) -> Self:
        if self.allow_other and self.allow_root:
            raise ValueError("allow-root conflicts with allow-other: keep one")
        for reason in self._conflicts():
            raise ValueError(reason)
        return self

    def _conflicts(self) -> Iterator[str]:
        """Options that don't go together, each as a sentence that starts with the one to remove."""
        if self.transfer_acceleration:
            if self.endpoint_url is not None:
                yield "transfer-acceleration conflicts with endpoint-url: it is a service of Amazon's own endpoints"
            if self.force_path_style:
                yield "transfer-acceleration conflicts with force-path-style: it knows buckets by their host name"
            if is_arn(self.bucket):
                yield "transfer-acceleration conflicts with an access point's ARN: give the bucket's name"
        if self.dual_stack and self.endpoint_url is not None:
            yield "dual-stack conflicts with endpoint-url: what addresses a server has is its own business"
        if self.force_path_style and is_arn(self.bucket):
            yield "force-path-style conflicts with an access point's ARN: it is addressed by its host name"
        if self.part_size is not None and self.read_part_size is not None:
            yield "part-size conflicts with read-part-size: keep one"
        if self.part_size is not None and self.write_part_size is not None:
            yield "part-size conflicts with write-part-size: keep one"
        if self.sse_kms_key_id is not None and self.sse is None:
            yield "sse-kms-key-id needs sse: set it to 'aws:kms' or 'aws:kms:dsse'"
        if self.sse_kms_key_id is not None and self.sse == "AES256":
            yield "sse-kms-key-id conflicts with sse 'AES256', which uses no key of KMS"
        if self.log_format is not None and self.log_directory is None:
            yield "log-format needs log-directory: of standard error it is [supervisor] that says it"
        for option in ("log_directory", "debug", "debug_crt", "log_metrics") if self.no_log else ():
            if getattr(self, option):
                yield f"no-log conflicts with {kebab(option)}: keep one"
        yield from memory_conflicts(self.memory_target, self.memory_high, self.memory_max)
        if is_directory_bucket(self.bucket) and self.endpoint_url is None:
            yield "bucket: a directory bucket (S3 Express) is not supported yet: mount a general purpose bucket"

    @property
    def log_level(self) -> Literal["debug", "info"]:
        """The least that its engine logs."""
        return "debug" if self.debug or self.debug_crt else "info"

    @property
    def read_part_bytes(self) -> int:
        """Largest range of one GET request."""
        return self.read_part_size or self.part_size or PART_BYTES

    @property
    def write_part_bytes(self) -> int:
        """Size of an upload's parts, before they grow."""
        return self.write_part_size or self.part_size or PART_BYTES

    @property
    def source(self) -> str:
        """The mount's source as `status` and the mount table show it."""
        return f"s3://{self.bucket}/{self.prefix}"
