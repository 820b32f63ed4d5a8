"""CSI's Controller service: what external-provisioner and external-resizer ask. Called by gRPC's threads (server.py).

Makes volumes of prefixes (provisioner.py). Nothing is ever attached to a node.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import grpc

from mountctl.csi import mount_flags
from mountctl.csi.calls import called, seconds_left
from mountctl.csi.keyed_locks import KeyedLocks, StillHeld
from mountctl.csi.not_served import not_served
from mountctl.csi.proto import csi_pb2, csi_pb2_grpc
from mountctl.csi.provisioned import Capacity, Record
from mountctl.csi.provisioner import Provisioner
from mountctl.csi.refusal import InvalidArgument, Refusal
from mountctl.csi.storage_class import storage_class
from mountctl.csi.volume import checked_capability

_Capability = csi_pb2.ControllerServiceCapability
_CAPABILITIES: Final = (
    _Capability.RPC.CREATE_DELETE_VOLUME,
    _Capability.RPC.GET_CAPACITY,
    _Capability.RPC.EXPAND_VOLUME,
    _Capability.RPC.SINGLE_NODE_MULTI_WRITER,
)
# S3 has no bound that it would tell; this is the largest number of bytes that CSI can say.
_NO_BOUND: Final = 2**63 - 1
# external-provisioner names a volume `pvc-` and a UID; this is CSI's own bound.
_NAME_BYTES_MAX: Final = 128


class Controller(csi_pb2_grpc.ControllerServicer):
    """The service.

    Args:
        provisioner: makes volumes.
    """

    def __init__(self, provisioner: Provisioner) -> None:
        self._provisioner = provisioner
        self._locks = KeyedLocks()

    @called
    def ControllerGetCapabilities(  # noqa: N802 - gRPC's name
        self, request: csi_pb2.ControllerGetCapabilitiesRequest, context: grpc.ServicerContext
    ) -> csi_pb2.ControllerGetCapabilitiesResponse:
        """What may be asked."""
        return csi_pb2.ControllerGetCapabilitiesResponse(
            capabilities=[_Capability(rpc=_Capability.RPC(type=each)) for each in _CAPABILITIES]
        )

    @called
    def CreateVolume(  # noqa: N802
        self, request: csi_pb2.CreateVolumeRequest, context: grpc.ServicerContext
    ) -> csi_pb2.CreateVolumeResponse:
        """Make a volume, or find that it is there."""
        if not request.name:
            raise InvalidArgument("name is missing")
        if len(request.name.encode()) > _NAME_BYTES_MAX:
            raise InvalidArgument(f"name is longer than {_NAME_BYTES_MAX} bytes")
        _check_capabilities(request.volume_capabilities)
        if request.HasField("volume_content_source"):
            raise InvalidArgument("a volume begins empty: it can't be made of a snapshot or of another volume")
        if request.mutable_parameters:
            raise InvalidArgument("VolumeAttributesClasses are not supported: use profile, which a reload can change")
        size = _capacity(request.capacity_range)
        with self._alone(request.name, context):
            volume_id, record = self._provisioner.create(request.name, size, request.parameters, request.secrets)
        volume = csi_pb2.Volume(
            volume_id=volume_id, capacity_bytes=record.capacity_bytes, volume_context=record.attributes
        )
        return csi_pb2.CreateVolumeResponse(volume=volume)

    @called
    def DeleteVolume(  # noqa: N802
        self, request: csi_pb2.DeleteVolumeRequest, context: grpc.ServicerContext
    ) -> csi_pb2.DeleteVolumeResponse:
        """Delete a volume, with its data or without."""
        _check_id(request.volume_id)
        end = time.monotonic() + seconds_left(context)
        with self._alone(request.volume_id, context):
            self._provisioner.delete(request.volume_id, request.secrets, lambda: time.monotonic() < end)
        return csi_pb2.DeleteVolumeResponse()

    @called
    def ValidateVolumeCapabilities(  # noqa: N802
        self, request: csi_pb2.ValidateVolumeCapabilitiesRequest, context: grpc.ServicerContext
    ) -> csi_pb2.ValidateVolumeCapabilitiesResponse:
        """Whether a volume can be used so."""
        _check_id(request.volume_id)
        if not request.volume_capabilities:
            raise InvalidArgument("volume capabilities are missing")
        record = self._provisioner.look_up(request.volume_id, request.secrets)
        if unfit := _unfit(request, record):
            return csi_pb2.ValidateVolumeCapabilitiesResponse(message=unfit)
        return csi_pb2.ValidateVolumeCapabilitiesResponse(
            confirmed=csi_pb2.ValidateVolumeCapabilitiesResponse.Confirmed(
                volume_context=request.volume_context,
                volume_capabilities=request.volume_capabilities,
                parameters=request.parameters,
            )
        )

    @called
    def ControllerExpandVolume(  # noqa: N802
        self, request: csi_pb2.ControllerExpandVolumeRequest, context: grpc.ServicerContext
    ) -> csi_pb2.ControllerExpandVolumeResponse:
        """Record that a volume has more room. Nothing is to be done on nodes."""
        _check_id(request.volume_id)
        size = _capacity(request.capacity_range)
        if size == Capacity():
            raise InvalidArgument("capacity range is missing")
        with self._alone(request.volume_id, context):
            has = self._provisioner.expand(request.volume_id, size, request.secrets)
        return csi_pb2.ControllerExpandVolumeResponse(capacity_bytes=has, node_expansion_required=False)

    @called
    def GetCapacity(  # noqa: N802
        self, request: csi_pb2.GetCapacityRequest, context: grpc.ServicerContext
    ) -> csi_pb2.GetCapacityResponse:
        """How much there is for volumes that could be made so: S3 knows no end."""
        if request.volume_capabilities:
            _check_capabilities(request.volume_capabilities)
        if request.parameters:
            storage_class(request.parameters)
        return csi_pb2.GetCapacityResponse(available_capacity=_NO_BOUND)

    ControllerPublishVolume = not_served("a bucket is not attached to nodes: CSIDriver has attachRequired: false")
    ControllerUnpublishVolume = not_served("a bucket is not attached to nodes: CSIDriver has attachRequired: false")
    ListVolumes = not_served("volumes are listed by Kubernetes; their records are below .mountctl/volumes/ in S3")
    CreateSnapshot = not_served("S3 has no snapshots of a prefix: use the bucket's versioning or replication")
    DeleteSnapshot = not_served("S3 has no snapshots of a prefix")
    ListSnapshots = not_served("S3 has no snapshots of a prefix")
    GetSnapshot = not_served("S3 has no snapshots of a prefix")
    ControllerGetVolume = not_served("how a volume is, its node tells: NodeGetVolumeStats")
    ControllerModifyVolume = not_served(
        "VolumeAttributesClasses are not supported: use profile, which a reload changes"
    )

    @contextmanager
    def _alone(self, key: str, context: grpc.ServicerContext) -> Iterator[None]:
        """One request at a time for a volume; the others wait for as long as they may."""
        try:
            with self._locks.held(key, seconds_left(context)):
                yield
        except StillHeld:
            raise Refusal(grpc.StatusCode.ABORTED, f"{key}: another request for it is still at work") from None


def _check_id(volume_id: str) -> None:
    if not volume_id:
        raise InvalidArgument("volume id is missing")


def _check_capabilities(capabilities: Sequence[csi_pb2.VolumeCapability]) -> None:
    """Whether volumes can be used so: as a file system, with options that there are. Raises InvalidArgument."""
    if not capabilities:
        raise InvalidArgument("volume capabilities are missing")
    for capability in capabilities:
        mount, _ = checked_capability(capability, is_given=True)
        mount_flags.parse(mount.mount_flags)


def _capacity(wanted: csi_pb2.CapacityRange) -> Capacity:
    """What is asked for, if it can be. Raises Refusal."""
    size = Capacity(wanted.required_bytes, wanted.limit_bytes)
    if size.required < 0 or size.limit < 0:
        raise InvalidArgument("capacity range has a negative number of bytes")
    if size.limit and size.required > size.limit:
        raise Refusal(
            grpc.StatusCode.OUT_OF_RANGE, f"{size.required} bytes are asked for, and at most {size.limit} of them"
        )
    return size


def _unfit(request: csi_pb2.ValidateVolumeCapabilitiesRequest, record: Record) -> str | None:
    """Why a volume can't be used so; None: it can."""
    try:
        _check_capabilities(request.volume_capabilities)
        if request.parameters:
            storage_class(request.parameters)
    except InvalidArgument as refused:
        return str(refused)
    different = [key for key, value in record.attributes.items() if request.volume_context.get(key, value) != value]
    return f"the volume was made with another {', '.join(different)}" if different else None
