"""What kubelet asks of the node's driver, over gRPC on a real socket."""

import grpc
import pytest

from mountctl.csi.credentials_interface import CredentialsError, Prepared
from mountctl.csi.proto import csi_pb2
from mountctl.volume import Cause
from tests.csi.node.conftest import DRIVER, Stand
from tests.csi.node.fake_supervisor import TROUBLE
from tests.csi.node.kubelet import Mode, capability, code_and_sentence, of_pod, publish

Code = grpc.StatusCode


def refused(call: object, *arguments: object) -> tuple[Code, str]:
    with pytest.raises(grpc.RpcError) as error:
        call(*arguments)  # type: ignore[operator]
    return code_and_sentence(error.value)


def test_the_driver_says_who_it_is(stand: Stand) -> None:
    told = stand.kubelet.identity.GetPluginInfo(csi_pb2.GetPluginInfoRequest())
    assert told.name == DRIVER
    assert told.vendor_version
    capabilities = stand.kubelet.identity.GetPluginCapabilities(csi_pb2.GetPluginCapabilitiesRequest())
    assert not capabilities.capabilities


def test_the_node_says_who_it_is_and_what_may_be_asked(stand: Stand) -> None:
    info = stand.kubelet.node.NodeGetInfo(csi_pb2.NodeGetInfoRequest())
    assert (info.node_id, info.max_volumes_per_node) == ("node-1", 7)
    told = stand.kubelet.node.NodeGetCapabilities(csi_pb2.NodeGetCapabilitiesRequest())
    kind = csi_pb2.NodeServiceCapability.RPC
    assert {each.rpc.type for each in told.capabilities} == {
        kind.GET_VOLUME_STATS,
        kind.VOLUME_CONDITION,
        kind.VOLUME_MOUNT_GROUP,
        kind.SINGLE_NODE_MULTI_WRITER,
    }


@pytest.mark.parametrize("method", ["NodeStageVolume", "NodeUnstageVolume", "NodeExpandVolume"])
def test_what_is_not_served_says_why(stand: Stand, method: str) -> None:
    code, sentence = refused(getattr(stand.kubelet.node, method), csi_pb2.NotServedRequest())
    assert code is Code.UNIMPLEMENTED
    assert "nothing to" in sentence or "no size" in sentence


def test_the_probe_tells_whether_the_supervisor_answers(stand: Stand) -> None:
    assert stand.kubelet.ready()
    stand.supervisor.stop()
    assert not stand.kubelet.ready()


def test_the_probe_does_not_wait_for_a_supervisor_that_hangs(stand: Stand) -> None:
    stand.supervisor.answers.clear()
    assert not stand.kubelet.ready()


def test_a_volume_comes_to_its_target_and_goes(stand: Stand) -> None:
    target = stand.target()
    stand.kubelet.publish(of_pod(publish(target, ["allow-delete"])))
    assert target.is_mount()
    (asked,) = stand.supervisor.applies
    assert asked.options == {"bucket": "bucket", "allow-delete": True}
    assert asked.driver == DRIVER
    assert asked.consumer.volume == "volume"
    assert asked.consumer.pod is not None
    assert (asked.consumer.pod.namespace, asked.consumer.pod.name) == ("namespace", "pod")
    stand.kubelet.unpublish("volume", target)
    assert not target.exists()
    assert stand.credentials.removed == [asked.name]


def test_the_last_target_of_a_mount_takes_its_credentials_along(stand: Stand) -> None:
    one, two = stand.target("one"), stand.target("two")
    stand.kubelet.publish(publish(one))
    stand.kubelet.publish(publish(two))
    name = stand.supervisor.applies[-1].name
    stand.kubelet.unpublish("volume", one)
    assert stand.credentials.removed == []
    stand.kubelet.unpublish("volume", two)
    assert stand.credentials.removed == [name]


def test_pods_share_a_mount_whether_they_write_or_not(stand: Stand) -> None:
    stand.kubelet.publish(publish(stand.target("one")))
    stand.kubelet.publish(publish(stand.target("two"), readonly=True))
    stand.kubelet.publish(publish(stand.target("three"), ["read-only"]))
    first, second, third = stand.supervisor.applies
    assert first.name == second.name == third.name
    assert [each.consumer.read_only for each in stand.supervisor.applies] == [False, True, True]


def test_other_options_or_another_identity_are_another_mount_and_no_error(stand: Stand) -> None:
    stand.kubelet.publish(publish(stand.target("one")))
    stand.kubelet.publish(publish(stand.target("two"), ["allow-delete"]))
    stand.credentials.answer = Prepared(identity="namespace/account")
    stand.kubelet.publish(publish(stand.target("three")))
    assert len({each.name for each in stand.supervisor.applies}) == 3


def test_what_credentials_need_goes_to_the_mount(stand: Stand) -> None:
    stand.credentials.answer = Prepared(
        environment={"AWS_ROLE_ARN": "arn:aws:iam::1:role/r"}, options={"ca-bundle": "/run/ca.pem"}
    )
    stand.kubelet.publish(publish(stand.target()))
    (asked,) = stand.supervisor.applies
    assert asked.options["environment"]["AWS_ROLE_ARN"] == "arn:aws:iam::1:role/r"
    assert asked.options["ca-bundle"] == "/run/ca.pem"


@pytest.mark.parametrize(
    ("mode", "read_only"), [(mode, "READER" in name) for name, mode in Mode.Mode.items() if mode != Mode.UNKNOWN]
)
def test_every_access_mode_can_be_had(stand: Stand, mode: Mode.Mode, read_only: bool) -> None:
    stand.kubelet.publish(publish(stand.target(), mode=mode))
    assert stand.supervisor.applies[0].consumer.read_only is read_only


def test_a_volume_for_one_pod_alone_is_at_one_target_only(stand: Stand) -> None:
    one, two = stand.target("one"), stand.target("two")
    stand.kubelet.publish(publish(one, mode=Mode.SINGLE_NODE_SINGLE_WRITER))
    code, sentence = refused(stand.kubelet.publish, publish(two, mode=Mode.SINGLE_NODE_SINGLE_WRITER))
    assert code is Code.FAILED_PRECONDITION
    assert str(one) in sentence
    stand.kubelet.unpublish("volume", one)
    stand.kubelet.publish(publish(two, mode=Mode.SINGLE_NODE_SINGLE_WRITER))


def test_a_volume_for_one_pod_alone_is_known_after_a_restart(stand: Stand) -> None:
    stand.kubelet.publish(publish(stand.target("one"), mode=Mode.SINGLE_NODE_SINGLE_WRITER))
    with stand.restarted() as again:
        other = publish(stand.target("two"), mode=Mode.SINGLE_NODE_SINGLE_WRITER)
        assert refused(again.publish, other)[0] is Code.FAILED_PRECONDITION


@pytest.mark.parametrize(
    "request_",
    [
        csi_pb2.NodePublishVolumeRequest(),
        csi_pb2.NodePublishVolumeRequest(volume_id="volume"),
        csi_pb2.NodePublishVolumeRequest(volume_id="volume", target_path="/target"),
        csi_pb2.NodePublishVolumeRequest(
            volume_id="volume", target_path="/target", volume_context={"bucketName": "bucket"}
        ),
        csi_pb2.NodePublishVolumeRequest(
            volume_id="volume", volume_capability=capability(), volume_context={"bucketName": "bucket"}
        ),
    ],
    ids=["nothing", "an id", "and a target", "and a bucket", "no target"],
)
def test_an_incomplete_request_is_invalid(stand: Stand, request_: csi_pb2.NodePublishVolumeRequest) -> None:
    code, sentence = refused(stand.kubelet.publish, request_)
    assert code is Code.INVALID_ARGUMENT
    assert "missing" in sentence
    assert stand.supervisor.applies == []


def test_an_incomplete_request_to_unpublish_is_invalid(stand: Stand) -> None:
    assert refused(stand.kubelet.unpublish, "", "/target")[0] is Code.INVALID_ARGUMENT
    assert refused(stand.kubelet.unpublish, "volume", "")[0] is Code.INVALID_ARGUMENT


def test_to_unpublish_what_is_not_there_is_done(stand: Stand) -> None:
    stand.kubelet.unpublish("volume", stand.target("never"))
    empty = stand.target("empty")
    empty.mkdir()
    stand.kubelet.unpublish("volume", empty)
    assert not empty.exists()


CODES = {
    "missing-bucket": Code.NOT_FOUND,
    "denied-bucket": Code.PERMISSION_DENIED,
    "keyless-bucket": Code.UNAUTHENTICATED,
    "far-bucket": Code.UNAVAILABLE,
    "no-fuse-bucket": Code.FAILED_PRECONDITION,
    "busy-bucket": Code.RESOURCE_EXHAUSTED,
    "slow-bucket": Code.DEADLINE_EXCEEDED,
    "forbidden-bucket": Code.PERMISSION_DENIED,
    "broken-bucket": Code.INTERNAL,
}


@pytest.mark.parametrize("bucket", TROUBLE)
def test_why_a_volume_cannot_be_had_is_told(stand: Stand, bucket: str) -> None:
    code, sentence = refused(stand.kubelet.publish, publish(stand.target(), bucketName=bucket))
    assert code is CODES[bucket]
    assert sentence == TROUBLE[bucket][2]


def test_credentials_of_a_mount_that_does_not_come_about_are_removed(stand: Stand) -> None:
    refused(stand.kubelet.publish, publish(stand.target(), bucketName="missing-bucket"))
    assert stand.credentials.removed == [stand.supervisor.applies[-1].name]


def test_credentials_that_another_target_uses_stay_when_one_more_cannot_be_had(stand: Stand) -> None:
    stand.kubelet.publish(publish(stand.target("one")))
    used = stand.supervisor.applies[0].name
    with stand.restarted() as again:
        stand.supervisor.trouble["bucket"] = TROUBLE["far-bucket"]
        assert refused(again.publish, publish(stand.target("two")))[0] is Code.UNAVAILABLE
        assert stand.credentials.removed == []
        stand.supervisor.trouble.clear()
        again.unpublish("volume", stand.target("one"))
    assert stand.credentials.removed == [used]


def test_a_lack_of_credentials_is_told(stand: Stand) -> None:
    stand.credentials.trouble = CredentialsError("service account namespace/account has no role", Cause.CREDENTIALS)
    code, sentence = refused(stand.kubelet.publish, publish(stand.target()))
    assert (code, sentence) == (Code.UNAUTHENTICATED, "service account namespace/account has no role")
    assert stand.supervisor.applies == []


def test_without_a_supervisor_nothing_new_is_published(stand: Stand) -> None:
    stand.supervisor.stop()
    code, sentence = refused(stand.kubelet.publish, publish(stand.target()))
    assert code is Code.UNAVAILABLE
    assert "no supervisor" in sentence
    assert refused(stand.kubelet.unpublish, "volume", stand.target())[0] is Code.UNAVAILABLE


def test_how_a_volume_is_can_be_asked(stand: Stand) -> None:
    target = stand.target()
    stand.kubelet.publish(publish(target))
    told = stand.kubelet.stats("volume", target)
    assert [each.unit for each in told.usage] == [csi_pb2.VolumeUsage.BYTES]
    assert not told.volume_condition.abnormal
    name = stand.supervisor.applies[0].name
    stand.supervisor.states[name] = ("degraded", "S3 does not answer")
    condition = stand.kubelet.stats("volume", target).volume_condition
    assert (condition.abnormal, condition.message) == (True, "degraded: S3 does not answer")


def test_how_an_unknown_volume_is_cannot_be_asked(stand: Stand) -> None:
    target = stand.target()
    stand.kubelet.publish(publish(target))
    assert refused(stand.kubelet.stats, "", target)[0] is Code.INVALID_ARGUMENT
    assert refused(stand.kubelet.stats, "volume", "")[0] is Code.INVALID_ARGUMENT
    assert refused(stand.kubelet.stats, "other", target)[0] is Code.NOT_FOUND
    assert refused(stand.kubelet.stats, "volume", stand.target("other"))[0] is Code.NOT_FOUND


def test_while_the_supervisor_is_away_a_volume_is_abnormal_and_there(stand: Stand) -> None:
    target = stand.target()
    stand.kubelet.publish(publish(target))
    stand.supervisor.stop()
    told = stand.kubelet.stats("volume", target)
    assert told.volume_condition.abnormal
    assert "no supervisor" in told.volume_condition.message
    assert refused(stand.kubelet.stats, "other", target)[0] is Code.UNAVAILABLE


def test_after_a_restart_it_is_known_how_a_volume_is(stand: Stand) -> None:
    stand.kubelet.publish(publish(stand.target()))
    with stand.restarted() as again:
        assert not again.stats("volume", stand.target()).volume_condition.abnormal
