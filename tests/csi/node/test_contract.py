"""What the driver relies on, of a supervisor, asked of the test's own and of the real one alike."""

from collections.abc import Iterator

import grpc
import pytest

from mountctl.control.client import ControlClient
from mountctl.csi.credentials_interface import DriverCredentials
from mountctl.csi.supervisor import mounted
from mountctl.errors import Refused, UnknownMount
from mountctl.volume import Apply, Cause, Release
from tests.csi.node import supervised
from tests.csi.node.conftest import DRIVER, driver
from tests.csi.node.kubelet import Kubelet, publish
from tests.csi.node.supervised import HAS_VOLUMES, Supervised, request
from tests.csi.node.test_node import refused
from tests.servers import MotoServer

_REAL = pytest.param("real", marks=pytest.mark.skipif(not HAS_VOLUMES, reason="the supervisor has no volumes yet"))


@pytest.fixture(params=["fake", _REAL])
def it(request: pytest.FixtureRequest) -> Iterator[Supervised]:
    if request.param == "fake":
        with supervised.fake() as one:
            yield one
    else:
        server: MotoServer = request.getfixturevalue("moto")
        with supervised.real(server) as one:
            yield one


@pytest.fixture
def client(it: Supervised) -> ControlClient:
    return ControlClient(it.work / "run")


@pytest.fixture
def kubelet(it: Supervised) -> Iterator[Kubelet]:
    with driver(it.work, "csi.sock", DriverCredentials()) as asking:
        yield asking


def cause_of(client: ControlClient, asked: Apply) -> Cause | None:
    with pytest.raises(Refused) as error:
        client.apply(asked)
    assert str(error.value)
    return error.value.cause


def test_the_same_again_is_there_already(it: Supervised, client: ControlClient) -> None:
    asked = request(it, "one", "a")
    first, second = client.apply(asked), client.apply(asked)
    assert (first.name, first.fresh, second.name, second.fresh) == ("one", True, "one", False)
    assert (it.work / "mounts/a").is_mount()


def test_who_uses_a_volume_is_in_its_status(it: Supervised, client: ControlClient) -> None:
    client.apply(request(it, "one", "a"))
    client.apply(request(it, "one", "b", read_only=True))
    client.apply(request(it, "two", "c"))
    told = {mount.name: mount for mount in mounted(client.status())}
    assert set(told) == {"one", "two"}
    assert [
        (each.target, each.volume, each.read_only)
        for each in sorted(told["one"].consumers(DRIVER), key=lambda c: c.target)
    ] == [
        (str(it.work / "mounts/a"), "id of one", False),
        (str(it.work / "mounts/b"), "id of one", True),
    ]
    assert told["one"].consumers("another driver") == []
    assert told["one"].state == "ready"
    assert [mount.name for mount in mounted(client.status(["two"]))] == ["two"]
    with pytest.raises(UnknownMount):
        client.status(["three"])


def test_a_target_is_of_one_volume_in_one_way(it: Supervised, client: ControlClient) -> None:
    client.apply(request(it, "one", "a"))
    assert cause_of(client, request(it, "two", "a")) is Cause.CONFLICT
    assert cause_of(client, request(it, "one", "a", read_only=True)) is Cause.CONFLICT
    assert [mount.name for mount in mounted(client.status())] == ["one"]


def test_of_a_volume_that_cannot_be_had_nothing_is_left(it: Supervised, client: ControlClient) -> None:
    assert cause_of(client, request(it, "one", "a", bucket=it.missing)) is Cause.BUCKET_MISSING
    assert mounted(client.status()) == []
    assert not (it.work / "mounts/a").exists()


def test_a_target_goes_with_its_directory_and_the_last_one_with_the_mount(
    it: Supervised, client: ControlClient
) -> None:
    a, b = it.work / "mounts/a", it.work / "mounts/b"
    client.apply(request(it, "one", "a"))
    client.apply(request(it, "one", "b"))
    first = client.release(Release(target=str(a)))
    last = client.release(Release(target=str(b), volume="id of one"))
    assert (first.name, first.gone, last.name, last.gone) == ("one", False, "one", True)
    assert not a.exists()
    assert not b.exists()


def test_a_target_that_nobody_knows_is_gone(it: Supervised, client: ControlClient) -> None:
    empty = it.work / "mounts/empty"
    empty.mkdir()
    assert client.release(Release(target=str(empty))).name is None
    assert not empty.exists()
    assert client.release(Release(target=str(it.work / "mounts/never"))).name is None


# The whole way, from kubelet's request


def test_a_volume_is_published_again_and_unpublished(it: Supervised, kubelet: Kubelet) -> None:
    target = it.work / "mounts/target"
    asked = publish(target, ["allow-delete", "dir-mode 750"], bucketName=it.bucket, **it.attributes)
    for _ in range(3):
        kubelet.publish(asked)
    if it.has_files:
        assert (target / "x").read_bytes() == b"x"
    assert target.is_mount()
    assert not kubelet.stats("volume", target).volume_condition.abnormal
    kubelet.unpublish("volume", target)
    kubelet.unpublish("volume", target)
    assert not target.exists()
    assert refused(kubelet.stats, "volume", target)[0] is grpc.StatusCode.NOT_FOUND


def test_pods_with_equal_options_in_other_words_share_a_mount(
    it: Supervised, client: ControlClient, kubelet: Kubelet
) -> None:
    more = {"bucketName": it.bucket, **it.attributes}
    kubelet.publish(publish(it.work / "mounts/a", ["dir-mode 750", "allow-delete"], **more))
    kubelet.publish(publish(it.work / "mounts/b", ["--allow-delete", "--dir-mode=0750"], readonly=True, **more))
    kubelet.publish(publish(it.work / "mounts/c", ["allow-overwrite"], **more))
    assert sorted(len(mount.consumers(DRIVER)) for mount in mounted(client.status())) == [1, 2]


def test_a_missing_bucket_is_not_found(it: Supervised, kubelet: Kubelet) -> None:
    asked = publish(it.work / "mounts/target", bucketName=it.missing, **it.attributes)
    code, sentence = refused(kubelet.publish, asked)
    assert code is grpc.StatusCode.NOT_FOUND
    assert it.missing in sentence


def test_another_driver_process_goes_on_where_the_one_before_was(it: Supervised, client: ControlClient) -> None:
    asked = publish(it.work / "mounts/target", bucketName=it.bucket, **it.attributes)
    for socket in ("one.sock", "two.sock"):
        with driver(it.work, socket, DriverCredentials()) as asking:
            asking.publish(asked)
            other = publish(it.work / "mounts/target", readonly=True, bucketName=it.bucket, **it.attributes)
            assert refused(asking.publish, other)[0] is grpc.StatusCode.ALREADY_EXISTS
    assert [len(mount.consumers(DRIVER)) for mount in mounted(client.status())] == [1]
