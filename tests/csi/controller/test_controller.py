"""The controller's answers over gRPC: a real server and client on a socket, and a real S3."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from mountctl.csi.controller_process import ControllerProcess
from mountctl.csi.proto import csi_pb2, csi_pb2_grpc
from tests.servers import ACCESS_KEY, SECRET_KEY, S3Server

SECRETS = {"key_id": ACCESS_KEY, "access_key": SECRET_KEY}
GIB = 1024**3
Mode = csi_pb2.VolumeCapability.AccessMode
NOT_SERVED = [
    "ControllerPublishVolume", "ControllerUnpublishVolume", "ListVolumes", "CreateSnapshot", "DeleteSnapshot",
    "ListSnapshots", "GetSnapshot", "ControllerGetVolume", "ControllerModifyVolume",
]  # fmt: skip


def mount(mode: Any = Mode.MULTI_NODE_MULTI_WRITER, *flags: str) -> csi_pb2.VolumeCapability:
    return csi_pb2.VolumeCapability(
        mount=csi_pb2.VolumeCapability.MountVolume(mount_flags=flags),
        access_mode=csi_pb2.VolumeCapability.AccessMode(mode=mode),
    )


BLOCK = csi_pb2.VolumeCapability(
    block=csi_pb2.VolumeCapability.BlockVolume(),
    access_mode=csi_pb2.VolumeCapability.AccessMode(mode=Mode.SINGLE_NODE_WRITER),
)


class Asked:
    """A controller, asked as external-provisioner does it."""

    def __init__(self, channel: grpc.Channel, server: S3Server) -> None:
        self.stub = csi_pb2_grpc.ControllerStub(channel)
        self.identity = csi_pb2_grpc.IdentityStub(channel)
        self.parameters = {"bucketName": server.bucket(), "endpointUrl": server.endpoint, "pathStyle": "true"}

    def create(self, name: str = "pvc-1", **changed: Any) -> csi_pb2.Volume:
        given = {
            "name": name,
            "parameters": self.parameters,
            "secrets": SECRETS,
            "volume_capabilities": [mount()],
            "capacity_range": csi_pb2.CapacityRange(required_bytes=GIB),
        }
        answer = self.stub.CreateVolume(csi_pb2.CreateVolumeRequest(**given | changed), timeout=30)
        volume: csi_pb2.Volume = answer.volume
        return volume

    def validate(self, volume_id: str, **changed: Any) -> csi_pb2.ValidateVolumeCapabilitiesResponse:
        given = {"volume_id": volume_id, "secrets": SECRETS, "volume_capabilities": [mount()]}
        request = csi_pb2.ValidateVolumeCapabilitiesRequest(**given | changed)
        answer: csi_pb2.ValidateVolumeCapabilitiesResponse = self.stub.ValidateVolumeCapabilities(request, timeout=30)
        return answer


@pytest.fixture(scope="module")
def channel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[grpc.Channel]:
    path: Path = tmp_path_factory.mktemp("csi") / "csi.sock"
    process = ControllerProcess("s3.mountctl.io", f"unix://{path}")
    process.start()
    with grpc.insecure_channel(f"unix://{path}") as opened:
        yield opened
    process.stop()


@pytest.fixture
def asked(channel: grpc.Channel, moto: S3Server) -> Asked:
    return Asked(channel, moto)


def refused(call: Any, *arguments: Any, **keywords: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as error:
        call(*arguments, **keywords)
    code: grpc.StatusCode = error.value.code()
    return code, str(error.value.details())


def test_who_it_is_and_what_it_can(asked: Asked) -> None:
    capabilities = asked.stub.ControllerGetCapabilities(csi_pb2.ControllerGetCapabilitiesRequest()).capabilities
    kind = csi_pb2.ControllerServiceCapability.RPC
    plugin = asked.identity.GetPluginCapabilities(csi_pb2.GetPluginCapabilitiesRequest()).capabilities

    assert {each.rpc.type for each in capabilities} == {
        kind.CREATE_DELETE_VOLUME,
        kind.SINGLE_NODE_MULTI_WRITER,
        kind.EXPAND_VOLUME,
        kind.GET_CAPACITY,
    }
    assert [each.service.type for each in plugin] == [csi_pb2.PluginCapability.Service.CONTROLLER_SERVICE]
    assert asked.identity.GetPluginInfo(csi_pb2.GetPluginInfoRequest()).name == "s3.mountctl.io"
    assert asked.identity.Probe(csi_pb2.ProbeRequest()).ready.value


def test_a_volume_is_made_used_grown_and_deleted(asked: Asked) -> None:
    volume = asked.create()
    bucket = asked.parameters["bucketName"]

    assert volume.capacity_bytes == GIB
    assert volume.volume_context == {
        "bucketName": bucket,
        "prefix": "pvc-1/",
        "endpointUrl": asked.parameters["endpointUrl"],
        "pathStyle": "true",
    }
    assert asked.create() == volume
    confirmed = asked.validate(volume.volume_id, volume_context=volume.volume_context).confirmed
    assert confirmed.volume_capabilities == [mount()]
    assert confirmed.volume_context == volume.volume_context
    grown = asked.stub.ControllerExpandVolume(
        csi_pb2.ControllerExpandVolumeRequest(
            volume_id=volume.volume_id,
            capacity_range=csi_pb2.CapacityRange(required_bytes=2 * GIB),
            secrets=SECRETS,
        )
    )
    assert (grown.capacity_bytes, grown.node_expansion_required) == (2 * GIB, False)
    for _ in range(2):
        asked.stub.DeleteVolume(csi_pb2.DeleteVolumeRequest(volume_id=volume.volume_id, secrets=SECRETS))
    assert refused(asked.validate, volume.volume_id)[0] is grpc.StatusCode.NOT_FOUND


def test_all_modes_of_access_can_be_had(asked: Asked) -> None:
    for mode in range(1, 8):
        volume = asked.create(f"pvc-{mode}", volume_capabilities=[mount(mode)])
        assert asked.validate(volume.volume_id, volume_capabilities=[mount(mode)]).HasField("confirmed")


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"name": ""}, "name is missing"),
        ({"name": "x" * 129}, "longer than 128"),
        ({"volume_capabilities": []}, "volume capabilities are missing"),
        ({"volume_capabilities": [BLOCK]}, "no block device"),
        ({"volume_capabilities": [mount(1, "read-onlyy")]}, "read-only"),
        ({"capacity_range": csi_pb2.CapacityRange(required_bytes=-1)}, "negative"),
        ({"mutable_parameters": {"a": "b"}}, "VolumeAttributesClasses"),
        ({"parameters": {"bucketNam": "x"}}, "did you mean bucketName?"),
        (
            {
                "volume_content_source": csi_pb2.VolumeContentSource(
                    snapshot=csi_pb2.VolumeContentSource.SnapshotSource(snapshot_id="x")
                )
            },
            "begins empty",
        ),
    ],
)
def test_what_can_not_be_made_is_invalid(asked: Asked, changed: dict[str, Any], told: str) -> None:
    code, sentence = refused(asked.create, **({"name": "pvc-1"} | changed))

    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert told in sentence


def test_a_volume_can_not_be_larger_than_it_may_be(asked: Asked) -> None:
    size = csi_pb2.CapacityRange(required_bytes=2, limit_bytes=1)

    assert refused(asked.create, capacity_range=size)[0] is grpc.StatusCode.OUT_OF_RANGE


def test_the_same_name_with_another_size_is_there_already(asked: Asked) -> None:
    asked.create()
    size = csi_pb2.CapacityRange(required_bytes=2 * GIB, limit_bytes=2 * GIB)

    assert refused(asked.create, capacity_range=size)[0] is grpc.StatusCode.ALREADY_EXISTS


def test_what_a_volume_can_not_do_is_not_confirmed(asked: Asked) -> None:
    volume = asked.create()

    for changed, told in [
        ({"volume_capabilities": [mount(), BLOCK]}, "block device"),
        ({"volume_context": {"bucketName": "another"}}, "another bucketName"),
        ({"parameters": {"bucketName": "x", "onDelete": "never"}}, "onDelete"),
    ]:
        answer = asked.validate(volume.volume_id, **changed)
        assert not answer.HasField("confirmed")
        assert told in answer.message


@pytest.mark.parametrize(
    ("method", "request_type"),
    [
        ("DeleteVolume", csi_pb2.DeleteVolumeRequest),
        ("ValidateVolumeCapabilities", csi_pb2.ValidateVolumeCapabilitiesRequest),
        ("ControllerExpandVolume", csi_pb2.ControllerExpandVolumeRequest),
    ],
)
def test_an_id_is_needed(asked: Asked, method: str, request_type: Any) -> None:
    code, sentence = refused(getattr(asked.stub, method), request_type())

    assert (code, sentence) == (grpc.StatusCode.INVALID_ARGUMENT, "volume id is missing")


def test_capabilities_are_needed_to_judge_them(asked: Asked) -> None:
    volume = asked.create()

    assert refused(asked.validate, volume.volume_id, volume_capabilities=[])[0] is grpc.StatusCode.INVALID_ARGUMENT


def test_an_id_that_nobody_knows(asked: Asked) -> None:
    asked.stub.DeleteVolume(csi_pb2.DeleteVolumeRequest(volume_id="unknown"))

    assert refused(asked.validate, "unknown")[0] is grpc.StatusCode.NOT_FOUND
    size = csi_pb2.CapacityRange(required_bytes=1)
    request = csi_pb2.ControllerExpandVolumeRequest(volume_id="unknown", capacity_range=size)
    assert refused(asked.stub.ControllerExpandVolume, request)[0] is grpc.StatusCode.NOT_FOUND


def test_how_much_there_is_room_for(asked: Asked) -> None:
    request = csi_pb2.GetCapacityRequest(parameters=asked.parameters, volume_capabilities=[mount()])

    assert asked.stub.GetCapacity(request).available_capacity == 2**63 - 1
    wrong = csi_pb2.GetCapacityRequest(parameters={"bucketName": "x", "regoin": "y"})
    assert "did you mean region?" in refused(asked.stub.GetCapacity, wrong)[1]


@pytest.mark.parametrize("method", NOT_SERVED)
def test_what_is_not_served_says_why(asked: Asked, method: str) -> None:
    code, sentence = refused(getattr(asked.stub, method), csi_pb2.NotServedRequest())

    assert code is grpc.StatusCode.UNIMPLEMENTED
    assert len(sentence) > 20


def test_secrets_are_not_in_the_log(asked: Asked, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", logger="mountctl")
    secrets = {"key_id": "AKIAIOSFODNN7EXAMPLE", "access_key": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}

    asked.create("pvc-1", secrets=secrets)
    refused(asked.create, "pvc-1", secrets=secrets, capacity_range=csi_pb2.CapacityRange(required_bytes=5 * GIB))

    assert "CreateVolume" in caplog.text
    assert not any(secret in caplog.text for secret in secrets.values())
