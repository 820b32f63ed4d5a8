"""CSI's Identity service: who the driver is, and whether it can do its work. Called by gRPC's threads (server.py)."""

from typing import Final

import grpc
from google.protobuf.wrappers_pb2 import BoolValue

import engine
from mountctl.csi.calls import called
from mountctl.csi.proto import csi_pb2, csi_pb2_grpc
from mountctl.csi.supervisor import Supervisor
from mountctl.errors import MountctlError

# A probe has a second by default, of Kubernetes' and of most of its helpers'.
PROBE_SECONDS_MAX: Final = 0.8


def is_ready(supervisor: Supervisor) -> bool:
    """Whether the supervisor answers, within PROBE_SECONDS_MAX; without it no volume can be mounted."""
    try:
        supervisor.status(seconds=PROBE_SECONDS_MAX)
    except MountctlError:
        return False
    return True


class Identity(csi_pb2_grpc.IdentityServicer):
    """The service.

    Args:
        driver: the driver's name.
        supervisor: mounts; None where nothing is mounted by this process.
        has_controller: volumes can be made: a controller answers at this endpoint, or there is one in the cluster.
    """

    def __init__(self, driver: str, supervisor: Supervisor | None, *, has_controller: bool = False) -> None:
        self._driver = driver
        self._supervisor = supervisor
        self._has_controller = has_controller

    @called
    def GetPluginInfo(  # noqa: N802 - gRPC's name
        self, request: csi_pb2.GetPluginInfoRequest, context: grpc.ServicerContext
    ) -> csi_pb2.GetPluginInfoResponse:
        """The driver's name and version."""
        return csi_pb2.GetPluginInfoResponse(name=self._driver, vendor_version=engine.__version__)

    @called
    def GetPluginCapabilities(  # noqa: N802
        self, request: csi_pb2.GetPluginCapabilitiesRequest, context: grpc.ServicerContext
    ) -> csi_pb2.GetPluginCapabilitiesResponse:
        """Whether there is a controller."""
        service = csi_pb2.PluginCapability.Service
        kinds = [service.CONTROLLER_SERVICE] if self._has_controller else []
        return csi_pb2.GetPluginCapabilitiesResponse(
            capabilities=[csi_pb2.PluginCapability(service=service(type=kind)) for kind in kinds]
        )

    @called
    def Probe(  # noqa: N802
        self, request: csi_pb2.ProbeRequest, context: grpc.ServicerContext
    ) -> csi_pb2.ProbeResponse:
        """Whether the supervisor answers. Never waits for long."""
        ready = self._supervisor is None or is_ready(self._supervisor)
        return csi_pb2.ProbeResponse(ready=BoolValue(value=ready))
