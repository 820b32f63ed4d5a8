"""A PersistentVolume's mountOptions, as Mountpoint's CSI driver takes them, to options of a mount. Pure.

Each item is one option: `key value`, `key=value`, `--key value` or `--key=value`; what comes first, a space or a `=`,
ends the key, so that a value may have either. Dashes are added where there are none.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Final

from engine.spec import MiB, MountSpec
from mountctl.config.model import UNSUPPORTED_MOUNT_OPTIONS
from mountctl.config.words import did_you_mean, fields, shown, takes_number, takes_truth
from mountctl.csi.refusal import InvalidArgument

_DASHES: Final = "--"
# The fields of MountSpec that are options of mount-s3 too.
_FIELDS: Final = MappingProxyType(
    {
        key: info
        for key, info in fields(MountSpec).items()
        if key not in ("name", "bucket", "mountpoint", "environment", "ca-bundle")
    }
)
_SHORT: Final = MappingProxyType({"-d": "debug", "-l": "log-directory"})
# Their driver drops these without a word.
_DROPPED: Final = frozenset({"--foreground", "-f", "--help", "-h", "--version", "-v"})
_REFUSED: Final = MappingProxyType(
    {
        "-o": "is not supported in a CSI driver: each item of mountOptions is an option of its own",
        "--ca-bundle": "is not supported in a CSI driver: use the volume attribute caBundle",
    }
)
_ATTEMPTS, _ATTEMPTS_VARIABLE = "aws-max-attempts", "AWS_MAX_ATTEMPTS"
# The SDK's own bound of a retry counter; nobody waits for as many.
_ATTEMPTS_MAX: Final = 1000
_CACHE_SIZE: Final = "max-cache-size"
# Known to mount-s3, and of no consequence for what programs see; each takes a value.
_NO_CACHE: Final = "has no effect: what was read is kept by the kernel, not on a disk"
_NO_PUSH: Final = "has no effect: nothing is pushed; metrics are there to be asked for"
_NO_EFFECT: Final = MappingProxyType(
    dict.fromkeys(("cache", "cache-xz", _CACHE_SIZE, "cache-block-size"), _NO_CACHE)
    | dict.fromkeys(("otlp-endpoint", "otlp-export-interval"), _NO_PUSH)
)
_KNOWN: Final = (*_FIELDS, *_NO_EFFECT, _ATTEMPTS)
_READ_ONLY: Final = "read-only"
# Nobody's number; root, whom all files have by default.
_ROOT: Final = re.compile(r"0+")


@dataclass(frozen=True)
class Flags:
    """What mountOptions say.

    Args:
        options: of the mount, by their keys, as a [mount.NAME] table has them.
        read_only: programs may not write, at this target.
        environment: variables of the mount.
        notes: sentences about what has no effect.
    """

    options: Mapping[str, Any] = field(default_factory=dict)
    read_only: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def split(item: str) -> tuple[str, str | None]:
    """The key, with dashes in front, and the value of an item; None if it has no value."""
    whole = item.strip()
    found = re.fullmatch(r"([^ =]*)[ =](.*)", whole, re.DOTALL)
    key, value = (found[1], found[2].strip(" ")) if found else (whole, None)
    return key if key.startswith("-") else f"{_DASHES}{key}", value


def parse(items: Iterable[str], *, has_cache: bool = False, cache_size_limit: Decimal | None = None) -> Flags:
    """What the items ask for. Raises InvalidArgument.

    Args:
        items: mountOptions.
        has_cache: a volume attribute asks for a cache as well.
        cache_size_limit: what that attribute allows, in bytes.
    """
    found: dict[str, Any] = {}
    texts: dict[str, str | None] = {}
    notes: list[str] = []
    environment: dict[str, str] = {}
    for item in items:
        dashed, value = split(item)
        if dashed == _DASHES or dashed in _DROPPED:
            continue
        key = _key(dashed, item)
        repeatable = key in _FIELDS and isinstance(_FIELDS[key].default, tuple)
        if key in texts and texts[key] != value and not repeatable:
            raise InvalidArgument(f"mount option {_DASHES}{key} is given twice, with different values: keep one")
        texts[key] = value
        if key in _NO_EFFECT:
            _check_no_effect(key, value, has_cache=has_cache, cache_size_limit=cache_size_limit)
            notes.append(f"mount option {_DASHES}{key} {_NO_EFFECT[key]}")
        elif key == _ATTEMPTS:
            environment[_ATTEMPTS_VARIABLE] = _attempts(value)
        elif repeatable:
            # Sorted in the end, and none twice: as theirs, which has them as a set.
            found[key] = sorted({*found.get(key, ()), _needed(key, value)})
        elif not _is_root(key, value):
            found[key] = _value(key, value)
    read_only = bool(found.pop(_READ_ONLY, False))
    return Flags(found, read_only, environment, tuple(dict.fromkeys(notes)))


def _key(dashed: str, item: str) -> str:
    """The option's key in a table. Raises InvalidArgument for one that is none."""
    if dashed in _REFUSED or dashed.startswith("-o"):
        raise InvalidArgument(f"mount option {shown(item)} {_REFUSED.get(dashed, _REFUSED['-o'])}")
    key = _SHORT.get(dashed, dashed.removeprefix(_DASHES))
    if key in _KNOWN:
        return key
    if key in UNSUPPORTED_MOUNT_OPTIONS:
        raise InvalidArgument(f"mount option {_DASHES}{key} is {UNSUPPORTED_MOUNT_OPTIONS[key]}")
    if key in ("ro", "rw"):
        raise InvalidArgument(f"unknown mount option {shown(dashed)}: write read-only, or nothing")
    hint = did_you_mean(key, _KNOWN).replace("mean ", f"mean {_DASHES}")
    raise InvalidArgument(f"unknown mount option {shown(dashed)}{hint}")


def _value(key: str, value: str | None) -> Any:
    if takes_truth(_FIELDS[key]):
        if value is not None:
            raise InvalidArgument(f"mount option {_DASHES}{key} takes no value: write {key}")
        return True
    text = _needed(key, value)
    return int(text) if takes_number(_FIELDS[key]) and re.fullmatch(r"-?[0-9]{1,18}", text) else text


def _needed(key: str, value: str | None) -> str:
    if value is None or (value == "" and key != "prefix"):
        raise InvalidArgument(f"mount option {_DASHES}{key} needs a value: write {key}=VALUE")
    return value


def _is_root(key: str, value: str | None) -> bool:
    """Root is the owner without the option, which takes nobody of the number 0."""
    return key in ("uid", "gid") and value is not None and _ROOT.fullmatch(value) is not None


def _attempts(value: str | None) -> str:
    if not re.fullmatch(r"[0-9]{1,4}", _needed(_ATTEMPTS, value)) or not 1 <= int(value or 0) <= _ATTEMPTS_MAX:
        raise InvalidArgument(f"mount option {_DASHES}{_ATTEMPTS} must be a number from 1 to {_ATTEMPTS_MAX}")
    return str(int(value or 0))


def _check_no_effect(key: str, value: str | None, *, has_cache: bool, cache_size_limit: Decimal | None) -> None:
    text = _needed(key, value)
    if key == "cache" and has_cache:
        raise InvalidArgument("mount option --cache conflicts with the volume attribute cache: keep one")
    if key != _CACHE_SIZE:
        return
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise InvalidArgument(f"mount option {_DASHES}{key} must be a number of MiB, not {shown(text)}")
    if cache_size_limit is not None and int(text) * MiB > cache_size_limit:
        raise InvalidArgument(
            f"mount option {_DASHES}{key} of {text} MiB is more than the volume attribute cacheEmptyDirSizeLimit allows"
        )
