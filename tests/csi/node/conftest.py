"""A driver that answers on a socket, with a supervisor behind it, for each test."""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mountctl.control.client import ControlClient
from mountctl.csi.credentials_interface import Credentials, CredentialsError, Prepared
from mountctl.csi.node import NodeSettings
from mountctl.csi.node_process import NodeProcess, NoHolder, Places
from mountctl.csi.publish_request import PublishRequest
from tests.csi.node.fake_supervisor import FakeSupervisor
from tests.csi.node.kubelet import Kubelet, kubelet

DRIVER = "s3.mountctl.io"


class NotedCredentials:
    """Notes what it is asked to do; `identity` and `trouble` are what it answers."""

    def __init__(self) -> None:
        self.prepared: list[PublishRequest] = []
        self.refreshed: list[tuple[PublishRequest, str]] = []
        self.removed: list[str] = []
        self.answer = Prepared()
        self.trouble: CredentialsError | OSError | None = None

    def prepare(self, request: PublishRequest) -> Prepared:
        self.prepared.append(request)
        if isinstance(self.trouble, CredentialsError):
            raise self.trouble
        return self.answer

    def refresh(self, request: PublishRequest, name: str) -> None:
        self.refreshed.append((request, name))
        if self.trouble is not None:
            raise self.trouble

    def remove(self, name: str) -> None:
        self.removed.append(name)


@dataclasses.dataclass
class Stand:
    """All together. `driver()` is another process's driver at the same supervisor, as after a restart."""

    work: Path
    supervisor: FakeSupervisor
    credentials: NotedCredentials
    kubelet: Kubelet

    def target(self, name: str = "target") -> Path:
        return self.work / "mounts" / name

    @contextmanager
    def restarted(self) -> Iterator[Kubelet]:
        with driver(self.work, "again.sock", self.credentials) as again:
            yield again


@contextmanager
def driver(work: Path, socket: str, credentials: Credentials, **places: Any) -> Iterator[Kubelet]:
    process = NodeProcess(
        NodeSettings(DRIVER, "node-1", 7),
        Places(f"unix://{work / socket}", work / "kubelet", **places),
        ControlClient(work / "run"),
        credentials,
        NoHolder(),
    )
    process.start()
    try:
        with kubelet(work / socket) as asking:
            yield asking
    finally:
        process.stop()


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    credentials = NotedCredentials()
    (tmp_path / "mounts").mkdir()
    with FakeSupervisor(tmp_path / "run") as supervisor, driver(tmp_path, "csi.sock", credentials) as asking:
        yield Stand(tmp_path, supervisor, credentials, asking)
