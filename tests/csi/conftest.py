"""Fixtures of the CSI tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.csi.asking import Asking
from tests.csi.pods import Node
from tests.servers import MotoServer
from tests.service.running import Running


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    """A place for a supervisor; what it leaves is cleared after the test."""
    it = Running(tmp_path)
    yield it
    it.kill()


@pytest.fixture
def bucket(moto: MotoServer) -> str:
    """A bucket with one object, `x`, of one byte."""
    made = moto.bucket()
    moto.put(made, "x", b"x")
    return made


@pytest.fixture
def asking(running: Running, moto: MotoServer) -> Iterator[Asking]:
    """A supervisor that runs, with a file that declares no mount; nothing may be mounted at the end."""
    it = Asking(running, moto)
    it.configure()
    with running.running():
        yield it
        it.release_all()


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """A node with the node plugin's pod; what is left on it is cleared after the test."""
    it = Node(tmp_path)
    try:
        it.start_holder()
        yield it
    finally:
        it.close()
