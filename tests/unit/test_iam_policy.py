"""The least policy for mounts: what is in it by their options, and that it is what the engine's requests need."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from engine.spec import MountSpec
from mountctl import iam_policy
from mountctl.commands.iam_policy import iam_policy as print_policy
from mountctl.errors import UnknownMount
from mountctl.iam_policy import (
    ABORT,
    ACTIONS_OF,
    DELETE,
    GET,
    LIST,
    LIST_UPLOADS,
    PUT,
    RESTORE,
    NoPolicy,
    actions,
    policy,
)

ENGINE = Path(iam_policy.__file__).parents[1] / "engine"
KEY = "arn:aws:kms:eu-west-1:111122223333:key/k"
POINT = "arn:aws:s3:eu-west-1:111122223333:accesspoint"


def spec(name: str = "a", bucket: str = "data", **options: Any) -> MountSpec:
    return MountSpec(name=name, bucket=bucket, mountpoint=f"/mnt/{name}", **options)


def allowed(*mounts: MountSpec, partition: str | None = None) -> dict[str, set[str]]:
    """Resources by action."""
    found: dict[str, set[str]] = {}
    for statement in policy(mounts, partition)["Statement"]:
        for action in statement["Action"]:
            found.setdefault(action, set()).update(statement["Resource"])
    return found


def test_each_request_that_the_engine_can_send_has_its_action_and_no_other_is_known() -> None:
    sent = {"HeadBucket"}  # its name is in a call of its own
    for file in ENGINE.joinpath("s3").glob("*.py"):
        sent |= set(re.findall(r'\bRequest\(\s*"(\w+)"', file.read_text()))
    assert sent == set(ACTIONS_OF)


def test_of_all_options_together_every_action_is_needed_by_a_request() -> None:
    assert set(actions(spec(allow_delete=True))) == set(ACTIONS_OF.values()) - {RESTORE}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"read_only": True}, {LIST, GET}),
        ({"read_only": True, "allow_delete": True}, {LIST, GET}),
        ({}, {LIST, LIST_UPLOADS, GET, PUT, ABORT}),
        ({"allow_overwrite": True}, {LIST, LIST_UPLOADS, GET, PUT, ABORT}),
        ({"allow_delete": True}, {LIST, LIST_UPLOADS, GET, PUT, ABORT, DELETE}),
    ],
)
def test_a_mount_is_allowed_what_its_options_need(options: dict[str, Any], expected: set[str]) -> None:
    assert set(allowed(spec(**options))) == expected


def test_a_prefix_bounds_objects_and_listings() -> None:
    told = policy([spec(prefix="train/", read_only=True)])
    assert told["Statement"] == [
        {
            "Sid": "List1",
            "Effect": "Allow",
            "Action": [LIST],
            "Resource": ["arn:aws:s3:::data"],
            "Condition": {"StringLike": {"s3:prefix": ["train/*"]}},
        },
        {"Sid": "Use1", "Effect": "Allow", "Action": [GET], "Resource": ["arn:aws:s3:::data/train/*"]},
    ]


def test_what_a_policy_takes_for_a_pattern_is_written_as_itself() -> None:
    told = json.dumps(policy([spec(prefix="a*b?c$d/", read_only=True)]))
    assert "a${*}b${?}c${$}d/*" in told


def test_mounts_of_one_bucket_share_statements_and_the_wider_prefix_has_the_narrower() -> None:
    told = policy([spec("a", prefix="x/"), spec("b", prefix="x/y/"), spec("c", prefix="z/")])
    [listing, use] = told["Statement"]
    assert listing["Condition"] == {"StringLike": {"s3:prefix": ["x/*", "z/*"]}}
    assert use["Resource"] == ["arn:aws:s3:::data/x/*", "arn:aws:s3:::data/z/*"]


def test_a_mount_of_the_whole_bucket_needs_no_condition_beside_one_of_a_prefix() -> None:
    told = policy([spec("a", prefix="x/", read_only=True), spec("b", read_only=True)])
    assert "Condition" not in told["Statement"][0]


def test_a_mount_that_only_reads_gains_nothing_by_one_that_writes() -> None:
    found = allowed(spec("a", prefix="in/", read_only=True), spec("b", prefix="out/"))
    assert found[PUT] == {"arn:aws:s3:::data/out/*"}
    assert found[GET] == {"arn:aws:s3:::data/in/*", "arn:aws:s3:::data/out/*"}
    conditions = {
        tuple(each["Action"]): each["Condition"]["StringLike"]["s3:prefix"]
        for each in policy([spec("a", prefix="in/", read_only=True), spec("b", prefix="out/")])["Statement"]
        if "Condition" in each
    }
    assert conditions == {(LIST,): ["in/*", "out/*"], (LIST_UPLOADS,): ["out/*"]}


def test_a_key_of_kms_is_for_writing_and_reading() -> None:
    assert allowed(spec(sse="aws:kms", sse_kms_key_id=KEY))["kms:GenerateDataKey"] == {KEY}
    assert allowed(spec(sse="aws:kms", sse_kms_key_id=KEY))["kms:Decrypt"] == {KEY}
    assert "kms:GenerateDataKey" not in allowed(spec(sse="aws:kms", sse_kms_key_id=KEY, read_only=True))


@pytest.mark.parametrize("written", [f"{POINT}/p", f"{POINT}:p"])
def test_an_access_point_is_named_by_its_arn(written: str) -> None:
    found = allowed(spec(bucket=written, prefix="x/", read_only=True))
    assert found == {LIST: {f"{POINT}/p"}, GET: {f"{POINT}/p/object/x/*"}}


def test_other_services_have_actions_of_their_own() -> None:
    found = allowed(spec(bucket=POINT.replace(":s3:", ":s3-object-lambda:") + "/p", read_only=True))
    assert set(found) == {"s3-object-lambda:ListBucket", "s3-object-lambda:GetObject"}


def test_restoring_is_allowed_where_it_is_asked_for_below_the_prefix_also_of_what_is_read_only() -> None:
    mount = spec(prefix="p/", read_only=True)
    [use] = [each for each in policy([mount], restoring=True)["Statement"] if each["Sid"] == "Use1"]
    assert (use["Action"], use["Resource"]) == ([GET, RESTORE], ["arn:aws:s3:::data/p/*"])
    assert RESTORE not in allowed(mount)


def test_an_alias_is_refused_as_no_policy_can_name_it() -> None:
    with pytest.raises(NoPolicy, match="write its ARN"):
        policy([spec(bucket="point-abcdefghijkl-s3alias")])


@pytest.mark.parametrize(
    ("region", "given", "expected"),
    [
        ("cn-north-1", None, "aws-cn"),
        ("us-gov-west-1", None, "aws-us-gov"),
        ("eu-west-1", None, "aws"),
        ("eu-west-1", "aws-cn", "aws-cn"),
        (None, None, "aws"),
    ],
)
def test_the_partition_is_the_regions_unless_told(region: str | None, given: str | None, expected: str) -> None:
    assert allowed(spec(region=region, read_only=True), partition=given)[LIST] == {f"arn:{expected}:s3:::data"}


def test_the_command_prints_json_and_says_what_no_policy_can(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "m.toml"
    path.write_text('[mount.a]\nbucket = "one"\nmountpoint = "/mnt/a"\nrequester-pays = true\n')
    assert print_policy(path, [], None) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out) == policy([spec(bucket="one", requester_pays=True)])
    assert "mountctl: mount a: requester pays" in printed.err
    with pytest.raises(UnknownMount):
        print_policy(path, ["b"], None)


def test_mounts_that_sign_nothing_have_no_policy(tmp_path: Path) -> None:
    path = tmp_path / "m.toml"
    path.write_text('[mount.a]\nbucket = "one"\nmountpoint = "/mnt/a"\nno-sign-request = true\n')
    with pytest.raises(NoPolicy):
        print_policy(path, [], None)
