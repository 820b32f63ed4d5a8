"""Tells kubelet that the driver is there, without a sidecar.

kubelet looks for sockets in its plugins_registry, asks who is there, and says what came of it.
"""

import logging
import threading
from pathlib import Path
from typing import Final

import grpc

from engine.facts import about
from engine.message_ids import CSI_REGISTRATION
from mountctl.config.words import one_line
from mountctl.csi.proto import registration_pb2, registration_pb2_grpc
from mountctl.csi.server import Server
from mountctl.errors import MountctlError

_log = logging.getLogger(__name__)

REGISTRY: Final = "plugins_registry"
_TYPE: Final = "CSIPlugin"
# Of CSI, as kubelet compares it: any 1.x.
_VERSIONS: Final = ("1.0.0",)
# kubelet asks as long as the socket is there, and no more once it has failed for good; a new socket is a new beginning.
AGAIN_SECONDS: Final = 10.0


class _Registration(registration_pb2_grpc.RegistrationServicer):
    def __init__(self, registrar: "Registrar") -> None:
        self._registrar = registrar

    def GetInfo(  # noqa: N802 - gRPC's name
        self, request: registration_pb2.InfoRequest, context: grpc.ServicerContext
    ) -> registration_pb2.PluginInfo:
        return registration_pb2.PluginInfo(
            type=_TYPE,
            name=self._registrar.driver,
            endpoint=str(self._registrar.endpoint),
            supported_versions=_VERSIONS,
        )

    def NotifyRegistrationStatus(  # noqa: N802
        self, request: registration_pb2.RegistrationStatus, context: grpc.ServicerContext
    ) -> registration_pb2.RegistrationStatusResponse:
        self._registrar.told(registered=request.plugin_registered, error=request.error)
        return registration_pb2.RegistrationStatusResponse()


class Registrar:
    """The socket for kubelet, from `start` to `stop`.

    Args:
        driver: the driver's name.
        endpoint: the driver's own socket, by the path that kubelet has for it.
        kubelet_dir: kubelet's directory.
    """

    def __init__(self, driver: str, endpoint: Path, kubelet_dir: Path, again_seconds: float = AGAIN_SECONDS) -> None:
        self.driver: Final = driver
        self.endpoint: Final = endpoint
        self.registered: Final = threading.Event()
        self._path = kubelet_dir / REGISTRY / f"{driver}-reg.sock"
        self._again_seconds = again_seconds
        self._mutex = threading.Lock()
        self._server: Server | None = None
        self._again: threading.Timer | None = None
        self._stopped = False

    def start(self) -> None:
        """Be there for kubelet. Raises EndpointUnusable."""
        server = Server(
            self._path,
            lambda server: registration_pb2_grpc.add_RegistrationServicer_to_server(_Registration(self), server),
            threads=2,
        )
        with self._mutex:
            if not self._stopped:
                server.start()
                self._server = server

    def stop(self) -> None:
        """Be there no more: kubelet forgets the driver when its socket is gone."""
        with self._mutex:
            self._stopped = True
            if self._again is not None:
                self._again.cancel()
        self._close()

    def told(self, *, registered: bool, error: str) -> None:
        """What came of it, by kubelet's word."""
        if registered:
            _log.info("kubelet has registered %s", self.driver, extra=about(CSI_REGISTRATION))
            self.registered.set()
            return
        _log.error(
            "%s",
            one_line(f"kubelet did not register {self.driver}: {error or 'it does not say why'}"),
            extra=about(CSI_REGISTRATION),
        )
        self.registered.clear()
        with self._mutex:
            if not self._stopped:
                self._again = threading.Timer(self._again_seconds, self._anew)
                self._again.daemon = True
                self._again.start()

    def _anew(self) -> None:
        self._close()
        try:
            self.start()
        except MountctlError as error:
            _log.error("%s", one_line(str(error)), extra=about(CSI_REGISTRATION))

    def _close(self) -> None:
        with self._mutex:
            server, self._server = self._server, None
        if server is not None:
            server.stop(0).wait()  # not under the lock, which an RPC may want that must end first
        self._path.unlink(missing_ok=True)
