"""What a new configuration means for the mounts that run."""

import pytest

from engine.spec import MountSpec
from mountctl.config.classes import ChangeClass
from mountctl.config.diff import Change, changed_keys, clashes, diff


def _spec(name: str, **options: object) -> MountSpec:
    return MountSpec.model_validate({"name": name, "bucket": "bucket", "mountpoint": f"/mnt/{name}"} | options)


def _kinds(before: dict[str, MountSpec], after: dict[str, MountSpec]) -> dict[str, str]:
    return {name: change.kind.value for name, change in diff(before, after).items()}


def test_the_same_mounts_need_nothing() -> None:
    assert _kinds({"a": _spec("a")}, {"a": _spec("a")}) == {"a": "nothing"}


def test_no_mounts_before_and_after_need_nothing() -> None:
    assert diff({}, {}) == {}


def test_every_mount_has_one_change_in_alphabetical_order() -> None:
    running = {name: _spec(name) for name in ("z-gone", "same", "other", "a-gone", "differs")}
    wanted = {name: _spec(name) for name in ("z-new", "same", "a-new", "other")}
    wanted["differs"] = _spec("differs", **{"read-only": True})

    changes = diff(running, wanted)

    assert list(changes.items()) == sorted(changes.items())
    assert {name: change.kind.value for name, change in changes.items()} == {
        "a-gone": "remove",
        "a-new": "add",
        "differs": "replace",
        "other": "nothing",
        "same": "nothing",
        "z-gone": "remove",
        "z-new": "add",
    }
    assert changes["differs"] == Change(
        "differs", ChangeClass.REPLACE, running["differs"], wanted["differs"], ("read-only",)
    )


def test_a_mount_with_another_name_is_another_mount() -> None:
    assert _kinds({"a": _spec("a")}, {"b": _spec("b", mountpoint="/mnt/a")}) == {"a": "remove", "b": "add"}


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"debug": True, "auto-unmount": True}, "live"),
        ({"debug": True, "uid": 5}, "handover"),
        ({"uid": 5}, "handover"),
        ({"fetchers": 2}, "handover"),
        ({"endpoint-url": "http://s3:9000", "metadata-ttl": 60}, "handover"),
        ({"mountpoint": "/mnt/elsewhere"}, "move"),
        ({"mountpoint": "/mnt/elsewhere", "uid": 5}, "replace"),
        *[({key: value}, "replace") for key, value in (("bucket", "other"), ("prefix", "x/"), ("allow-other", True))],
        ({"prefix": "x/", "uid": 5}, "replace"),
    ],
)
def test_a_change_has_the_class_of_its_most_far_reaching_key(options: dict[str, object], kind: str) -> None:
    assert _kinds({"a": _spec("a")}, {"a": _spec("a", **options)}) == {"a": kind}


@pytest.mark.parametrize(
    ("place", "blocked"),
    [("/mnt/free", False), ("/mnt/b", True), ("/mnt/b/in", True), ("/mnt/a/in", True), ("/mnt/gone", False)],
)
def test_a_place_that_another_mount_keeps_until_then_must_be_cleared_first(place: str, blocked: bool) -> None:
    running = {name: _spec(name) for name in ("a", "b", "gone")}
    wanted = {"a": _spec("a", mountpoint=place), "b": _spec("b", mountpoint="/mnt/elsewhere")}

    assert diff(running, wanted)["a"].blocked is blocked


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
