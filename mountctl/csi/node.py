"""CSI's Node service: what kubelet asks for the volumes of this node's pods. Called by gRPC's threads (server.py).

It mounts nothing and has no S3: the supervisor does it all. To publish again what is published, which kubelet does all
the time, asks nobody.
"""

from dataclasses import dataclass
from typing import Final

import grpc

from mountctl.csi.calls import called, seconds_left
from mountctl.csi.credentials_interface import Credentials
from mountctl.csi.keyed_locks import KeyedLocks, StillHeld
from mountctl.csi.mount_table import MountTable
from mountctl.csi.not_served import not_served
from mountctl.csi.proto import csi_pb2, csi_pb2_grpc
from mountctl.csi.publishing import Publishing
from mountctl.csi.refusal import InvalidArgument, Refusal
from mountctl.csi.stats import condition, unknown, usage
from mountctl.csi.supervisor import STATUS_SECONDS_MAX, Mounted, Supervisor, mounted
from mountctl.csi.volume import checked_target, understood
from mountctl.errors import MountctlError, UnknownMount

_Capability = csi_pb2.NodeServiceCapability
_CAPABILITIES: Final = (
    _Capability.RPC.GET_VOLUME_STATS,
    _Capability.RPC.VOLUME_CONDITION,
    _Capability.RPC.VOLUME_MOUNT_GROUP,
    _Capability.RPC.SINGLE_NODE_MULTI_WRITER,
)


@dataclass(frozen=True)
class NodeSettings:
    """Who this node is.

    Args:
        driver: the driver's name.
        node_id: the node's, as Kubernetes has it.
        volumes_max: how many volumes it may have; 0: the orchestrator decides.
    """

    driver: str
    node_id: str
    volumes_max: int = 0


class Node(csi_pb2_grpc.NodeServicer):
    """The service.

    Args:
        settings: who this node is.
        supervisor: mounts.
        credentials: writes what mounts need to sign requests.
        mounts: what is mounted, as far as can be seen here.
    """

    def __init__(
        self,
        settings: NodeSettings,
        supervisor: Supervisor,
        credentials: Credentials,
        mounts: MountTable,
    ) -> None:
        self._settings = settings
        self._supervisor = supervisor
        self._locks = KeyedLocks()
        self._publishing = Publishing(settings.driver, supervisor, credentials, mounts)

    @called
    def NodeGetInfo(  # noqa: N802 - gRPC's name
        self, request: csi_pb2.NodeGetInfoRequest, context: grpc.ServicerContext
    ) -> csi_pb2.NodeGetInfoResponse:
        """Who this node is."""
        return csi_pb2.NodeGetInfoResponse(
            node_id=self._settings.node_id, max_volumes_per_node=self._settings.volumes_max
        )

    @called
    def NodeGetCapabilities(  # noqa: N802
        self, request: csi_pb2.NodeGetCapabilitiesRequest, context: grpc.ServicerContext
    ) -> csi_pb2.NodeGetCapabilitiesResponse:
        """What may be asked."""
        return csi_pb2.NodeGetCapabilitiesResponse(
            capabilities=[_Capability(rpc=_Capability.RPC(type=each)) for each in _CAPABILITIES]
        )

    @called
    def NodePublishVolume(  # noqa: N802
        self, request: csi_pb2.NodePublishVolumeRequest, context: grpc.ServicerContext
    ) -> csi_pb2.NodePublishVolumeResponse:
        """Have a volume at a target, also if it is there already."""
        asked = understood(request, self._settings.driver)
        with self._alone(asked.volume_id, asked.target, context):
            self._publishing.publish(asked, seconds_left(context))
        return csi_pb2.NodePublishVolumeResponse()

    @called
    def NodeUnpublishVolume(  # noqa: N802
        self, request: csi_pb2.NodeUnpublishVolumeRequest, context: grpc.ServicerContext
    ) -> csi_pb2.NodeUnpublishVolumeResponse:
        """Have a target gone, also if it is gone already."""
        if not request.volume_id:
            raise InvalidArgument("volume id is missing")
        target = checked_target(request.target_path)
        with self._alone(request.volume_id, target, context):
            self._publishing.unpublish(request.volume_id, target, seconds_left(context))
        return csi_pb2.NodeUnpublishVolumeResponse()

    @called
    def NodeGetVolumeStats(  # noqa: N802
        self, request: csi_pb2.NodeGetVolumeStatsRequest, context: grpc.ServicerContext
    ) -> csi_pb2.NodeGetVolumeStatsResponse:
        """How a published volume is. The volume itself is not touched."""
        if not request.volume_id:
            raise InvalidArgument("volume id is missing")
        if not request.volume_path:
            raise InvalidArgument("volume path is missing")
        path = request.volume_path.rstrip("/") or "/"
        use = self._publishing.published.at(path)
        known = use is not None and use.volume_id == request.volume_id
        try:
            mount = self._mount_at(request.volume_id, path, [use.name] if use is not None and known else [])
        except UnknownMount:
            mount = None
        except MountctlError as error:
            if not known:
                raise
            return csi_pb2.NodeGetVolumeStatsResponse(usage=[usage()], volume_condition=unknown(str(error)))
        if mount is None:
            raise Refusal(
                grpc.StatusCode.NOT_FOUND, f"volume {request.volume_id} is not published at {path} on this node"
            )
        return csi_pb2.NodeGetVolumeStatsResponse(usage=[usage()], volume_condition=condition(mount))

    NodeStageVolume = not_served("a volume is published at once: there is nothing to stage")
    NodeUnstageVolume = not_served("a volume is published at once: there is nothing to unstage")
    NodeExpandVolume = not_served("a bucket has no size that could grow")

    def _alone(self, volume_id: str, target: str, context: grpc.ServicerContext) -> "_Alone":
        return _Alone(self._locks, volume_id, target, seconds_left(context))

    def _mount_at(self, volume_id: str, path: str, names: list[str]) -> Mounted | None:
        """The mount that a volume has at a path. Raises MountctlError.

        Args:
            volume_id: CSI's.
            path: a target.
            names: of mounts that can be it; none: any.
        """
        for mount in mounted(self._supervisor.status(names, seconds=STATUS_SECONDS_MAX)):
            for consumer in mount.consumers(self._settings.driver):
                if (consumer.target, consumer.volume) == (path, volume_id):
                    return mount
        return None


class _Alone:
    """One RPC at a time for a volume at a target; the others wait for as long as they may."""

    def __init__(self, locks: KeyedLocks, volume_id: str, target: str, seconds: float) -> None:
        self._held = locks.held((volume_id, target), seconds)
        self._volume_id, self._target = volume_id, target

    def __enter__(self) -> None:
        try:
            self._held.__enter__()
        except StillHeld:
            sentence = f"volume {self._volume_id} at {self._target}: another request for it is still at work"
            raise Refusal(grpc.StatusCode.ABORTED, sentence) from None

    def __exit__(self, *error: object) -> None:
        self._held.__exit__(None, None, None)
