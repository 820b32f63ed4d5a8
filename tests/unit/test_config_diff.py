"""What a new configuration means for the mounts that run."""

import pytest

from engine.spec import MountSpec
from mountctl.config.diff import Plan, changed_keys, clashes, diff


def _spec(name: str, **options: object) -> MountSpec:
    return MountSpec.model_validate({"name": name, "bucket": "bucket", "mountpoint": f"/mnt/{name}"} | options)


def test_the_same_mounts_need_nothing() -> None:
    plan = diff({"a": _spec("a")}, {"a": _spec("a")})
    assert plan == Plan(added=(), removed=(), changed={}, unchanged=("a",))
    assert plan.empty


def test_no_mounts_before_and_after_need_nothing() -> None:
    assert diff({}, {}).empty


def test_every_mount_is_in_one_group_in_alphabetical_order() -> None:
    running = {name: _spec(name) for name in ("z-gone", "same", "other", "a-gone", "differs")}
    wanted = {name: _spec(name) for name in ("z-new", "same", "a-new", "other")}
    wanted["differs"] = _spec("differs", **{"read-only": True})
    plan = diff(running, wanted)
    assert plan == Plan(
        added=("a-new", "z-new"),
        removed=("a-gone", "z-gone"),
        changed={"differs": ("read-only",)},
        unchanged=("other", "same"),
    )
    assert not plan.empty


def test_each_kind_of_change_alone_makes_a_plan_of_something() -> None:
    one, other = {"a": _spec("a")}, {"a": _spec("a", uid=5)}
    assert [diff({}, one).empty, diff(one, {}).empty, diff(one, other).empty] == [False, False, False]


def test_a_mount_with_another_name_is_another_mount() -> None:
    plan = diff({"a": _spec("a")}, {"b": _spec("b", mountpoint="/mnt/a")})
    assert (plan.added, plan.removed, plan.changed) == (("b",), ("a",), {})


def test_changed_keys_are_spelt_as_in_the_file() -> None:
    before = _spec("a", **{"endpoint-url": "http://s3:9000", "metadata-ttl": 60})
    after = _spec("a", **{"force-path-style": True, "metadata-ttl": 60, "prefix": "x/"})
    assert changed_keys(before, after) == ("prefix", "endpoint-url", "force-path-style")


def test_another_spelling_of_the_same_value_is_no_change() -> None:
    before = _spec("a", mountpoint="/mnt/a", **{"dir-mode": "0755"})
    after = _spec("a", mountpoint="/mnt//a/", **{"dir-mode": 0o755})
    assert changed_keys(before, after) == ()


@pytest.mark.parametrize(
    ("name", "mountpoint", "told"),
    [
        ("new", "/mnt/new", None),
        ("new", "/mnt/data2", None),
        ("new", "/mnt/data", "data (s3://bucket/) is at /mnt/data already"),
        ("data", "/mnt/data", "data (s3://bucket/) is at /mnt/data already"),
        ("data", "/mnt/elsewhere", "a mount of the name data is there already, at /mnt/data"),
        ("new", "/mnt/data/below", "one in the other"),
        ("new", "/mnt", "one in the other"),
    ],
)
def test_a_mount_needs_a_name_and_a_place_of_its_own(name: str, mountpoint: str, told: str | None) -> None:
    found = clashes(_spec(name, mountpoint=mountpoint), [_spec("other"), _spec("data")])

    assert found is None if told is None else told in str(found)
