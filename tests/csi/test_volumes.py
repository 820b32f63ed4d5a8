"""Volumes of a real supervisor, with real FUSE and a real S3."""

import errno

import pytest

from mountctl.errors import Refused
from mountctl.volume import Cause
from tests.csi.asking import Asking


def test_two_targets_of_one_volume_share_a_mount_and_one_may_not_write(asking: Asking, bucket: str) -> None:
    first = asking.apply("data", "a", bucket=bucket)
    second = asking.apply("data", "b", bucket=bucket, read_only=True)

    assert (first.state, first.fresh, second.fresh) == ("ready", True, True)
    assert (asking.target("a") / "x").read_bytes() == b"x"
    assert (asking.target("b") / "x").read_bytes() == b"x"
    (asking.target("a") / "new").write_bytes(b"new")
    assert (asking.target("b") / "new").read_bytes() == b"new"
    with pytest.raises(OSError) as caught:
        (asking.target("b") / "other").write_bytes(b"")
    assert caught.value.errno == errno.EROFS

    mounts = asking.running.status()["mounts"]
    assert [mount["name"] for mount in mounts] == ["data"]
    assert [each["target"] for each in mounts[0]["volume"]["consumers"]] == [
        str(asking.target("a")),
        str(asking.target("b")),
    ]


def test_the_last_consumer_takes_the_mount_along(asking: Asking, bucket: str) -> None:
    asking.apply("data", "a", bucket=bucket)
    asking.apply("data", "b", bucket=bucket)

    first = asking.release("a")
    assert (first.name, first.gone) == ("data", False)
    assert not asking.target("a").exists()
    assert (asking.target("b") / "x").read_bytes() == b"x"

    last = asking.release("b")
    assert (last.name, last.gone) == ("data", True)
    assert not asking.target("b").exists()
    assert asking.running.status()["mounts"] == []
    assert asking.running.mounted() == []


def test_a_bucket_that_is_missing_leaves_nothing(asking: Asking) -> None:
    with pytest.raises(Refused) as caught:
        asking.apply("data", "a", bucket="there-is-none")

    assert caught.value.cause is Cause.BUCKET_MISSING
    assert "there-is-none" in str(caught.value)
    assert not asking.target("a").exists()
    assert asking.running.status()["mounts"] == []


def test_a_target_that_is_bound_is_no_other_volumes(asking: Asking, bucket: str) -> None:
    asking.apply("data", "a", bucket=bucket)

    for name, read_only in (("other", False), ("data", True)):
        with pytest.raises(Refused) as caught:
            asking.apply(name, "a", bucket=bucket, read_only=read_only)
        assert caught.value.cause is Cause.CONFLICT
    assert (asking.target("a") / "x").read_bytes() == b"x"
