"""The whole driver as a node has it, from its registration to the end of the last pod, with kubelet and containers."""

import contextlib
import errno
import json
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import grpc
import pytest

from engine.health import IDLE_SECONDS
from tests.csi.kubelet import MountFailed, Pod, Use, Volume
from tests.csi.node_host import NodeHost
from tests.csi.workloads import HOST_TO_CONTAINER, PLACE, PRIVATE, Reader, Writer, fill, killed_at_the_end, run
from tests.faults import Answer, FaultyProxy, Seen, error
from tests.servers import MotoServer
from tests.service.running import poll_until

VOLUMES: Final = 50
# After kubelet has started anew it publishes all at once.
ROUNDS: Final = 5
WORKERS: Final = 10


@contextlib.contextmanager
def on_a_node(endpoint: str, **config: str) -> Iterator[NodeHost]:
    """At the end all pods end, and then nothing is left of any volume."""
    with NodeHost(Path(tempfile.mkdtemp()), endpoint, **config) as node:
        yield node
        node.kubelet.unmount_all()
        assert node.mounted() == [], node.logs()
        assert node.status()["mounts"] == []
        assert _left(node.runtime / "credentials") == []
        assert list((node.kubelet.directory / "pods").iterdir()) == []
    node.remove()


@pytest.fixture
def bucket(moto: MotoServer) -> str:
    made = moto.bucket()
    fill(moto, made)
    return made


def test_two_pods_of_one_volume_read_and_write_while_it_is_published_again(moto: MotoServer, bucket: str) -> None:
    volume = Volume("data", {"bucketName": bucket})
    first, second = Use(Pod("first"), volume), Use(Pod("second"), volume, read_only=True)
    with on_a_node(moto.endpoint) as node:
        kubelet = node.kubelet
        assert kubelet.node_id == "node-1"
        kubelet.mount(first)
        other = kubelet.mount(second)
        assert node.mount_of(first)["name"] == node.mount_of(second)["name"]
        assert (node.mount_of(first)["volume"]["consumers"][0]["pod"]) == {
            "namespace": "team",
            "name": "first",
            "uid": first.pod.uid,
            "service_account": "default",
        }
        reader = Reader(kubelet, second, "reader", PRIVATE)
        writer = Writer(kubelet, first, "writer", HOST_TO_CONTAINER)
        with killed_at_the_end(reader, writer):
            for _ in range(20):
                assert kubelet.republish() == []
            reader.go_on()
            writer.go_on()
            with pytest.raises(OSError) as caught:
                (other / "new").write_bytes(b"")
            assert caught.value.errno == errno.EROFS
            stats = kubelet.stats(first)
            assert (stats.volume_condition.abnormal, stats.volume_condition.message) == (False, "ready")
            reader.check()
            assert writer.check(moto, bucket) == 0
        kubelet.unmount(first)
        assert (other / "small-1").stat().st_size == 1000
        with pytest.raises(MountFailed) as gone:
            kubelet.stats(first)
        assert gone.value.failure.code is grpc.StatusCode.NOT_FOUND
        kubelet.unmount(second)
        kubelet.unmount(second)  # as kubelet does after its restart
        assert len(kubelet.failures) == 1


def signer(seen: Seen) -> str:
    """The access key that a request was signed with."""
    return seen.headers.get("authorization", "").partition("Credential=")[2].partition("/")[0]


def test_a_volume_of_a_secret_gets_the_new_keys_and_pods_notice_nothing(moto: MotoServer, bucket: str) -> None:
    unknown: set[str] = {"test"}  # the driver's own: they are of no use to anybody here

    def decide(seen: Seen) -> Answer | None:
        return error(403, "InvalidAccessKeyId") if signer(seen) in unknown else None

    keys = {"key_id": "OLD", "access_key": "old-secret"}
    volume = Volume("data", {"bucketName": bucket, "authenticationSource": "secret"}, secret=lambda: keys)
    use = Use(Pod("first"), volume)
    with FaultyProxy(moto.endpoint, decide) as s3, on_a_node(s3.endpoint) as node:
        kubelet = node.kubelet
        kubelet.mount(use)
        assert {signer(seen) for seen in s3.seen} == {"OLD"}
        reader = Reader(kubelet, use, "reader", PRIVATE)
        writer = Writer(kubelet, use, "writer", PRIVATE)
        with killed_at_the_end(reader, writer):
            keys |= {"key_id": "NEW", "access_key": "new-secret"}
            assert kubelet.republish() == []
            poll_until(lambda: signer(s3.seen[-1]) == "NEW", "the new keys to be used")
            unknown.add("OLD")
            assert kubelet.republish() == []
            reader.go_on()
            writer.go_on()
            reader.check()
            assert writer.check(moto, bucket) == 0
        late = Use(Pod("late"), Volume("late", volume.attributes, secret=lambda: {"key_id": "OLD", "access_key": "o"}))
        with pytest.raises(MountFailed, match=r"UNAUTHENTICATED.*S3 does not know the access key") as caught:
            kubelet.try_to_mount(late)
        told = [caught.value.failure.sentence, node.logs(), json.dumps(node.status())]
        assert not [word for word in ("old-secret", "new-secret") for text in told if word in text]


def test_a_pod_may_have_a_volume_of_its_own_of_buckets_on_the_list(moto: MotoServer, bucket: str) -> None:
    allowed = moto.bucket(f"pods-{bucket}")
    fill(moto, allowed)
    with on_a_node(moto.endpoint, csi='inline-buckets = ["pods-*"]') as node:
        pod = Pod("first")
        target = node.kubelet.mount(Use(pod, Volume("scratch", {"bucketName": allowed}, inline=True)))
        (target / "of-the-pod").write_bytes(b"x")
        assert moto.boto.get_object(Bucket=allowed, Key="of-the-pod")["Body"].read() == b"x"
        with pytest.raises(MountFailed, match="inline-buckets") as caught:
            node.kubelet.try_to_mount(Use(pod, Volume("other", {"bucketName": bucket}, inline=True)))
        assert caught.value.failure.code is grpc.StatusCode.PERMISSION_DENIED


def test_a_pod_with_a_group_reads_and_writes_without_being_root(moto: MotoServer, bucket: str) -> None:
    volume = Volume("data", {"bucketName": bucket})
    grouped, plain = Use(Pod("grouped", fs_group="2000"), volume), Use(Pod("plain"), volume)
    as_one_of_them = ("setpriv", "--reuid=1000", "--regid=1000", "--groups=2000", "--")
    with on_a_node(moto.endpoint) as node:
        for use in (grouped, plain):
            node.kubelet.mount(use)
        assert node.mount_of(grouped)["name"] != node.mount_of(plain)["name"]
        script = "cat small-0 > /dev/null && stat -c %g . small-0 && echo mine > mine"
        done = run(node.kubelet, grouped, *as_one_of_them, "sh", "-c", f"cd {PLACE} && {script}")
        assert (done.returncode, done.stdout) == (0, "2000\n2000\n"), done.stderr
        assert moto.boto.get_object(Bucket=bucket, Key="mine")["Body"].read() == b"mine\n"
        refused = run(node.kubelet, plain, *as_one_of_them, "ls", PLACE)
        assert refused.returncode != 0
        assert "Permission denied" in refused.stderr


def test_a_bucket_that_is_missing_is_told_to_whoever_describes_the_pod(moto: MotoServer) -> None:
    with on_a_node(moto.endpoint) as node:
        use = Use(Pod("first"), Volume("data", {"bucketName": "there-is-none"}))
        with pytest.raises(MountFailed, match=r"there-is-none.*does not exist") as caught:
            node.kubelet.try_to_mount(use)
        assert caught.value.failure.code is grpc.StatusCode.NOT_FOUND
        moto.bucket("there-is-none")
        try:
            node.kubelet.mount(use)  # once it is there, kubelet's next try has it
        finally:
            moto.boto.delete_bucket(Bucket="there-is-none")


@pytest.mark.parametrize(
    ("attributes", "options"),
    [({}, ("allow-delete",)), ({"prefix": "small/"}, ()), ({"profile": "quick"}, ())],
    ids=["option", "prefix", "template"],
)
def test_volumes_of_one_bucket_with_other_options_are_mounts_of_their_own(
    moto: MotoServer, bucket: str, attributes: dict[str, str], options: tuple[str, ...]
) -> None:
    moto.put(bucket, "small/x", b"x")
    with on_a_node(moto.endpoint, config="[template.quick]\nmetadata-ttl = 1\n") as node:
        plain = Use(Pod("first"), Volume("data", {"bucketName": bucket}))
        other = Use(Pod("first"), Volume("other", {"bucketName": bucket, **attributes}, options))
        for use in (plain, other):
            node.kubelet.mount(use)
        assert node.mount_of(plain)["name"] != node.mount_of(other)["name"]


def test_a_pod_ends_while_the_supervisor_is_away(moto: MotoServer, bucket: str) -> None:
    volume = Volume("data", {"bucketName": bucket})
    first, second = Use(Pod("first"), volume), Use(Pod("second"), volume)
    with on_a_node(moto.endpoint) as node:
        kubelet = node.kubelet
        kubelet.mount(first)
        place = kubelet.mount(second)
        node.supervisor.kill()
        ending = threading.Thread(target=kubelet.unmount, args=[first])
        ending.start()
        poll_until(lambda: kubelet.failures, "kubelet to be refused")
        node.supervisor.start()
        ending.join()
        assert not kubelet.target(first).exists()
        assert (place / "small-0").stat().st_size == 1000
        assert {failure.code for failure in kubelet.failures} == {grpc.StatusCode.UNAVAILABLE}


def test_a_storm_of_publications_of_what_is_there_asks_s3_nothing(moto: MotoServer, bucket: str) -> None:
    with FaultyProxy(moto.endpoint) as s3, on_a_node(s3.endpoint) as node:
        uses = [Use(Pod(f"pod-{n}"), Volume(f"data-{n}", {"bucketName": bucket})) for n in range(VOLUMES)]
        with ThreadPoolExecutor(WORKERS) as pool:
            list(pool.map(node.kubelet.mount, uses))
            assert len(node.status()["mounts"]) == VOLUMES
            node.wait_until_whole()
            before = len(s3.seen)
            list(pool.map(node.kubelet.publish, uses * ROUNDS))
        asked = Counter((seen.method, seen.target) for seen in s3.seen[before:])
        # Engines that nobody uses ask for a sign of life every IDLE_SECONDS, whoever publishes what; that is not told
        # from a republication's but by its kind, so anything else fails this.
        assert asked.keys() <= {("HEAD", f"/{bucket}")}, f"within some {IDLE_SECONDS} s: {asked}"
        assert node.kubelet.failures == []
        with ThreadPoolExecutor(WORKERS) as pool:
            list(pool.map(node.kubelet.unmount, uses))


def _left(directory: Path) -> list[str]:
    return sorted(each.name for each in directory.iterdir()) if directory.exists() else []
