"""Volumes that the controller makes: ids there and back, records that are believed, and which requests are the same."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mountctl.csi.provisioned import (
    Capacity,
    Place,
    Record,
    differs,
    parse_id,
    parse_record,
    place_of,
    record_of,
    token,
)
from mountctl.csi.refusal import InvalidArgument
from mountctl.csi.storage_class import storage_class

NAME = "pvc-0a1b2c3d-1111-2222-3333-444455556666"
GIB = 1024**3


def record(name: str = NAME, size: int = GIB, **parameters: str) -> tuple[Place, Record]:
    given_parameters = {"bucketName": "volumes"} | parameters
    of = storage_class(given_parameters)
    return place_of(of, name), record_of(of, name, Capacity(size), given_parameters, "s3.mountctl.io")


def test_an_id_tells_where_the_record_is() -> None:
    place, _ = record(prefix="cluster/")

    assert place.volume_id == f"s3://volumes/cluster/{NAME}"
    assert place.record_key == f"cluster/.mountctl/volumes/{NAME}.json"


def test_an_id_tells_how_another_s3_is_reached() -> None:
    place, _ = record(endpointUrl="http://minio.minio.svc:9000", pathStyle="true", region="eu-west-1")

    assert place.volume_id == f"http://minio.minio.svc:9000/volumes/{NAME}?region=eu-west-1&pathStyle=true"
    assert len(place.volume_id) <= 128


@given(
    bucket=st.sampled_from(["volumes", "arn:aws:s3:eu-west-1:123456789012:accesspoint/mine", "a.b-c"]),
    base=st.lists(st.text(min_size=1).filter(lambda part: "/" not in part), max_size=3),
    name=st.text(min_size=1, max_size=200),
    endpoint=st.sampled_from([None, "http://127.0.0.1:9000", "https://s3.example"]),
    region=st.sampled_from([None, "us-east-1"]),
    path_style=st.sampled_from([None, True, False]),
)
def test_every_id_is_read_as_it_was_written(
    bucket: str, base: list[str], name: str, endpoint: str | None, region: str | None, path_style: bool | None
) -> None:
    whole = "".join(f"{part}/" for part in base if part.isprintable())
    place = Place(bucket, whole, token(name), endpoint, region, path_style)

    assert parse_id(place.volume_id) == place
    assert place.volume_id.isascii()


@pytest.mark.parametrize(
    "volume_id",
    [
        "", "s3", "pvc-1", "my-bucket/pvc-1", "s3://", "s3://bucket", "ftp://host/bucket/pvc-1", "s3://bucket/pvc-1?",
        "s3://bucket/pvc-1#x", "s3://bucket/pvc-1?region=a&other=b", "http://[::1/bucket/pvc-1", "fake-vol-id-1a2b",
    ],
)  # fmt: skip
def test_ids_of_others_are_none_of_ours(volume_id: str) -> None:
    assert parse_id(volume_id) is None


@given(st.text(max_size=300))
def test_no_id_breaks_the_reading_of_it(text: str) -> None:
    place = parse_id(text)

    assert place is None or place.volume_id == text


def test_long_and_strange_names_are_short_in_ids() -> None:
    for name in ("x" * 128, "a/b", "..", "é"):
        assert len(token(name)) == 41
    assert token("x" * 128) != token("x" * 127)


def test_the_node_is_told_what_it_needs_and_nothing_else() -> None:
    _, plain = record()
    _, rich = record(
        endpointUrl="https://s3.example", pathStyle="true", region="r", profile="fast", onDelete="delete",
        createBucket="true",
    )  # fmt: skip

    assert plain.attributes == {"bucketName": "volumes", "prefix": f"{NAME}/"}
    assert rich.attributes == plain.attributes | {
        "endpointUrl": "https://s3.example",
        "pathStyle": "true",
        "region": "r",
        "profile": "fast",
    }


def test_the_same_request_makes_the_same_record() -> None:
    assert record()[1].text() == record()[1].text()


def test_a_record_is_believed_where_it_belongs() -> None:
    place, made = record(prefix="cluster/", onDelete="delete")

    assert parse_record(made.text(), place) == made


@pytest.mark.parametrize(
    "forged",
    [
        {"prefix": ""},
        {"prefix": "cluster/"},
        {"prefix": "another/"},
        {"prefix": "cluster/.mountctl/"},
        {"bucket": "another"},
        {"base": ""},
        {"name": "pvc-other"},
        {"pattern": "..", "prefix": "cluster/../"},
        {"version": 2},
        {"on_delete": "everything"},
    ],
)
def test_a_record_that_does_not_fit_together_is_not_believed(forged: dict[str, str]) -> None:
    place, made = record(prefix="cluster/", onDelete="delete")

    assert parse_record(json.dumps(json.loads(made.text()) | forged).encode(), place) is None


@pytest.mark.parametrize("text", [b"", b"{}", b"[1]", b"\xff", b"not json"])
def test_what_is_no_record_is_not_believed(text: bytes) -> None:
    assert parse_record(text, record()[0]) is None


def test_keys_that_later_versions_add_do_no_harm() -> None:
    place, made = record()

    assert parse_record(json.dumps(json.loads(made.text()) | {"later": 1}).encode(), place) == made


def test_what_differs_is_named_as_people_write_it() -> None:
    _, there = record()

    assert differs(there, record()[1]) is None
    assert differs(there, record(size=7)[1]) is None  # judged by Capacity
    assert differs(there, record(profile="fast")[1]) == "profile"
    assert differs(there, record(onDelete="delete")[1]) == "onDelete"
    assert "pathPattern" in (differs(there, record(pathPattern="x-${.PV.name}")[1]) or "")


def test_how_large_a_volume_is() -> None:
    assert Capacity(required=5).recorded == 5
    assert Capacity(limit=7).recorded == 7
    assert Capacity().recorded == 0
    assert Capacity(required=5).has_room_for(6)
    assert not Capacity(required=5).has_room_for(4)
    assert not Capacity(required=5, limit=5).has_room_for(6)


def test_a_prefix_that_leaves_no_room_for_names_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="768 is the limit"):
        record(prefix=f"{'x' * 800}/")
