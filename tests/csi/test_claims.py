"""A claim's life, with all of it real but Kubernetes: a volume is made, written to through a mount, and deleted."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from mountctl.csi.proto import csi_pb2, csi_pb2_grpc
from tests.csi.whole_driver import whole_driver
from tests.servers import S3Server
from tests.service.running import Running

CAPABILITY = csi_pb2.VolumeCapability(
    mount=csi_pb2.VolumeCapability.MountVolume(),
    access_mode=csi_pb2.VolumeCapability.AccessMode(mode=csi_pb2.VolumeCapability.AccessMode.MULTI_NODE_MULTI_WRITER),
)


class Claims:
    """What external-provisioner and kubelet do for claims of one StorageClass."""

    def __init__(self, channel: grpc.Channel, server: S3Server, work: Path) -> None:
        self.server, self.bucket = server, server.bucket()
        self._controller = csi_pb2_grpc.ControllerStub(channel)
        self._node = csi_pb2_grpc.NodeStub(channel)
        self._targets = work / "targets"
        self._targets.mkdir()

    def provision(self, name: str, **parameters: str) -> csi_pb2.Volume:
        given = {
            "bucketName": self.bucket,
            "prefix": "cluster/",
            "endpointUrl": self.server.endpoint,
            "pathStyle": "true",
            "csi.storage.k8s.io/pvc/namespace": "team",
            "csi.storage.k8s.io/pvc/name": "data",
        }
        request = csi_pb2.CreateVolumeRequest(
            name=name, parameters=given | parameters, volume_capabilities=[CAPABILITY]
        )
        volume: csi_pb2.Volume = self._controller.CreateVolume(request, timeout=60).volume
        return volume

    def publish(self, volume: csi_pb2.Volume, target: str) -> Path:
        path = self._targets / target
        self._node.NodePublishVolume(
            csi_pb2.NodePublishVolumeRequest(
                volume_id=volume.volume_id,
                target_path=str(path),
                volume_capability=CAPABILITY,
                volume_context=volume.volume_context,
            ),
            timeout=60,
        )
        return path

    def unpublish(self, volume: csi_pb2.Volume, path: Path) -> None:
        request = csi_pb2.NodeUnpublishVolumeRequest(volume_id=volume.volume_id, target_path=str(path))
        self._node.NodeUnpublishVolume(request, timeout=60)

    def delete(self, volume: csi_pb2.Volume) -> None:
        self._controller.DeleteVolume(csi_pb2.DeleteVolumeRequest(volume_id=volume.volume_id), timeout=60)

    def listed_keys(self) -> list[str]:
        listed: dict[str, Any] = self.server.boto.list_objects_v2(Bucket=self.bucket)
        return [each["Key"] for each in listed.get("Contents", [])]


@pytest.fixture
def claims(tmp_path: Path, moto: S3Server) -> Iterator[Claims]:
    running, endpoint = Running(tmp_path), tmp_path / "csi.sock"
    running.configure(moto)
    with (
        running.running(),
        whole_driver(running, endpoint),
        grpc.insecure_channel(f"unix://{endpoint}") as channel,
    ):
        yield Claims(channel, moto, tmp_path)


def test_each_claim_has_its_own_files_and_sees_no_record(claims: Claims) -> None:
    pattern = "${.PVC.namespace}/${.PVC.name}-${.PV.name}"
    volumes = [claims.provision(name, pathPattern=pattern, onDelete="delete") for name in ("pvc-1", "pvc-2")]
    paths = [claims.publish(volume, f"target-{index}") for index, volume in enumerate(volumes)]

    assert [list(path.iterdir()) for path in paths] == [[], []]
    for index, path in enumerate(paths):
        (path / "file").write_text(f"of {index}")
    assert [(path / "file").read_text() for path in paths] == ["of 0", "of 1"]
    assert {"cluster/team/data-pvc-1/file", "cluster/team/data-pvc-2/file"} < {*claims.listed_keys()}

    claims.unpublish(volumes[0], paths[0])
    claims.delete(volumes[0])
    assert claims.listed_keys() == ["cluster/.mountctl/volumes/pvc-2.json", "cluster/team/data-pvc-2/file"]
    assert (paths[1] / "file").read_text() == "of 1"
    claims.unpublish(volumes[1], paths[1])
    claims.delete(volumes[1])
    assert claims.listed_keys() == []


def test_a_claim_that_comes_again_finds_what_was_kept(claims: Claims) -> None:
    pattern = "${.PVC.namespace}/${.PVC.name}"
    first = claims.provision("pvc-1", pathPattern=pattern)
    path = claims.publish(first, "first")
    (path / "file").write_text("kept")
    claims.unpublish(first, path)
    claims.delete(first)

    again = claims.provision("pvc-2", pathPattern=pattern)
    path = claims.publish(again, "again")
    assert (path / "file").read_text() == "kept"
    claims.unpublish(again, path)
