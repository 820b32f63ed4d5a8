"""Volumes are made and deleted at real S3 servers: asked twice, by two controllers, beside what must not be lost."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from mountctl.csi import s3_records, s3_removal
from mountctl.csi.provisioned import Capacity, Place
from mountctl.csi.provisioner import Provisioner
from mountctl.csi.refusal import Refusal
from tests.servers import ACCESS_KEY, SECRET_KEY, RcloneServer, S3Server

KEYS = {"key_id": ACCESS_KEY, "access_key": SECRET_KEY}
NAME = "pvc-0a1b2c3d-1111-2222-3333-444455556666"
SIZE = Capacity(required=1024**3)


class Bucket:
    """A StorageClass's bucket, and a controller."""

    def __init__(self, server: S3Server) -> None:
        self.server = server
        self.name = server.bucket()
        self.provisioner = Provisioner("s3.mountctl.io")
        if isinstance(server, RcloneServer):  # a PUT that makes directories can hang it
            (server.directory / self.name / "base" / ".mountctl" / "volumes").mkdir(parents=True)

    def create(self, name: str = NAME, size: Capacity = SIZE, **parameters: str) -> tuple[str, dict[str, str]]:
        volume_id, record = self.provisioner.create(name, size, self.parameters() | parameters, KEYS)
        return volume_id, record.attributes

    def parameters(self) -> dict[str, str]:
        return {"bucketName": self.name, "prefix": "base/", "endpointUrl": self.server.endpoint, "pathStyle": "true"}

    def delete(self, volume_id: str, batches: int = 1000) -> None:
        left = iter(range(batches))
        self.provisioner.delete(volume_id, KEYS, lambda: next(left, None) is not None)

    def put(self, key: str, data: bytes = b"data") -> None:
        self.server.put(self.name, key, data)

    def listed(self) -> list[str]:
        pages = self.server.boto.get_paginator("list_objects_v2").paginate(Bucket=self.name)
        return [each["Key"] for page in pages for each in page.get("Contents", [])]

    def record(self, name: str = NAME) -> dict[str, Any]:
        body = self.server.boto.get_object(Bucket=self.name, Key=f"base/.mountctl/volumes/{name}.json")["Body"].read()
        record: dict[str, Any] = json.loads(body)
        return record


@pytest.fixture
def bucket(s3_server: S3Server) -> Bucket:
    return Bucket(s3_server)


@pytest.fixture
def able_bucket(able_server: S3Server) -> Bucket:
    """On a server with conditional writes, versions and uploads."""
    return Bucket(able_server)


def code(call: Any, *arguments: Any, **keywords: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(Refusal) as refused:
        call(*arguments, **keywords)
    return refused.value.code, str(refused.value)


def test_the_same_request_twice_is_one_volume(bucket: Bucket) -> None:
    first = bucket.create()

    assert bucket.create() == first
    assert first[1]["prefix"] == f"base/{NAME}/"
    assert bucket.listed() == [f"base/.mountctl/volumes/{NAME}.json"]
    assert bucket.record()["capacity_bytes"] == SIZE.required


def test_another_controller_finds_the_volume(bucket: Bucket) -> None:
    first = bucket.create()
    bucket.provisioner = Provisioner("s3.mountctl.io")

    assert bucket.create() == first


def test_the_same_name_with_another_capacity_is_refused(bucket: Bucket) -> None:
    bucket.create()

    told = code(bucket.create, size=Capacity(required=2 * SIZE.required))

    assert told[0] is grpc.StatusCode.ALREADY_EXISTS
    assert str(SIZE.required) in told[1]


def test_the_same_name_with_other_parameters_is_refused(bucket: Bucket) -> None:
    bucket.create()

    told = code(bucket.create, profile="fast")

    assert told[0] is grpc.StatusCode.ALREADY_EXISTS
    assert "(profile)" in told[1]


def in_between(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Have something happen after the next record was looked for, before what was found is acted upon."""
    real = s3_records.read

    def read(s3: Any, place: Place) -> s3_records.Found | None:
        found = real(s3, place)
        monkeypatch.setattr(s3_records, "read", real)
        act()
        return found

    monkeypatch.setattr(s3_records, "read", read)


def test_controllers_that_make_a_volume_at_once_make_one(able_bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    others = []
    in_between(monkeypatch, lambda: others.append(able_bucket.create()))

    assert [able_bucket.create()] == others


def test_controllers_that_make_different_volumes_of_a_name_at_once(
    able_bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_between(monkeypatch, lambda: able_bucket.create(size=Capacity(1, 1)))

    assert code(able_bucket.create)[0] is grpc.StatusCode.ALREADY_EXISTS
    assert able_bucket.record()["capacity_bytes"] == 1


def test_a_volume_that_is_deleted_while_it_is_asked_for_again(
    able_bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume, _ = able_bucket.create()
    able_bucket.delete(volume)
    in_between(monkeypatch, lambda: able_bucket.server.delete(able_bucket.name, able_bucket.listed()[0]))

    assert able_bucket.create()[0] == volume
    assert able_bucket.record()["state"] == "bound"


def test_a_volume_that_is_deleted_twice_at_once(able_bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    volume, _ = able_bucket.create()
    in_between(monkeypatch, lambda: able_bucket.delete(volume))

    assert code(able_bucket.delete, volume)[0] is grpc.StatusCode.ABORTED
    able_bucket.delete(volume)


def test_deleting_a_volume_keeps_its_data_unless_told_otherwise(bucket: Bucket) -> None:
    volume, _ = bucket.create()
    bucket.put(f"base/{NAME}/file")

    bucket.delete(volume)
    bucket.delete(volume)

    assert f"base/{NAME}/file" in bucket.listed()
    assert bucket.record()["state"] == "released"
    assert code(bucket.provisioner.look_up, volume, KEYS)[0] is grpc.StatusCode.NOT_FOUND


def test_a_volume_whose_data_was_kept_is_found_again_by_its_name(bucket: Bucket) -> None:
    first = bucket.create()
    bucket.delete(first[0])

    assert bucket.create(size=Capacity(5)) == first
    assert bucket.record()["state"] == "bound"
    assert bucket.record()["capacity_bytes"] == 5


def test_what_was_kept_is_not_taken_over_by_a_class_that_deletes(bucket: Bucket) -> None:
    bucket.delete(bucket.create()[0])

    told = code(bucket.create, onDelete="delete")

    assert told[0] is grpc.StatusCode.ALREADY_EXISTS
    assert "(onDelete)" in told[1]


def test_deleting_a_volume_with_its_data_deletes_nothing_else(bucket: Bucket) -> None:
    volume, attributes = bucket.create(onDelete="delete")
    bucket.create("pvc-another", onDelete="delete")
    others = ["base/.mountctl/volumes/pvc-another.json", f"base/{NAME}-like-it/file", "base/file", "file"]
    for key in others[1:]:
        bucket.put(key)
    bucket.put(f"{attributes['prefix']}file")
    bucket.put(f"{attributes['prefix']}directory/file")

    bucket.delete(volume)
    bucket.delete(volume)

    assert sorted(bucket.listed()) == sorted(others)


def test_a_large_volume_is_deleted_over_several_calls(able_bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_removal, "_BATCH", 3)
    volume, attributes = able_bucket.create(onDelete="delete")
    for index in range(4):
        able_bucket.put(f"{attributes['prefix']}{index}")

    told = code(able_bucket.delete, volume, batches=1)

    assert told[0] is grpc.StatusCode.ABORTED
    assert "3 objects" in told[1]
    assert len(able_bucket.listed()) == 2
    assert able_bucket.record()["state"] == "deleting"
    assert code(able_bucket.create, onDelete="delete")[0] is grpc.StatusCode.ABORTED  # not one that is going
    able_bucket.delete(volume)
    assert able_bucket.listed() == []


def test_versions_and_unfinished_uploads_are_deleted_too(able_bucket: Bucket) -> None:
    boto, name = able_bucket.server.boto, able_bucket.name
    if able_bucket.server.name == "moto":
        boto.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    volume, attributes = able_bucket.create(onDelete="delete")
    key = f"{attributes['prefix']}file"
    able_bucket.put(key, b"one")
    able_bucket.put(key, b"two")
    boto.delete_object(Bucket=name, Key=key)
    boto.create_multipart_upload(Bucket=name, Key=f"{key}-large")
    boto.create_multipart_upload(Bucket=name, Key="base/another")

    able_bucket.delete(volume)

    assert able_bucket.listed() == []
    assert [each["Key"] for each in boto.list_multipart_uploads(Bucket=name).get("Uploads", [])] == ["base/another"]
    if able_bucket.server.name == "moto":
        left = boto.list_object_versions(Bucket=name, Prefix=attributes["prefix"])
        assert "Versions" not in left
        assert "DeleteMarkers" not in left


def test_a_record_that_was_tampered_with_deletes_nothing(bucket: Bucket) -> None:
    volume, _ = bucket.create(onDelete="delete")
    bucket.put("base/precious/file")
    forged = bucket.record() | {"prefix": "base/precious/"}
    bucket.put(f"base/.mountctl/volumes/{NAME}.json", json.dumps(forged).encode())

    told = code(bucket.delete, volume)

    assert told[0] is grpc.StatusCode.FAILED_PRECONDITION
    assert "base/precious/file" in bucket.listed()


def test_a_prefix_without_a_record_is_not_deleted(bucket: Bucket) -> None:
    bucket.put(f"base/{NAME}/file")
    volume, _ = bucket.create(onDelete="delete")
    bucket.server.delete(bucket.name, f"base/.mountctl/volumes/{NAME}.json")

    bucket.delete(volume)

    assert bucket.listed() == [f"base/{NAME}/file"]


@pytest.mark.parametrize("volume", ["pvc-1", "", "bucket/pvc-1", "s3://bucket"])
def test_deleting_what_is_none_of_ours_is_done_at_once(volume: str) -> None:
    Provisioner("s3.mountctl.io").delete(volume, KEYS, lambda: True)


def test_deleting_a_volume_whose_bucket_is_gone_is_done(bucket: Bucket) -> None:
    volume, _ = bucket.create()
    bucket.delete(volume)
    gone = volume.replace(bucket.name, "gone-bucket")

    bucket.delete(gone)

    assert code(bucket.provisioner.look_up, gone, KEYS)[0] is grpc.StatusCode.NOT_FOUND


def test_a_missing_bucket_is_made_only_on_demand(able_server: S3Server) -> None:
    provisioner, name = Provisioner("s3.mountctl.io"), "made-on-demand"
    parameters = {"bucketName": name, "endpointUrl": able_server.endpoint, "pathStyle": "true"}

    told = code(provisioner.create, NAME, SIZE, parameters, KEYS)
    assert told[0] is grpc.StatusCode.NOT_FOUND
    assert 'createBucket: "true"' in told[1]

    provisioner.create(NAME, SIZE, parameters | {"createBucket": "true"}, KEYS)
    provisioner.create(NAME, SIZE, parameters | {"createBucket": "true"}, KEYS)
    assert able_server.boto.list_objects_v2(Bucket=name)["KeyCount"] == 1


def test_a_volume_grows_and_never_shrinks(bucket: Bucket) -> None:
    volume, _ = bucket.create()
    larger = 2 * SIZE.required

    assert bucket.provisioner.expand(volume, Capacity(larger), KEYS) == larger
    assert bucket.provisioner.expand(volume, Capacity(SIZE.required), KEYS) == larger
    assert bucket.record()["capacity_bytes"] == larger
    assert bucket.create()[0] == volume  # the claim's first request, made again
    told = code(bucket.provisioner.expand, volume, Capacity(1, SIZE.required), KEYS)
    assert told[0] is grpc.StatusCode.OUT_OF_RANGE


def test_a_record_that_has_changed_since_it_was_read_is_not_written_over(able_bucket: Bucket) -> None:
    volume, _ = able_bucket.create()
    place, found, record = able_bucket.provisioner._there(volume, KEYS)
    able_bucket.provisioner.expand(volume, Capacity(2 * SIZE.required), KEYS)

    with able_bucket.provisioner._clients.client(place, KEYS) as s3:
        assert not s3_records.write(s3, place, record.model_copy(update={"capacity_bytes": 1}), over=found)
        assert not s3_records.write(s3, place, record, over=None)

    assert able_bucket.record()["capacity_bytes"] == 2 * SIZE.required


def test_wrong_keys_are_told_without_showing_them(rclone: S3Server) -> None:
    wrong = {"AWS_ACCESS_KEY_ID": "nobody", "AWS_SECRET_ACCESS_KEY": "very-secret-indeed"}
    bucket = Bucket(rclone)  # moto looks at no signature

    status, sentence = code(bucket.provisioner.create, NAME, SIZE, bucket.parameters(), wrong)

    assert status in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)
    assert "very-secret-indeed" not in sentence


def test_a_secret_without_a_key_is_refused(moto: S3Server) -> None:
    bucket = Bucket(moto)

    told = code(bucket.provisioner.create, NAME, SIZE, bucket.parameters(), {"key_id": "test", "password": "hidden"})

    both = "(or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY)"
    sentence = (
        f"the secret with the keys is of no use: access_key missing: it needs the keys key_id and access_key {both}"
    )
    assert told == (grpc.StatusCode.INVALID_ARGUMENT, sentence)


def test_without_a_secret_the_controllers_own_credentials_count(
    moto: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = Bucket(moto)

    told = code(bucket.provisioner.create, NAME, SIZE, bucket.parameters(), {})
    assert told[0] is grpc.StatusCode.UNAUTHENTICATED
    assert "provisioner secret" in told[1]

    # That there were none when it was asked first is not for ever.
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    first = bucket.provisioner.create(NAME, SIZE, bucket.parameters(), {})
    assert bucket.provisioner.create(NAME, SIZE, bucket.parameters(), {}) == first


def test_the_drivers_own_secret_is_read_each_time(rclone: S3Server, tmp_path: Path) -> None:
    bucket = Bucket(rclone)  # which looks at signatures
    directory = tmp_path / "secret"
    directory.mkdir()
    provisioner = Provisioner("s3.mountctl.io", directory)

    assert code(provisioner.create, NAME, SIZE, bucket.parameters(), {})[0] is grpc.StatusCode.UNAUTHENTICATED
    kubelet_writes(directory, {"key_id": "old", "access_key": "old"})
    assert "S3 would not" in code(provisioner.create, NAME, SIZE, bucket.parameters(), {})[1]
    kubelet_writes(directory, KEYS)
    provisioner.create(NAME, SIZE, bucket.parameters(), {})


def kubelet_writes(directory: Path, files: dict[str, str]) -> None:
    """All files of a Secret at once: a directory of them, and a symlink that is exchanged."""
    fresh = directory / f"..{len(list(directory.iterdir()))}"
    fresh.mkdir()
    for name, text in files.items():
        (fresh / name).write_text(f"{text}\n")
    link = directory / "..new"
    link.symlink_to(fresh.name)
    link.rename(directory / "..data")


def test_nobody_listens_at_the_endpoint() -> None:
    parameters = {"bucketName": "volumes", "endpointUrl": "http://127.0.0.1:9", "pathStyle": "true"}

    told = code(Provisioner("s3.mountctl.io").create, NAME, SIZE, parameters, KEYS)

    assert told[0] is grpc.StatusCode.UNAVAILABLE
    assert "127.0.0.1:9" in told[1]
