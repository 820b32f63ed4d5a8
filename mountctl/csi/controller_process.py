"""The process of `mountctl csi-controller`: its services, its sockets, its end. Imports neither FUSE nor an event loop.

It keeps nothing: what there is to know of volumes is in their records, so that it can be replaced at any time.
"""

import logging
from pathlib import Path
from typing import Final

import grpc

from mountctl.csi.controller import Controller
from mountctl.csi.health import HealthServer, answers
from mountctl.csi.identity import Identity
from mountctl.csi.proto import csi_pb2_grpc
from mountctl.csi.provisioner import Provisioner
from mountctl.csi.server import Server, socket_path
from mountctl.told_to_end import ToldToEnd

_log = logging.getLogger(__name__)

# RPCs at work at the end get so long; who has asked asks again for those that are cut off. A pod has 30 s by default.
END_SECONDS_MAX: Final = 20.0
# external-provisioner has a hundred workers; more of them than this wait here instead of at S3.
_THREADS_MAX: Final = 32


class ControllerProcess:
    """The services together, from `start` to `stop`.

    Args:
        driver: the driver's name.
        endpoint: the socket, as unix:///PATH.
        healthz: where probes are answered; empty: nowhere.
        secret_directory: of a mounted Secret with the driver's own keys; None, or if it has none: the usual places.
    """

    def __init__(self, driver: str, endpoint: str, healthz: str = "", secret_directory: Path | None = None) -> None:
        self._path = socket_path(endpoint)
        identity = Identity(driver, None, has_controller=True)
        controller = Controller(Provisioner(driver, secret_directory))

        def services(server: grpc.Server) -> None:
            csi_pb2_grpc.add_IdentityServicer_to_server(identity, server)
            csi_pb2_grpc.add_ControllerServicer_to_server(controller, server)

        self._server = Server(self._path, services, _THREADS_MAX)
        self._health = HealthServer(healthz, {"/healthz": lambda: answers(self._path)}) if healthz else None

    def start(self) -> None:
        """Begin to answer. Raises MountctlError when it can't."""
        self._server.start()
        if self._health is not None:
            self._health.start()
        _log.info("answering at %s", self._path)

    def stop(self) -> None:
        """Let what is at work come to its end, in bounded time."""
        self._server.stop(END_SECONDS_MAX).wait()
        if self._health is not None:
            self._health.stop()


def serve(process: ControllerProcess) -> int:
    """Until SIGTERM or SIGINT. Returns the exit code."""
    asked = ToldToEnd()
    process.start()
    asked.wait()
    _log.info("ending")
    process.stop()
    return 0
