"""Volumes of a real supervisor, with real FUSE and a real S3."""

import errno
import json
import os
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from mountctl.errors import Refused
from mountctl.volume import Cause
from tests.csi.asking import Asking
from tests.faults import Answer, FaultyProxy, error
from tests.servers import MotoServer, RcloneServer
from tests.service.running import Running, poll_until


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


def test_another_s3_is_as_good(running: Running, rclone: RcloneServer) -> None:
    made = rclone.bucket()
    rclone.put(made, "x", b"x")
    asking = Asking(running, rclone)
    asking.configure()
    with running.running():
        asking.apply("data", "a", bucket=made)
        (asking.target("a") / "new").write_bytes(b"new")
        asking.apply("data", "b", bucket=made, read_only=True)
        assert (asking.target("b") / "new").read_bytes() == b"new"
        with pytest.raises(Refused) as caught:
            asking.apply("none", "c", bucket="there-is-none")
        assert caught.value.cause is Cause.BUCKET_MISSING
        asking.release_all()


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


def test_who_came_and_went_is_among_the_events(asking: Asking, bucket: str) -> None:
    asking.apply("data", "a", bucket=bucket)
    asking.release("a")

    told = [json.loads(line) for line in asking.running.run("events", "--json").stdout.splitlines()]
    assert [(each["mount"], each["text"]) for each in told if each["kind"] == "volume"] == [
        ("data", f"bound at {asking.target('a')} for pod team/web-0"),
        ("data", f"released {asking.target('a')}"),
    ]


def test_a_reload_of_a_volume_alone_is_refused_with_what_to_do(asking: Asking, bucket: str) -> None:
    asking.apply("data", "a", bucket=bucket)

    done = asking.running.run("reload", "--only", "data")
    assert done.returncode != 0
    assert "data: is a volume" in done.stderr
    assert "reload without --only" in done.stderr


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


def test_asking_again_for_what_is_bound_asks_s3_nothing(running: Running, moto: MotoServer, bucket: str) -> None:
    with FaultyProxy(moto.endpoint) as proxy:
        asking = Asking(running, proxy.endpoint)
        asking.configure()
        with running.running():
            assert asking.apply("data", "a", bucket=bucket).fresh
            before = len(proxy.seen)
            for _ in range(20):
                again = asking.apply("data", "a", bucket=bucket)
                assert (again.fresh, again.state) == (False, "ready")
            # An engine that nobody uses asks for a sign of life now and then, whoever else asks for what.
            asked = {(seen.method, seen.target) for seen in proxy.seen[before:]}
            assert asked <= {("HEAD", f"/{bucket}")}
            asking.release_all()


def test_asking_again_is_answered_while_the_engine_does_nothing(asking: Asking, bucket: str) -> None:
    asking.apply("data", "a", bucket=bucket)
    engine = asking.running.mount("data")["engine"]["pid"]
    os.kill(engine, signal.SIGSTOP)

    assert not asking.apply("data", "a", bucket=bucket).fresh
    assert asking.release("a").name == "data"
    assert not asking.target("a").exists()


@pytest.mark.parametrize(
    ("answer", "cause", "said"),
    [
        (error(403, "AccessDenied"), Cause.ACCESS_DENIED, "key test"),
        (error(403, "InvalidAccessKeyId"), Cause.CREDENTIALS, "key"),
        (error(403, "ExpiredToken"), Cause.CREDENTIALS, "expired"),
        (error(404, "NoSuchBucket"), Cause.BUCKET_MISSING, "does not exist"),
    ],
)
def test_what_s3_refuses_has_its_cause_and_leaves_nothing(
    running: Running, moto: MotoServer, bucket: str, answer: Answer, cause: Cause, said: str
) -> None:
    with FaultyProxy(moto.endpoint, lambda _seen: answer) as proxy:
        asking = Asking(running, proxy.endpoint)
        asking.configure()
        with running.running():
            with pytest.raises(Refused, match=said) as caught:
                asking.apply("data", "a", bucket=bucket)
            assert caught.value.cause is cause
            assert not asking.target("a").exists()
            assert running.status()["mounts"] == []
            proxy.decide = lambda _seen: None
            assert asking.apply("data", "a", bucket=bucket).fresh
            asking.release_all()


def test_a_server_that_is_not_there_is_unreachable(asking: Asking, bucket: str) -> None:
    with pytest.raises(Refused) as caught:
        asking.apply("data", "a", bucket=bucket, endpoint_url="http://127.0.0.1:9")

    assert caught.value.cause is Cause.UNREACHABLE


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"bucket": "b"}, "3-255"),
        ({"bucket": "bucket", "prefx": "a/"}, "prefx: unknown option: did you mean prefix"),
        ({"bucket": "bucket", "use": ("fast",)}, "no template 'fast'"),
        ({"bucket": "bucket", "mountpoint": "/mnt"}, "mountpoint: not an option of a volume"),
        ({"bucket": "bucket", "secret_access_key": "x"}, "credentials don't belong"),
    ],
)
def test_options_that_cannot_be_right_are_told(asking: Asking, options: dict[str, Any], said: str) -> None:
    with pytest.raises(Refused, match=said) as caught:
        asking.apply("data", "a", **options)

    assert caught.value.cause is Cause.INVALID


def test_a_target_elsewhere_is_refused(asking: Asking, bucket: str) -> None:
    elsewhere = asking.running.work / "elsewhere"
    elsewhere.mkdir()
    (asking.pods / "link").symlink_to(elsewhere)
    (asking.pods / "final").symlink_to(elsewhere)

    for target in ("../elsewhere/a", "link/a", "missing/a", str(elsewhere / "a")):
        with pytest.raises(Refused) as caught:
            asking.apply("data", target, bucket=bucket)
        assert caught.value.cause is Cause.INVALID
    with pytest.raises(Refused, match="symbolic link"):
        asking.apply("data", "final", bucket=bucket)
    assert list(elsewhere.iterdir()) == []
    assert asking.running.mounted() == []


def test_a_target_at_or_in_another_mount_is_refused(running: Running, moto: MotoServer, bucket: str) -> None:
    asking = Asking(running, moto)
    place = asking.pods / "declared"
    asking.configure(f'[mount.declared]\nbucket = "{bucket}"\nmountpoint = "{place}"')
    with running.running():
        with pytest.raises(Refused, match="is mounted there") as caught:
            asking.apply("data", "declared", bucket=bucket)
        assert caught.value.cause is Cause.CONFLICT
        with pytest.raises(Refused, match="it is inside") as caught:
            asking.apply("data", "declared/below", bucket=bucket)
        assert caught.value.cause is Cause.INVALID
        assert asking.release("declared").name is None
        assert (place / "x").read_bytes() == b"x"


def test_a_target_whose_directory_is_gone_is_let_go_of(asking: Asking, bucket: str) -> None:
    asking.target("pod").mkdir()
    asking.apply("data", "pod/a", bucket=bucket)
    subprocess.run(["umount", asking.target("pod/a")], check=True)
    asking.target("pod/a").rmdir()
    asking.target("pod").rmdir()

    assert asking.release("pod/a").gone


def test_no_credentials_are_told_as_that(running: Running, moto: MotoServer, bucket: str) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        del running.environment[name]
    running.environment |= {
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_CONFIG_FILE": os.devnull,
    }
    asking = Asking(running, moto)
    asking.configure()
    with running.running():
        with pytest.raises(Refused, match="credentials") as caught:
            asking.apply("data", "a", bucket=bucket)
        assert caught.value.cause is Cause.CREDENTIALS


def test_a_target_that_somebody_has_unmounted_is_bound_again(asking: Asking, bucket: str) -> None:
    asking.apply("data", "a", bucket=bucket)
    subprocess.run(["umount", asking.target("a")], check=True)

    def again() -> bool:  # what the supervisor has read of the kernel's list may be half a second old
        asking.apply("data", "a", bucket=bucket)
        return os.path.ismount(asking.target("a"))

    poll_until(again, "the target to be bound")
    assert (asking.target("a") / "x").read_bytes() == b"x"


def test_an_inline_volume_needs_its_bucket_on_the_list(running: Running, moto: MotoServer) -> None:
    asking = Asking(running, moto)
    asking.configure(csi='inline-buckets = ["pods-*"]')
    allowed = moto.bucket("pods-1")
    with running.running():
        with pytest.raises(Refused, match="inline-buckets") as caught:
            asking.apply("other", "b", bucket=moto.bucket(), inline=True)
        assert caught.value.cause is Cause.NOT_ALLOWED
        assert asking.apply("data", "a", bucket=allowed, inline=True).state == "ready"
        asking.release_all()


def test_a_name_of_the_file_is_no_volumes(running: Running, moto: MotoServer, bucket: str) -> None:
    asking = Asking(running, moto)
    table = f'[mount.data]\nbucket = "{bucket}"\nmountpoint = "{running.mountpoint("data")}"'
    asking.configure(table)
    with running.running():
        with pytest.raises(Refused, match="the configuration has a mount of that name") as caught:
            asking.apply("data", "a", bucket=bucket)
        assert caught.value.cause is Cause.INVALID
        asking.configure()
        assert running.run("reload", "--yes").returncode == 0
        asking.apply("data", "a", bucket=bucket)
        asking.configure(table)
        refused = running.run("reload")
        assert "a volume has that name" in refused.stderr + refused.stdout
        assert (asking.target("a") / "x").read_bytes() == b"x"
        asking.release_all()


def test_fifty_at_once_are_all_bound_and_those_of_one_name_share_a_start(asking: Asking, bucket: str) -> None:
    with ThreadPoolExecutor(50) as pool:
        applied = list(pool.map(lambda n: asking.apply(f"data-{n % 10}", f"t{n}", bucket=bucket), range(50)))

    assert {each.state for each in applied} == {"ready"}
    assert len(asking.running.status()["mounts"]) == 10
    assert all((asking.target(f"t{n}") / "x").read_bytes() == b"x" for n in range(50))
    with ThreadPoolExecutor(50) as pool:
        released = list(pool.map(lambda n: asking.release(f"t{n}"), range(50)))
    assert sum(each.gone for each in released) == 10
    assert asking.running.mounted() == []


def test_what_fails_fails_once_for_all_that_ask_together(running: Running, moto: MotoServer, bucket: str) -> None:
    with FaultyProxy(moto.endpoint, lambda _seen: error(403, "AccessDenied")) as proxy:
        asking = Asking(running, proxy.endpoint)
        asking.configure()

        def ask(number: int) -> Cause | None:
            try:
                asking.apply("data", f"t{number}", bucket=bucket)
            except Refused as refusal:
                return refusal.cause
            return None

        with running.running():
            with ThreadPoolExecutor(8) as pool:
                causes = list(pool.map(ask, range(8)))
            assert causes == [Cause.ACCESS_DENIED] * 8
            assert len(proxy.seen) < 8


def test_an_unknown_target_is_let_go_of(asking: Asking) -> None:
    asking.target("empty").mkdir()
    asking.target("full").mkdir()
    (asking.target("full") / "file").write_bytes(b"")

    for name in ("missing", "empty", "full", "no/directory/above"):
        assert asking.release(name).name is None
    assert not asking.target("empty").exists()
    assert (asking.target("full") / "file").exists()


def test_what_is_written_when_the_last_target_goes_arrives(asking: Asking, moto: MotoServer, bucket: str) -> None:
    asking.apply("data", "a", bucket=bucket)
    data = os.urandom(20_000_000)
    (asking.target("a") / "big").write_bytes(data)
    assert asking.release("a").gone
    assert moto.boto.get_object(Bucket=bucket, Key="big")["Body"].read() == data


def test_a_mount_lingers_for_the_next_consumer(running: Running, moto: MotoServer, bucket: str) -> None:
    asking = Asking(running, moto)
    asking.configure(csi="linger = 3600")
    with running.running():
        asking.apply("data", "a", bucket=bucket)
        engine = running.mount("data")["engine"]["pid"]
        assert not asking.release("a").gone
        assert running.mount("data")["volume"]["consumers"] == []
        assert asking.apply("data", "b", bucket=bucket).fresh
        assert running.mount("data")["engine"]["pid"] == engine
        asking.release_all()


def test_status_is_asked_for_one_pod(asking: Asking, bucket: str) -> None:
    asking.apply("data", "a", bucket=bucket)

    told = asking.running.run("status")
    assert "team/web-0" in told.stdout
    assert "data" in asking.running.run("status", "--pod", "team/web-0").stdout
    assert asking.running.run("status", "--pod", "team/other").returncode != 0
