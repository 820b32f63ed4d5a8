"""Fixtures of the service tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import MotoServer
from tests.service.poison import POISONED
from tests.service.running import Running


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    """A place for a supervisor; what it leaves is cleared after the test."""
    it = Running(tmp_path)
    yield it
    it.kill()


@pytest.fixture
def poisoned(running: Running) -> Running:
    """Engines that die of certain names."""
    running.environment["PYTHONPATH"] = str(POISONED)
    return running


@pytest.fixture
def bucket(moto: MotoServer) -> str:
    """A bucket with one object, `x`, of one byte."""
    made = moto.bucket()
    moto.put(made, "x", b"x")
    return made
