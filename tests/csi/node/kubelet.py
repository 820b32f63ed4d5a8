"""A client of the driver, as kubelet is one, and the requests that it sends."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import grpc

from mountctl.csi.proto import csi_pb2, csi_pb2_grpc

# Generous, as every limit of a test: none waits for it unless something is broken.
SECONDS_MAX: Final = 30.0

Mode = csi_pb2.VolumeCapability.AccessMode


def capability(
    flags: Sequence[str] = (), *, mode: Mode.Mode = Mode.MULTI_NODE_MULTI_WRITER, group: str = ""
) -> csi_pb2.VolumeCapability:
    return csi_pb2.VolumeCapability(
        mount=csi_pb2.VolumeCapability.MountVolume(mount_flags=flags, volume_mount_group=group),
        access_mode=Mode(mode=mode),
    )


def publish(
    target: Path | str = "/target",
    flags: Sequence[str] = (),
    *,
    volume: str = "volume",
    mode: Mode.Mode = Mode.MULTI_NODE_MULTI_WRITER,
    group: str = "",
    readonly: bool = False,
    secrets: dict[str, str] | None = None,
    **attributes: str,
) -> csi_pb2.NodePublishVolumeRequest:
    """A request; attributes with other signs than letters are given with `context`."""
    return csi_pb2.NodePublishVolumeRequest(
        volume_id=volume,
        target_path=str(target),
        volume_capability=capability(flags, mode=mode, group=group),
        readonly=readonly,
        secrets=secrets or {},
        volume_context={"bucketName": "bucket", **attributes},
    )


def of_pod(
    request: csi_pb2.NodePublishVolumeRequest, name: str = "pod", **more: str
) -> csi_pb2.NodePublishVolumeRequest:
    """The same, with what kubelet adds."""
    prefix = "csi.storage.k8s.io/"
    added = {
        f"{prefix}pod.name": name,
        f"{prefix}pod.namespace": "namespace",
        f"{prefix}pod.uid": f"uid-of-{name}",
        f"{prefix}serviceAccount.name": "account",
        f"{prefix}ephemeral": "false",
    }
    for key, value in (added | more).items():
        request.volume_context[key] = value
    return request


class Kubelet:
    """Asks the driver at a socket."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.identity = csi_pb2_grpc.IdentityStub(channel)
        self.node = csi_pb2_grpc.NodeStub(channel)

    def publish(self, request: csi_pb2.NodePublishVolumeRequest, seconds: float = SECONDS_MAX) -> None:
        self.node.NodePublishVolume(request, timeout=seconds)

    def unpublish(self, volume: str, target: Path | str, seconds: float = SECONDS_MAX) -> None:
        request = csi_pb2.NodeUnpublishVolumeRequest(volume_id=volume, target_path=str(target))
        self.node.NodeUnpublishVolume(request, timeout=seconds)

    def stats(self, volume: str, path: Path | str) -> csi_pb2.NodeGetVolumeStatsResponse:
        request = csi_pb2.NodeGetVolumeStatsRequest(volume_id=volume, volume_path=str(path))
        response: csi_pb2.NodeGetVolumeStatsResponse = self.node.NodeGetVolumeStats(request, timeout=SECONDS_MAX)
        return response

    def ready(self) -> bool:
        response: csi_pb2.ProbeResponse = self.identity.Probe(csi_pb2.ProbeRequest(), timeout=SECONDS_MAX)
        return response.ready.value


@contextmanager
def kubelet(socket: Path) -> Iterator[Kubelet]:
    with grpc.insecure_channel(f"unix:{socket}") as channel:
        grpc.channel_ready_future(channel).result(SECONDS_MAX)
        yield Kubelet(channel)


def code_and_sentence(error: Any) -> tuple[grpc.StatusCode, str]:
    return error.code(), error.details()
