"""A volume's attributes, of a PersistentVolume or of an inline volume, by what they mean. Pure.

All those of the Mountpoint for Amazon S3 CSI driver are understood, and ours beside them. Those that are about its pods
and its cache on disk, which are not here, are checked as it does, and told of.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Final

from mountctl.config import fstab
from mountctl.config.words import did_you_mean, shown
from mountctl.csi import quantity
from mountctl.csi.publish_request import Source
from mountctl.csi.refusal import InvalidArgument

BUCKET: Final = "bucketName"
MOUNT_OPTIONS: Final = "mountOptions"
MEMORY_LIMIT: Final = "mountpointContainerResourcesLimitsMemory"
CACHE: Final = "cache"
CACHE_SIZE_LIMIT: Final = "cacheEmptyDirSizeLimit"
_ENVIRONMENT: Final = "mountpointEnv."
_ENVIRONMENT_NAMES: Final = ("HTTPS_PROXY", "NO_PROXY")
_EMPTY_DIR, _EPHEMERAL = "emptyDir", "ephemeral"
_EPHEMERAL_NEEDS: Final = ("cacheEphemeralStorageClassName", "cacheEphemeralStorageResourceRequest")

# What is put among the attributes by others: kubelet's csi.storage.k8s.io/..., the provisioner's
# storage.kubernetes.io/csiProvisionerIdentity. Newer ones may come.
_OTHERS_DOMAINS: Final = ("k8s.io", "kubernetes.io")

# The attributes that are options of the mount.
OPTIONS: Final = MappingProxyType({"prefix": "prefix", "endpointUrl": "endpoint-url", "region": "region"})
_CERTIFICATES: Final = "-----BEGIN "

_NO_CACHE: Final = "has no effect: what was read is kept by the kernel, not on a disk"
_NO_POD: Final = "has no effect: mounts have no pods of their own"
_RESOURCES: Final = "mountpointContainerResources"
_NO_EFFECT: Final = MappingProxyType(
    dict.fromkeys((CACHE, CACHE_SIZE_LIMIT, "cacheEmptyDirMedium", *_EPHEMERAL_NEEDS), _NO_CACHE)
    | dict.fromkeys((f"{_RESOURCES}RequestsCpu", f"{_RESOURCES}RequestsMemory", f"{_RESOURCES}LimitsCpu"), _NO_POD)
    | {"mountpointPodServiceAccountName": _NO_POD}
)

KNOWN: Final = (
    BUCKET,
    "authenticationSource",
    "stsRegion",
    *OPTIONS,
    "pathStyle",
    "caBundle",
    "roleArn",
    "profile",
    MOUNT_OPTIONS,
    *_NO_EFFECT,
    MEMORY_LIMIT,
    *(f"{_ENVIRONMENT}{name}" for name in _ENVIRONMENT_NAMES),
)


@dataclass(frozen=True)
class Attributes:
    """What attributes say.

    Args:
        bucket: the bucket; it need not be a right name.
        source: whose credentials.
        options: of the mount by their keys, each with the attribute that it comes from.
        environment: variables of the mount.
        mount_options: what the attribute of this name has, each as an item of a PersistentVolume's list.
        templates: the names of [template.NAME] tables.
        sts_region: where STS is asked; empty: not said.
        role_arn: the role to take on; empty: not said.
        ca_certificates: PEM text; empty: none, or a file's path is among the options.
        memory_limit: bytes that a mount may have, for what is read and written and for all else; None: not said.
        cache_size_limit: bytes of a cache that is not there, for what is checked against it.
        has_cache: a cache was asked for.
        notes: sentences about what has no effect.
    """

    bucket: str
    source: Source = Source.DRIVER
    options: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    mount_options: tuple[str, ...] = ()
    templates: tuple[str, ...] = ()
    sts_region: str = ""
    role_arn: str = ""
    ca_certificates: str = ""
    memory_limit: Decimal | None = None
    cache_size_limit: Decimal | None = None
    has_cache: bool = False
    notes: tuple[str, ...] = ()


def parse(context: Mapping[str, str]) -> Attributes:
    """What a volume's context says, kubelet's own keys left out. Raises InvalidArgument."""
    own = {key: value for key, value in context.items() if not _of_others(key)}
    if BUCKET not in own:
        unknown = next((key for key in own if key not in KNOWN), "")
        hint = f" (there is {unknown}{did_you_mean(unknown, (BUCKET,))})" if did_you_mean(unknown, (BUCKET,)) else ""
        raise InvalidArgument(f"volume attribute {BUCKET} is missing: it names the bucket{hint}")
    for key in own:
        _check_known(key)
    options: dict[str, Any] = {
        OPTIONS[key]: value for key, value in own.items() if key in OPTIONS and (value or key == "prefix")
    }
    if _truth(own, "pathStyle"):
        options["force-path-style"] = True
    certificates = own.get("caBundle", "")
    if certificates and not certificates.lstrip().startswith(_CERTIFICATES):
        options["ca-bundle"], certificates = certificates, ""
    _check_no_effect(own)
    return Attributes(
        bucket=own[BUCKET],
        source=_choice(own, "authenticationSource", [*Source], Source.DRIVER),
        options=options,
        environment={
            key.removeprefix(_ENVIRONMENT): value for key, value in own.items() if key.startswith(_ENVIRONMENT)
        },
        mount_options=_mount_options(own.get(MOUNT_OPTIONS, "")),
        templates=(own["profile"],) if own.get("profile") else (),
        sts_region=own.get("stsRegion", ""),
        role_arn=own.get("roleArn", ""),
        ca_certificates=certificates,
        memory_limit=_amount(own, MEMORY_LIMIT),
        cache_size_limit=_amount(own, CACHE_SIZE_LIMIT),
        has_cache=CACHE in own,
        notes=tuple(f"volume attribute {key} {why}" for key, why in _NO_EFFECT.items() if key in own),
    )


def _of_others(key: str) -> bool:
    domain, slash, _ = key.partition("/")
    return bool(slash) and any(domain == each or domain.endswith(f".{each}") for each in _OTHERS_DOMAINS)


def _check_known(key: str) -> None:
    if key in KNOWN:
        return
    if key.startswith(_ENVIRONMENT):
        names = " and ".join(f"{_ENVIRONMENT}{name}" for name in _ENVIRONMENT_NAMES)
        raise InvalidArgument(f"volume attribute {shown(key)} can't be set: only {names} can")
    raise InvalidArgument(f"unknown volume attribute {shown(key)}{did_you_mean(key, KNOWN)}")


def _choice(own: Mapping[str, str], key: str, choices: list[Source], default: Source) -> Source:
    if not (value := own.get(key, "")):
        return default
    for choice in choices:
        if value == choice.value:
            return choice
    words = tuple(choice.value for choice in choices)
    raise InvalidArgument(
        f"volume attribute {key} must be {', '.join(words[:-1])} or {words[-1]}, not {shown(value)}"
        f"{did_you_mean(value, words)}"
    )


def _truth(own: Mapping[str, str], key: str) -> bool:
    value = own.get(key, "")
    if value not in ("", "true", "false"):
        raise InvalidArgument(f'volume attribute {key} must be "true" or "false", not {shown(value)}')
    return value == "true"


def _amount(own: Mapping[str, str], key: str) -> Decimal | None:
    if not own.get(key):
        return None
    try:
        return quantity.parse(own[key])
    except quantity.NoQuantity as error:
        raise InvalidArgument(f"volume attribute {key} {error}, not {shown(own[key])}") from error


def _mount_options(text: str) -> tuple[str, ...]:
    """Commas or line ends between them; a comma in a value is written as a backslash and a comma."""
    try:
        return tuple(word.strip() for word in fstab.split(text.replace("\n", ",")) if word.strip())
    except fstab.FstabError as error:
        raise InvalidArgument(f"volume attribute {MOUNT_OPTIONS}: {error}") from error


def _check_no_effect(own: Mapping[str, str]) -> None:
    """As their driver does it, so that what is refused there is refused here."""
    kind = own.get(CACHE, _EMPTY_DIR)
    if kind not in (_EMPTY_DIR, _EPHEMERAL):
        raise InvalidArgument(
            f"volume attribute {CACHE} must be {_EMPTY_DIR} or {_EPHEMERAL}, not {shown(kind)}"
            f"{did_you_mean(kind, (_EMPTY_DIR, _EPHEMERAL))}"
        )
    if (medium := own.get("cacheEmptyDirMedium", "")) not in ("", "Memory"):
        raise InvalidArgument(f"volume attribute cacheEmptyDirMedium must be Memory or empty, not {shown(medium)}")
    lacking = [key for key in _EPHEMERAL_NEEDS if not own.get(key)]
    if kind == _EPHEMERAL and lacking:
        raise InvalidArgument(f"volume attribute {CACHE} {_EPHEMERAL} needs {' and '.join(lacking)}")
    for key in (_EPHEMERAL_NEEDS[1], *(name for name in _NO_EFFECT if name.startswith(_RESOURCES))):
        _amount(own, key)
