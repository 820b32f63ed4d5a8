"""The process of `mountctl csi-node`: its services, its sockets, its end. Imports neither FUSE nor S3.

It can be replaced at any time: what is mounted belongs to the supervisor, and what this process knows it learns anew.
"""

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import grpc

from mountctl.csi.credentials_interface import Credentials
from mountctl.csi.health import HealthServer, answers
from mountctl.csi.identity import Identity, is_ready
from mountctl.csi.mount_table import KernelMounts
from mountctl.csi.node import Node, NodeSettings
from mountctl.csi.proto import csi_pb2_grpc
from mountctl.csi.registrar import Registrar
from mountctl.csi.server import Server, socket_path
from mountctl.csi.supervisor import STATUS_SECONDS_MAX, Supervisor
from mountctl.errors import MountctlError
from mountctl.metrics import exposition
from mountctl.told_to_end import ToldToEnd

_log = logging.getLogger(__name__)

# RPCs at work at the end get so long; kubelet asks again for those that are cut off. The rest of a pod's
# grace period is the holder's (--holder-patience), which hands on what it holds.
END_SECONDS_MAX: Final = 8.0


class Holder(Protocol):
    """The second keeper of the mounts' sessions, a process of its own that is started anew when it dies."""

    def start(self) -> None:
        """Have it run."""

    def alive(self) -> bool:
        """Whether it does."""

    def stop(self) -> None:
        """End it."""


class NoHolder:
    """Where the supervisor's own is enough."""

    def start(self) -> None:
        """Nothing to start."""

    def alive(self) -> bool:
        """Nothing that could die."""
        return True

    def stop(self) -> None:
        """Nothing to end."""


def told_metrics(supervisor: Supervisor) -> str:
    """For Prometheus: all mounts of the node, or that the supervisor does not answer."""
    try:
        return exposition.text(supervisor.status(seconds=STATUS_SECONDS_MAX))
    except MountctlError:
        return exposition.text(None)


@dataclass(frozen=True)
class Places:
    """Where things are.

    Args:
        endpoint: the socket, as unix:///PATH; by the same path as kubelet sees it, if it is registered from here.
        kubelet_dir: kubelet's directory.
        self_register: register with kubelet.
        healthz: where probes are answered; empty: nowhere.
    """

    endpoint: str
    kubelet_dir: Path
    self_register: bool = False
    healthz: str = ""


class NodeProcess:
    """All services together, from `start` to `stop`.

    Args:
        settings: who this node is.
        places: where things are.
        supervisor: mounts.
        credentials: writes what mounts need to sign requests.
        holder: holds sessions meanwhile.
        add: adds further services, such as a controller.
    """

    def __init__(
        self,
        settings: NodeSettings,
        places: Places,
        supervisor: Supervisor,
        credentials: Credentials,
        holder: Holder,
        add: Callable[[grpc.Server], None] | None = None,
    ) -> None:
        self._path = socket_path(places.endpoint)
        self._holder = holder
        identity = Identity(settings.driver, supervisor, has_controller=add is not None)
        node = Node(settings, supervisor, credentials, KernelMounts())

        def services(server: grpc.Server) -> None:
            csi_pb2_grpc.add_IdentityServicer_to_server(identity, server)
            csi_pb2_grpc.add_NodeServicer_to_server(node, server)
            if add is not None:
                add(server)

        self._server = Server(self._path, services)
        self._registrar = Registrar(settings.driver, self._path, places.kubelet_dir) if places.self_register else None
        checks = {"/healthz": lambda: answers(self._path), "/readyz": lambda: is_ready(supervisor)}
        pages = {"/metrics": lambda: (exposition.PROMETHEUS_TYPE, told_metrics(supervisor))}
        self._health = HealthServer(places.healthz, checks, pages) if places.healthz else None

    def start(self) -> None:
        """Begin to answer. Raises MountctlError when it can't; nothing is left running then."""
        self._holder.start()  # before there are threads of gRPC, which a fork does not like
        try:
            self._server.start()
            if self._health is not None:
                self._health.start()
            if self._registrar is not None:
                self._registrar.start()  # last: kubelet asks at once
        except BaseException:
            self.stop()
            raise
        _log.info("answering at %s", self._path)

    def stop(self) -> None:
        """Let what is at work come to its end, in bounded time."""
        if self._registrar is not None:
            self._registrar.stop()
        self._server.stop(END_SECONDS_MAX).wait()
        if self._health is not None:
            self._health.stop()
        self._holder.stop()


def serve(process: NodeProcess, beside: AbstractContextManager[object]) -> int:
    """Until SIGTERM or SIGINT. Returns the exit code.

    Args:
        process: the services.
        beside: what else is to be done meanwhile (errands.py); its threads begin when the services have begun.
    """
    asked = ToldToEnd()
    process.start()
    with beside:
        asked.wait()
        _log.info("ending")
    process.stop()
    return 0
