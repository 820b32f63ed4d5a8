"""Supervisors of both kinds, the test's and the real one, for what must hold with either."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Protocol

from mountctl.control.client import ControlClient
from mountctl.volume import Apply, Consumer, Release
from tests.csi.node.fake_supervisor import FakeSupervisor
from tests.servers import MotoServer
from tests.service.running import Running, poll_until

HAS_VOLUMES: Final = find_spec("mountctl.supervisor.volumes") is not None


class Supervised(Protocol):
    """A supervisor that runs.

    Args:
        work: a directory whose name is short; the control socket is in `run`, targets are in `mounts`.
        bucket: one that is there; `missing` is one that is not.
        attributes: what a volume needs to say beside its bucket.
        options: the same, as options of a mount.
        has_files: `x` is in the bucket, of one byte.
    """

    work: Path
    bucket: str
    missing: str
    attributes: dict[str, str]
    options: dict[str, Any]
    has_files: bool


class Fake:
    bucket, missing = "bucket", "missing-bucket"
    has_files = False

    def __init__(self, work: Path) -> None:
        self.work = work
        self.attributes: dict[str, str] = {}
        self.options: dict[str, Any] = {}


class Real:
    missing = "there-is-none"
    has_files = True

    def __init__(self, work: Path, server: MotoServer) -> None:
        self.work = work
        self.bucket = server.bucket()
        server.put(self.bucket, "x", b"x")
        self.attributes = {"endpointUrl": server.endpoint, "pathStyle": "true"}
        self.options: dict[str, Any] = {"endpoint-url": server.endpoint, "force-path-style": True}


@contextmanager
def fake() -> Iterator[Supervised]:
    with _short_directory() as work, FakeSupervisor(work / "run"):
        yield Fake(work)


@contextmanager
def real(server: MotoServer) -> Iterator[Supervised]:
    with _short_directory() as work:
        running = Running(work)
        running.config.write_text(f'[csi]\ntarget-directory = "{work / "mounts"}"\n')
        try:
            with running.running():
                poll_until(running.status, "the supervisor to answer")
                it = Real(work, server)
                yield it
                client = ControlClient(work / "run")
                for mount in client.status()["mounts"]:
                    for consumer in mount["volume"]["consumers"]:
                        client.release(Release(target=consumer["target"]))
        finally:
            running.kill()


def request(it: Supervised, name: str, target: str, *, bucket: str = "", read_only: bool = False, **more: Any) -> Apply:
    return Apply(
        name=name,
        options={"bucket": bucket or it.bucket, **it.options, **more},
        driver="s3.mountctl.io",
        consumer=Consumer(target=str(it.work / "mounts" / target), read_only=read_only, volume=f"id of {name}"),
    )


@contextmanager
def _short_directory() -> Iterator[Path]:
    work = Path(tempfile.mkdtemp())
    (work / "mounts").mkdir()
    yield work
    shutil.rmtree(work)  # not after a failure: the logs are there
