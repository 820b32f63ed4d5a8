"""Volumes that the controller makes: where each is, what its id says, and the record of it. Pure.

A volume is a prefix in a bucket, and a record of it that no volume shows: `<base>.mountctl/volumes/<token>.json` beside
the volumes' own prefixes, `<base>` being the StorageClass's. It is not inside of the volume, where users would see it,
copy it and delete it, and where they could write one that has other data deleted. All is derived from the request, so
that the same request makes the same volume, whoever is asked.

An id is where the record is, as a URL, for all that DeleteVolume is told is an id:
`s3://BUCKET/BASE/TOKEN`, or with another S3 than Amazon's its endpoint: `http://HOST:PORT/BUCKET/BASE/TOKEN`.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mountctl.csi.refusal import InvalidArgument
from mountctl.csi.storage_class import CLAIM_NAME, CLAIM_NAMESPACE, RESERVED, OnDelete, StorageClass, path_below

# S3's bound of a key, in bytes. A volume whose files' names must be short is of little use: a quarter is left for them.
_KEY_BYTES_MAX: Final = 1024
_PREFIX_BYTES_MAX: Final = _KEY_BYTES_MAX * 3 // 4
# Kubernetes names volumes `pvc-` and a UID, 40 characters. What is longer or stranger is hashed: ids stay below CSI's
# 128 bytes with any but very long prefixes.
_PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
# SHA-256 cut to 160 bits: none has ever found two texts with the same, and the record has the name in full.
_HASH_CHARS: Final = 40
_AMAZON: Final = "s3"


@dataclass(frozen=True)
class Place:
    """Where a volume's record is, and how that S3 is reached: what an id says."""

    bucket: str
    base: str
    token: str
    endpoint_url: str | None = None
    region: str | None = None
    path_style: bool | None = None

    @property
    def record_key(self) -> str:
        """The record's key in the bucket."""
        return f"{self.base}{RESERVED}/volumes/{self.token}.json"

    @property
    def volume_id(self) -> str:
        """CSI's volume_id."""
        start = f"{_AMAZON}://" if self.endpoint_url is None else f"{self.endpoint_url}/"
        query: dict[str, str] = {}
        if self.region is not None:
            query["region"] = self.region
        if self.path_style is not None:
            query["pathStyle"] = _truth(self.path_style)
        path = f"{quote(self.bucket, safe=':')}/{quote(self.base)}{self.token}"
        return f"{start}{path}?{urlencode(query)}" if query else f"{start}{path}"


class State(StrEnum):
    """What has become of a volume."""

    BOUND = "bound"  # it is there
    DELETING = "deleting"  # its objects are being deleted
    RELEASED = "released"  # it is no volume any more; its data was kept


class Record(BaseModel):
    """What is written down of a volume, as JSON. Keys are added freely and never renamed; no secret is in it.

    It has nothing that differs from one request to the same other: no time, no writer.
    """

    model_config = ConfigDict(frozen=True)

    about: str = Field(
        "a volume made by mountctl's CSI driver; what it says decides what DeleteVolume deletes",
        description="for whoever finds it",
    )
    version: Literal[1] = 1
    driver: str = Field(description="the driver's name when the volume was made")
    name: str = Field(description="of the request: the PersistentVolume's")
    state: State = State.BOUND
    bucket: str
    prefix: str = Field(description="the volume: all keys below this, which ends in '/'")
    capacity_bytes: int = Field(0, description="as asked for, in bytes; S3 enforces none. 0: none was asked for")
    base: str = Field(description="the StorageClass's prefix")
    pattern: str = Field(description="the StorageClass's pathPattern")
    claim_namespace: str = ""
    claim_name: str = ""
    on_delete: OnDelete
    attributes: dict[str, str] = Field(description="what the node is told: the PersistentVolume's volumeAttributes")

    def text(self) -> bytes:
        """As it is stored."""
        return self.model_dump_json(indent=1).encode() + b"\n"


@dataclass(frozen=True)
class Capacity:
    """What is asked of a volume's size, in bytes. `limit` 0: none."""

    required: int = 0
    limit: int = 0

    @property
    def recorded(self) -> int:
        """What a new volume is said to have."""
        return self.required or self.limit

    def has_room_for(self, size: int) -> bool:
        """Whether a volume of this size is what is asked for."""
        return size >= self.required and (self.limit == 0 or size <= self.limit)


def place_of(of: StorageClass, name: str) -> Place:
    """Where the record of a volume with this name is."""
    return Place(of.bucket, of.prefix, token(name), of.endpoint_url, of.region, of.path_style)


def record_of(of: StorageClass, name: str, size: Capacity, parameters: Mapping[str, str], driver: str) -> Record:
    """What a new volume is. Raises InvalidArgument."""
    namespace, claim = parameters.get(CLAIM_NAMESPACE, ""), parameters.get(CLAIM_NAME, "")
    prefix = _prefix(of.prefix, of.pattern, name, namespace, claim)
    if len(prefix.encode()) > _PREFIX_BYTES_MAX:
        raise InvalidArgument(
            f"the volume's prefix would have {len(prefix.encode())} bytes: S3's keys have {_KEY_BYTES_MAX} at most, so "
            f"that {_PREFIX_BYTES_MAX} is the limit here: choose a shorter prefix or pathPattern"
        )
    return Record(
        driver=driver,
        name=name,
        bucket=of.bucket,
        prefix=prefix,
        capacity_bytes=size.recorded,
        base=of.prefix,
        pattern=of.pattern,
        claim_namespace=namespace,
        claim_name=claim,
        on_delete=of.on_delete,
        attributes=_attributes(of, prefix),
    )


def token(name: str) -> str:
    """What stands for a volume's name in keys and ids."""
    if _PLAIN_NAME.fullmatch(name):
        return name
    return f"~{hashlib.sha256(name.encode()).hexdigest()[:_HASH_CHARS]}"


def parse_id(volume_id: str) -> Place | None:
    """What an id of ours says; None: it is none."""
    try:
        url = urlsplit(volume_id)
        query = dict(parse_qsl(url.query, strict_parsing=True)) if url.query else {}
    except ValueError:
        return None
    amazon = url.scheme == _AMAZON
    path = (f"/{url.netloc}{url.path}" if amazon else url.path).split("/")
    if len(path) < 3 or path[0]:
        return None
    place = Place(
        bucket=unquote(path[1]),
        base="".join(f"{unquote(part)}/" for part in path[2:-1]),
        token=path[-1],
        endpoint_url=None if amazon else f"{url.scheme}://{url.netloc}",
        region=query.get("region"),
        path_style=query["pathStyle"] == "true" if "pathStyle" in query else None,
    )
    # What we would not have written ourselves is another's.
    return place if place.volume_id == volume_id and url.scheme in (_AMAZON, "http", "https") else None


def parse_record(text: bytes, place: Place) -> Record | None:
    """A record that was found at a place; None: it is none of ours, or not of this place.

    It is believed only if all that it says fits together, for it says what may be deleted.
    """
    try:
        record = Record.model_validate_json(text)
        prefix = _prefix(record.base, record.pattern, record.name, record.claim_namespace, record.claim_name)
    except (ValidationError, InvalidArgument):
        return None
    fits = (
        record.bucket == place.bucket
        and record.base == place.base
        and token(record.name) == place.token
        and record.prefix == prefix
    )
    return record if fits else None


def differs(there: Record, asked: Record) -> str | None:
    """What keeps the volume that is there from being the one that is asked for, but for its size; None: it is."""
    kept = ("name", "prefix", "pattern", "on_delete", "attributes")
    different = [key for key in kept if getattr(there, key) != getattr(asked, key)]
    if not different:
        return None
    if different == ["attributes"]:
        keys = there.attributes.keys() | asked.attributes.keys()
        different = sorted(key for key in keys if there.attributes.get(key) != asked.attributes.get(key))
    words = {"on_delete": "onDelete", "pattern": "pathPattern"}
    return ", ".join(words.get(key, key) for key in different)


def _prefix(base: str, pattern: str, name: str, namespace: str, claim: str) -> str:
    names = {CLAIM_NAMESPACE: namespace, CLAIM_NAME: claim}
    return f"{base}{path_below(pattern, token(name), names)}/"


def _attributes(of: StorageClass, prefix: str) -> dict[str, str]:
    """The volume_context: exactly what NodePublishVolume needs."""
    attributes = {"bucketName": of.bucket, "prefix": prefix}
    if of.endpoint_url is not None:
        attributes["endpointUrl"] = of.endpoint_url
    if of.region is not None:
        attributes["region"] = of.region
    if of.path_style is not None:
        attributes["pathStyle"] = _truth(of.path_style)
    return attributes | dict(of.passed_on)


def _truth(value: bool) -> str:  # noqa: FBT001
    return "true" if value else "false"
