"""A NodePublishVolumeRequest to what it means. Pure: whether S3 and the node can do it is not asked here."""

import re
from collections.abc import Mapping
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Any, Final

from pydantic import ValidationError

from engine.spec import PATH_BYTES_MAX, MiB, MountSpec
from mountctl.config.classes import LIMITS
from mountctl.config.words import fields, reason, shown, takes_mode
from mountctl.csi import attributes, mount_flags
from mountctl.csi.attributes import Attributes
from mountctl.csi.mount_flags import Flags
from mountctl.csi.proto import csi_pb2
from mountctl.csi.publish_request import ENVIRONMENT, PublishRequest, Source
from mountctl.csi.refusal import InvalidArgument
from mountctl.volume import Pod

_Capability = csi_pb2.VolumeCapability
_Mode = _Capability.AccessMode
_MODES: Final = frozenset(_Mode.Mode.values()) - {_Mode.UNKNOWN}
_READER_MODES: Final = frozenset({_Mode.SINGLE_NODE_READER_ONLY, _Mode.MULTI_NODE_READER_ONLY})

# kubelet's own keys of a volume's context (podInfoOnMount, tokenRequests). Since Kubernetes 1.35 tokens may come among
# the secrets (KEP-5538).
_POD: Final = "csi.storage.k8s.io/pod."
_SERVICE_ACCOUNT: Final = "csi.storage.k8s.io/serviceAccount.name"
_TOKENS: Final = "csi.storage.k8s.io/serviceAccount.tokens"
_INLINE: Final = "csi.storage.k8s.io/ephemeral"
# Where kubelet has the volumes of pods: .../pods/UID/volumes/kubernetes.io~csi/PERSISTENTVOLUME/mount
_PERSISTENT_VOLUME: Final = re.compile(r"/volumes/kubernetes\.io~csi/([^/]+)/mount/*$")

# The contract's (mountctl/volume.py). CSI allows 128 bytes, and nobody holds drivers or users to it.
_ID_CHARS_MAX: Final = 4096
# Beside what is read and written an engine takes so much more at most (MountSpec's memory-target says so).
_ENGINE_MIB: Final = 64
_MEMORY_TARGET: Final = "memory-target"
# About files that the supervisor opens as root, keys that are the administrator's, and shares of the host. Authors of
# pods are neither.
_NOT_INLINE: Final = ("log-directory", "profile", "ca-bundle", *LIMITS)
# Until MountSpec has it; the variables have no effect before.
HAS_ENVIRONMENT: Final = ENVIRONMENT in MountSpec.model_fields


def understood(request: csi_pb2.NodePublishVolumeRequest, driver: str) -> PublishRequest:
    """What a request asks for. Raises InvalidArgument, in their driver's order where both find fault.

    Args:
        request: kubelet's.
        driver: the driver's name.
    """
    if not request.volume_id:
        raise InvalidArgument("volume id is missing")
    if len(request.volume_id) > _ID_CHARS_MAX:
        raise InvalidArgument(f"volume id is longer than {_ID_CHARS_MAX} characters")
    context = request.volume_context
    if attributes.BUCKET not in context:
        attributes.parse(context)  # raises
    target = checked_target(request.target_path)
    mount, mode = checked_capability(request.volume_capability, is_given=request.HasField("volume_capability"))
    told = attributes.parse(context)
    flags = mount_flags.parse(
        [*mount.mount_flags, *told.mount_options],
        has_cache=told.has_cache,
        cache_size_limit=told.cache_size_limit,
    )
    is_inline = context.get(_INLINE) == "true"
    options = _options(told, flags, _group(mount.volume_mount_group))
    if is_inline:
        _check_inline(options)
    secrets = dict(request.secrets)
    tokens = secrets.pop(_TOKENS, "") or context.get(_TOKENS, "")
    persistent_volume = None if is_inline else _PERSISTENT_VOLUME.search(target)
    return PublishRequest(
        driver=driver,
        volume_id=request.volume_id,
        target=target,
        read_only=request.readonly or mode in _READER_MODES or flags.read_only,
        single_writer=mode == _Mode.SINGLE_NODE_SINGLE_WRITER,
        inline=is_inline,
        persistent_volume=persistent_volume[1] if persistent_volume else "",
        bucket=told.bucket,
        options=_normalised(options),
        templates=told.templates,
        fs_group=mount.volume_mount_group,
        source=told.source,
        role_arn=told.role_arn,
        sts_region=told.sts_region,
        region=str(options.get("region", "")),
        ca_certificates=told.ca_certificates,
        pod=_pod(context),
        service_account_tokens=tokens,
        secrets=secrets,
        notes=(*told.notes, *flags.notes, *_unused(told, secrets)),
    )


def checked_target(path: str) -> str:
    """A target path in its normal form, if it can be one. It need not be kubelet's kind. Raises InvalidArgument."""
    if not path:
        raise InvalidArgument("target path is missing")
    if not path.startswith("/") or "\0" in path or len(path.encode(errors="replace")) > PATH_BYTES_MAX:
        raise InvalidArgument(f"target path {shown(path)} must be absolute, and at most {PATH_BYTES_MAX} bytes long")
    if ".." in path.split("/"):
        raise InvalidArgument(f"target path {shown(path)} must not contain '..'")
    return str(PurePosixPath("/", *PurePosixPath(path).parts[1:]))


def checked_capability(
    capability: csi_pb2.VolumeCapability, *, is_given: bool
) -> tuple[csi_pb2.VolumeCapability.MountVolume, int]:
    """How the volume is to be mounted, and its access mode; all seven modes can be had. Raises InvalidArgument."""
    if not is_given:
        raise InvalidArgument("volume capability is missing")
    kind = capability.WhichOneof("access_type")
    if kind == "block":
        raise InvalidArgument("a bucket is no block device: volumeMode must be Filesystem")
    if kind is None:
        raise InvalidArgument("volume capability has no access type: only mount is supported")
    if capability.access_mode.mode not in _MODES:
        raise InvalidArgument("volume capability has no access mode that is known")
    return capability.mount, capability.access_mode.mode


def _options(told: Attributes, flags: Flags, group: int | None) -> dict[str, Any]:
    """All options together, as a [mount.NAME] table would have them. Raises InvalidArgument."""
    options = {**flags.options}
    for key, value in told.options.items():
        if key in options and options[key] != value:
            raise InvalidArgument(f"mount option --{key} and the volume attribute for it are not the same: keep one")
        options[key] = value
    if group is not None:
        # What pods of a group need, each unless the user has said otherwise, as their driver does it.
        if group > 0:
            options.setdefault("gid", group)
        options.setdefault("dir-mode", "770")
        options.setdefault("file-mode", "660")
        options["allow-other"] = True
    if "allow-other" in options and group is not None:
        options.pop("allow-root", None)  # who lets everybody in lets root in
    if told.memory_limit is not None and _MEMORY_TARGET not in options:
        options |= _memory_target(told.memory_limit)
    environment = {**told.environment, **flags.environment}
    if environment and HAS_ENVIRONMENT:
        options[ENVIRONMENT] = environment
    options["bucket"] = told.bucket
    return options


def _memory_target(limit: Decimal) -> dict[str, int]:
    """What a limit of a mount's memory leaves for data; nothing where it leaves more than an engine takes anyway."""
    field = MountSpec.model_fields["memory_target"]
    target = int(limit // MiB) - _ENGINE_MIB
    return {_MEMORY_TARGET: max(target, 16)} if target < field.default else {}


def _normalised(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options as they are told the supervisor: equal if they mean the same, as mounts are shared by them. Raises
    InvalidArgument if they make no mount.
    """
    known = fields(MountSpec)
    try:
        spec = MountSpec.model_validate({**options, "name": "volume", "mountpoint": "/volume"})
    except ValidationError as error:
        (first, *_) = error.errors(include_url=False)
        key = str(first["loc"][0]) if first["loc"] else ""
        told = reason(first, key, known[key]) if key in known else str(first["ctx"]["error"])
        raise InvalidArgument(f"{_where(key)}{told}" if key else told) from None
    plain = spec.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude={"name", "mountpoint"})
    return {key: f"{value:04o}" if takes_mode(known[key]) else value for key, value in plain.items()}


def _where(key: str) -> str:
    """What of a volume's definition an option comes from, for a sentence that begins with it."""
    names = {"bucket": attributes.BUCKET, "ca-bundle": "caBundle"} | {
        option: attribute for attribute, option in attributes.OPTIONS.items()
    }
    return f"volume attribute {names[key]}: " if key in ("bucket", "ca-bundle") else f"{names.get(key, key)}: "


def _group(text: str) -> int | None:
    if not text:
        return None
    if not re.fullmatch(r"[0-9]{1,10}", text) or int(text) > 2**32 - 2:
        raise InvalidArgument(f"fsGroup must be a group's number, not {shown(text)}")
    return int(text)


def _check_inline(options: Mapping[str, Any]) -> None:
    for key in _NOT_INLINE:
        if key in options:
            raise InvalidArgument(f"{key} can't be set by an inline volume: use a PersistentVolume, or a template")


def _pod(context: Mapping[str, str]) -> Pod | None:
    if not (name := context.get(f"{_POD}name", "")):
        return None
    return Pod(
        namespace=context.get(f"{_POD}namespace", ""),
        name=name,
        uid=context.get(f"{_POD}uid", ""),
        service_account=context.get(_SERVICE_ACCOUNT, ""),
    )


def _unused(told: Attributes, secrets: Mapping[str, str]) -> list[str]:
    if secrets and told.source is not Source.SECRET:
        return ['nodePublishSecretRef has no effect unless the volume attribute authenticationSource is "secret"']
    return []
