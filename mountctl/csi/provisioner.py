"""Makes volumes at S3 and deletes them: CreateVolume and DeleteVolume without their gRPC.

What a volume is, and what its record says, is decided in provisioned.py. Every call may be repeated, or be made by two
controllers at once: a record is written only if none is there, and changed only if it is the one that was read. (To
servers that know no conditional writes it is written without; then it is the leader election of Kubernetes that keeps
two controllers apart.)
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from grpc import StatusCode

from mountctl.csi import s3_records
from mountctl.csi.provisioned import (
    Capacity,
    Place,
    Record,
    State,
    differs,
    parse_id,
    place_of,
    record_of,
)
from mountctl.csi.refusal import Refusal
from mountctl.csi.s3_clients import Clients, asking
from mountctl.csi.s3_records import Found
from mountctl.csi.s3_refusals import S3Said
from mountctl.csi.s3_removal import remove_below
from mountctl.csi.storage_class import OnDelete, StorageClass, storage_class

# Each further one is for another controller that has written in between.
_ATTEMPTS: Final = 4


class Provisioner:
    """Volumes as prefixes of buckets.

    Args:
        driver: its name, for records.
        secret_directory: of a mounted Secret with the driver's own keys.
    """

    def __init__(self, driver: str, secret_directory: Path | None = None) -> None:
        self._driver = driver
        self._clients = Clients(secret_directory)

    def create(
        self, name: str, size: Capacity, parameters: Mapping[str, str], secrets: Mapping[str, str]
    ) -> tuple[str, Record]:
        """Make a volume, or find that it is there. Returns its id and its record.

        Args:
            name: of the request: the same one is the same volume.
            size: as asked for.
            parameters: of the StorageClass, and what external-provisioner adds.
            secrets: provisioner secret; empty: the controller's own credentials.

        Raises Refusal: ALREADY_EXISTS if it is there and otherwise.
        """
        of = storage_class(parameters)
        place, asked = place_of(of, name), record_of(of, name, size, parameters, self._driver)
        with self._clients.client(place, secrets) as s3:
            for _ in range(_ATTEMPTS):
                found = self._look(s3, place, of)
                if found is not None and (there := _same(found, asked, size, place)) is not None:
                    return place.volume_id, there
                if s3_records.write(s3, place, asked, over=found):
                    return place.volume_id, asked
        raise _overtaken(place)

    def delete(self, volume_id: str, secrets: Mapping[str, str], more: Callable[[], bool]) -> None:
        """Delete a volume, as its record says: keep its data, or delete that too. One that is not there is deleted.

        Args:
            volume_id: of create.
            secrets: as for create.
            more: whether there is time to delete more objects.

        Raises Refusal: ABORTED if not all is deleted yet.
        """
        if (place := parse_id(volume_id)) is None:
            return
        with self._clients.client(place, secrets) as s3:
            found = self._find(s3, place)
            if found is None:
                return
            record = _ours(found, place)
            if record.state is State.RELEASED:
                return
            if record.on_delete is OnDelete.RETAIN:
                _change(s3, place, found, record.model_copy(update={"state": State.RELEASED}))
                return
            if record.state is not State.DELETING:
                _change(s3, place, found, record.model_copy(update={"state": State.DELETING}))
            remove_below(s3, record.bucket, record.prefix, more)
            s3_records.remove(s3, place)

    def look_up(self, volume_id: str, secrets: Mapping[str, str]) -> Record:
        """A volume's record. Raises Refusal: NOT_FOUND if there is no such volume."""
        _, _, record = self._there(volume_id, secrets)
        return record

    def expand(self, volume_id: str, size: Capacity, secrets: Mapping[str, str]) -> int:
        """Record that a volume has more room, which S3 has anyway. Returns what it has. Never less than before.

        Raises Refusal: NOT_FOUND if there is no such volume, OUT_OF_RANGE if it is larger than the limit.
        """
        place, found, record = self._there(volume_id, secrets)
        larger = max(record.capacity_bytes, size.recorded)
        if not size.has_room_for(larger):
            raise Refusal(
                StatusCode.OUT_OF_RANGE,
                f"the volume has {record.capacity_bytes} bytes, more than the limit of {size.limit}: it can't shrink",
            )
        if larger > record.capacity_bytes:
            with self._clients.client(place, secrets) as s3:
                _change(s3, place, found, record.model_copy(update={"capacity_bytes": larger}))
        return larger

    def _there(self, volume_id: str, secrets: Mapping[str, str]) -> tuple[Place, Found, Record]:
        place, found = parse_id(volume_id), None
        if place is not None:
            with self._clients.client(place, secrets) as s3:
                found = self._find(s3, place)
        if place is None or found is None or (record := _ours(found, place)).state is not State.BOUND:
            raise Refusal(StatusCode.NOT_FOUND, "there is no volume with this id, or it was not made by this driver")
        return place, found, record

    def _look(self, s3: Any, place: Place, of: StorageClass) -> Found | None:
        """What is at a place, whose bucket is made if that is wanted."""
        try:
            return s3_records.read(s3, place)
        except S3Said as said:
            if not (said.no_bucket and of.create_bucket):
                raise
        _create_bucket(s3, place.bucket)
        return None

    def _find(self, s3: Any, place: Place) -> Found | None:
        """What is at a place; nothing if its bucket is gone."""
        try:
            return s3_records.read(s3, place)
        except S3Said as said:
            if said.no_bucket:
                return None
            raise


def _same(found: Found, asked: Record, size: Capacity, place: Place) -> Record | None:
    """The record that is there, if it is of the volume that is asked for; None: it is, but has been released.

    Raises Refusal: ALREADY_EXISTS if it is of another, ABORTED if that is being deleted.
    """
    there = _ours(found, place)
    where = f"{place.record_key} in bucket {place.bucket}"
    if there.state is State.DELETING:
        raise Refusal(StatusCode.ABORTED, f"the volume {asked.name} is being deleted")
    if different := differs(there, asked):
        kept = "has left its data there" if there.state is State.RELEASED else "exists"
        raise Refusal(
            StatusCode.ALREADY_EXISTS,
            f"a volume of this name {kept}, with other parameters ({different}): restore those, or remove {where}, "
            "its record, if the volume is to be forgotten",
        )
    if there.state is State.RELEASED:
        return None
    if not size.has_room_for(there.capacity_bytes):
        raise Refusal(
            StatusCode.ALREADY_EXISTS,
            f"a volume of this name exists, with {there.capacity_bytes} bytes, not the {size.recorded} asked for "
            f"({where} is its record)",
        )
    return there


def _ours(found: Found, place: Place) -> Record:
    if found.record is None:
        raise Refusal(
            StatusCode.FAILED_PRECONDITION,
            f"{place.record_key} in bucket {place.bucket} is no record of a volume of ours, or is damaged: nothing is "
            "done with what it names until it is repaired or removed by hand",
        )
    return found.record


def _change(s3: Any, place: Place, found: Found, record: Record) -> None:
    if not s3_records.write(s3, place, record, over=found):
        raise _overtaken(place)


def _overtaken(place: Place) -> Refusal:
    return Refusal(
        StatusCode.ABORTED, f"another controller changes {place.record_key} in bucket {place.bucket} at the same time"
    )


def _create_bucket(s3: Any, bucket: str) -> None:
    """Make a bucket. That another controller, or an earlier call, has made it is no error."""
    region = s3.meta.region_name
    # Amazon's oldest region is the one that must not be said.
    where = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    try:
        with asking(f"make bucket {bucket}"):
            s3.create_bucket(Bucket=bucket, **where)
    except S3Said as said:
        if said.error_code != "BucketAlreadyOwnedByYou":
            raise
