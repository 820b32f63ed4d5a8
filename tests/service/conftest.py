"""Fixtures of the service tests."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import MotoServer
from tests.service.guarded import Guarded
from tests.service.installed import built, other_version
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


@pytest.fixture(scope="module")
def guarded() -> Iterator[Guarded]:
    """A server of its own, as all are asked for leave there."""
    with MotoServer() as server:
        made = Guarded(server)
        yield made
        made.close()


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory for hosts to see: our packages, and another version, one that does not run, one after that."""
    into = tmp_path_factory.mktemp("packages")
    deb = built(into).rename(into / "first.deb")
    other_version(deb, "9.0.0")
    other_version(deb, "9.1.0", {"engine/run.py": "\nraise ImportError('no such library')\n"})
    other_version(deb, "9.2.0")
    yield into
    shutil.rmtree(into)
