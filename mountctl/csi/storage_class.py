"""A StorageClass's parameters: which there are, and what they may say. Pure.

external-provisioner sends them with CreateVolume; those with `csi.storage.k8s.io/` in front it adds itself
(`--extra-create-metadata`). Some say where volumes are and what becomes of them (SETTINGS); the others (PASSED_ON) are
volume attributes of every PersistentVolume, for the node. Used by provisioned.py.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from pydantic import ValidationError

from engine.spec import MountSpec
from mountctl.config.words import did_you_mean, fields, one_line, reason, shown
from mountctl.csi import attributes
from mountctl.csi.refusal import InvalidArgument

# Below a StorageClass's prefix, and no volume's: where the records of its volumes are.
RESERVED: Final = ".mountctl"

KUBERNETES: Final = "csi.storage.k8s.io/"
CLAIM_NAME: Final = f"{KUBERNETES}pvc/name"
CLAIM_NAMESPACE: Final = f"{KUBERNETES}pvc/namespace"

# Where volumes are, how S3 is reached, and what becomes of them.
SETTINGS: Final = (
    "bucketName",
    "prefix",
    "pathPattern",
    "region",
    "endpointUrl",
    "pathStyle",
    "onDelete",
    "createBucket",
)
# Volume attributes that every volume gets as they are given here. (Mount options have a place in the StorageClass.)
PASSED_ON: Final = tuple(key for key in attributes.KNOWN if key not in (*SETTINGS, attributes.MOUNT_OPTIONS))
KNOWN: Final = (*SETTINGS, *PASSED_ON)

# People look for these words; the option has another name, or another place.
_ELSEWHERE: Final = {
    attributes.MOUNT_OPTIONS: "not a parameter: mountOptions is a field of the StorageClass itself, beside parameters",
    "bucket": "unknown parameter: did you mean bucketName?",
    "endpoint": "unknown parameter: did you mean endpointUrl?",
    "reclaimPolicy": "not a parameter: reclaimPolicy is a field of the StorageClass itself; what becomes of the data "
    "of a volume that is deleted is said by onDelete",
}

PV_NAME: Final = "PV.name"
# What may stand in a pathPattern, and the parameter that external-provisioner says it with; None: the request's name.
_VARIABLES: Final[Mapping[str, str | None]] = {
    PV_NAME: None,
    "PVC.namespace": CLAIM_NAMESPACE,
    "PVC.name": CLAIM_NAME,
}
DEFAULT_PATTERN: Final = "${.PV.name}"
_VARIABLE: Final = re.compile(r"\$\{\.?([^}]*)\}")

# The options of a mount that say the same, for one judgement of what is right.
_OPTIONS: Final = {"bucketName": "bucket", "prefix": "prefix", "region": "region", "endpointUrl": "endpoint-url"}


class OnDelete(StrEnum):
    """What becomes of a volume's objects when its PersistentVolume is deleted."""

    RETAIN = "retain"
    DELETE = "delete"


@dataclass(frozen=True)
class StorageClass:
    """Parameters that are right.

    Args:
        bucket: where all its volumes are.
        prefix: below which they are; empty, or ends in "/".
        pattern: of a volume's path below that.
        region: of the bucket, if it is said.
        endpoint_url: of another S3 than Amazon's.
        path_style: whether the bucket is addressed in the path; None: not said.
        on_delete: what becomes of the data.
        create_bucket: whether a missing bucket is made.
        passed_on: volume attributes for the node, as they were given.
    """

    bucket: str
    prefix: str = ""
    pattern: str = DEFAULT_PATTERN
    region: str | None = None
    endpoint_url: str | None = None
    path_style: bool | None = None
    on_delete: OnDelete = OnDelete.RETAIN
    create_bucket: bool = False
    passed_on: Mapping[str, str] = field(default_factory=dict)


def storage_class(parameters: Mapping[str, str]) -> StorageClass:
    """Read a StorageClass's parameters. Raises InvalidArgument, which tells all that is wrong."""
    given = {key: value for key, value in parameters.items() if not key.startswith(KUBERNETES)}
    wrong = [f"{one_line(key)}: {_unknown(key)}" for key in sorted(given) if key not in KNOWN]
    if not given.get("bucketName"):
        wrong.append("bucketName: missing: it says in which bucket volumes are made")
    wrong += _wrong_options(given)
    wrong += [f"{key}: {told}" for key in ("pathStyle", "createBucket") if (told := _wrong_truth(given.get(key)))]
    on_delete = given.get("onDelete", OnDelete.RETAIN)
    if on_delete not in tuple(OnDelete):
        wrong.append(f'onDelete: must be "retain" or "delete", not {shown(on_delete)}')
    pattern = given.get("pathPattern", DEFAULT_PATTERN)
    if told := _wrong_pattern(pattern, deletes=on_delete == OnDelete.DELETE):
        wrong.append(f"pathPattern: {told}")
    passed_on = {key: given[key] for key in PASSED_ON if key in given}
    if told := _wrong_attributes(passed_on):
        wrong.append(told)
    if wrong:
        raise InvalidArgument(f"the StorageClass's parameters are wrong: {'; '.join(wrong)}")
    return StorageClass(
        bucket=given["bucketName"],
        prefix=given.get("prefix", ""),
        pattern=pattern,
        region=given.get("region"),
        endpoint_url=given["endpointUrl"].rstrip("/") if "endpointUrl" in given else None,
        path_style=given["pathStyle"] == "true" if "pathStyle" in given else None,
        on_delete=OnDelete(on_delete),
        create_bucket=given.get("createBucket") == "true",
        passed_on=passed_on,
    )


def path_below(pattern: str, name: str, claim: Mapping[str, str]) -> str:
    """A pattern filled in: a volume's path below the StorageClass's prefix, without a slash at its ends.

    Args:
        pattern: as in StorageClass.
        name: what stands for the PersistentVolume's name.
        claim: the request's parameters, for those of them that name the claim.

    Raises InvalidArgument if the claim's name was not sent, or is none that a path can have.
    """

    def value(match: re.Match[str]) -> str:
        parameter = _VARIABLES[match.group(1)]
        if parameter is None:
            return name
        if not claim.get(parameter):
            raise InvalidArgument(
                f"pathPattern has {match.group()}, and {parameter} was not sent: run external-provisioner with "
                "--extra-create-metadata"
            )
        return claim[parameter]

    path = _VARIABLE.sub(value, pattern)
    if told := _wrong_path(path):
        raise InvalidArgument(f"pathPattern makes {shown(path)} of this claim, which {told}")
    return path


def _unknown(key: str) -> str:
    return _ELSEWHERE.get(key) or f"unknown parameter{did_you_mean(key, KNOWN)}"


def _wrong_options(given: Mapping[str, str]) -> list[str]:
    """What a mount would say of the bucket, the prefix, the region and the endpoint."""
    options = {_OPTIONS[key]: value for key, value in given.items() if key in _OPTIONS and (value or key == "prefix")}
    wrong = [f"{key}: must not be empty" for key in ("region", "endpointUrl") if given.get(key) == ""]
    parameter = {option: key for key, option in _OPTIONS.items()}
    try:
        MountSpec.model_validate({"name": "volume", "bucket": "bucket", "mountpoint": "/volume"} | options)
    except ValidationError as errors:
        for error in errors.errors():
            option = str(error["loc"][0]) if error["loc"] else ""
            if option not in parameter:
                wrong.append(one_line(str(error["msg"])))
                continue
            wrong.append(f"{parameter[option]}: {one_line(reason(error, option, fields(MountSpec)[option]))}")
    if told := _wrong_components(given.get("prefix", "").split("/")[:-1]):
        wrong.append(f"prefix: {told}")
    return wrong


def _wrong_attributes(passed_on: Mapping[str, str]) -> str | None:
    """What a node would say of the volume attributes, when a pod has come."""
    try:
        attributes.parse({attributes.BUCKET: "bucket", **passed_on})
    except InvalidArgument as refused:
        return str(refused).removeprefix("volume attribute ")
    return None


def _wrong_truth(value: str | None) -> str | None:
    return None if value in (None, "true", "false") else f'must be "true" or "false", not {shown(value)}'


def _wrong_pattern(pattern: str, *, deletes: bool) -> str | None:
    for match in _VARIABLE.finditer(pattern):
        if match.group(1) not in _VARIABLES:
            names = ", ".join(f"${{.{name}}}" for name in _VARIABLES)
            return f"{one_line(match.group())} is unknown: there are {names}"
    if told := _wrong_path(_VARIABLE.sub("x", pattern)):
        return told
    if deletes and PV_NAME not in _VARIABLE.findall(pattern.rpartition("/")[2]):
        # Two claims of one name, one after the other, would share a prefix, and so what the first leaves to delete.
        return "with onDelete: delete its last part must have ${.PV.name} in it, so that no two volumes share a prefix"
    return None


def _wrong_path(path: str) -> str | None:
    """Why this is no path for a volume, as what it does wrong."""
    return "is empty" if not path else _wrong_components(path.split("/"))


def _wrong_components(parts: list[str]) -> str | None:
    if "" in parts:
        return "must not begin or end with '/', nor have '//' in it"
    if any(part in (".", "..") for part in parts):
        return "must not have '.' or '..' as a part"
    if RESERVED in parts:
        return f"must not have {RESERVED} as a part: records of volumes are kept there"
    if any(not character.isprintable() for part in parts for character in part):
        return "must not have control characters"
    if "${" in "".join(parts):
        return "must have only closed ${...}"
    return None
