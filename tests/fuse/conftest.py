"""Mounts that many tests share, each in a directory of its own: a mount costs a second."""

import contextlib
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pytest

from tests.fuse.mounted import Mounted
from tests.servers import S3Server


@dataclass(frozen=True)
class Place:
    """A test's own directory of a shared mount; `prefix` is where its keys are."""

    server: S3Server
    bucket: str
    prefix: str
    path: Path
    mounted: Mounted

    def put(self, name: str, data: bytes, **options: Any) -> None:
        self.server.put(self.bucket, self.prefix + name, data, **options)

    def delete(self, name: str) -> None:
        self.server.delete(self.bucket, self.prefix + name)

    def stored(self) -> list[str]:
        """What is in S3 here, without the test's prefix."""
        found = self.server.boto.list_objects_v2(Bucket=self.bucket, Prefix=self.prefix)
        return sorted(entry["Key"].removeprefix(self.prefix) for entry in found.get("Contents", []))

    def has(self, name: str) -> bool:
        """The object is in S3."""
        return name in self.stored()

    def content(self, name: str) -> bytes:
        """An object as S3 has it."""
        body: bytes = self.server.boto.get_object(Bucket=self.bucket, Key=self.prefix + name)["Body"].read()
        return body

    def uploads(self) -> list[str]:
        """Multipart uploads that are neither complete nor aborted."""
        try:
            found = self.server.boto.list_multipart_uploads(Bucket=self.bucket).get("Uploads", [])
        except self.server.boto.exceptions.NoSuchUpload:
            return []  # rclone's way to say that there are none
        return [entry["Key"] for entry in found if entry["Key"].startswith(self.prefix)]


class SharedMounts:
    """Mounts by server and options, made when first asked for and kept until left."""

    def __init__(self) -> None:
        self._mounts: dict[tuple[str, frozenset[tuple[str, object]]], tuple[str, Mounted]] = {}
        self._closing = contextlib.ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    def place(self, server: S3Server, **options: Any) -> Place:
        """A directory that no other test uses."""
        wanted = (server.name, frozenset(options.items()))
        if wanted not in self._mounts:
            bucket = server.bucket()
            self._mounts[wanted] = (bucket, self._closing.enter_context(Mounted(server, bucket, **options)))
        bucket, mounted = self._mounts[wanted]
        name = f"t-{uuid.uuid4().hex[:8]}"
        # Something is in the directory from the start, so that it is one whatever the test does to what it makes.
        server.put(bucket, f"{name}/.here")
        return Place(server, bucket, f"{name}/", mounted.path / name, mounted)


@pytest.fixture(scope="session")
def _shared_mounts() -> Iterator[SharedMounts]:
    with SharedMounts() as mounts:
        yield mounts


@pytest.fixture
def place(able_server: S3Server, _shared_mounts: SharedMounts) -> Place:
    """Without leave to delete or overwrite."""
    return _shared_mounts.place(able_server)


@pytest.fixture
def free(able_server: S3Server, _shared_mounts: SharedMounts) -> Place:
    """With leave to delete and overwrite."""
    return _shared_mounts.place(able_server, allow_delete=True, allow_overwrite=True)


# Of rclone in `make test-all` only: a PUT that makes directories can hang its server for all clients.
@pytest.fixture(params=["moto", *(pytest.param(name, marks=pytest.mark.slow) for name in ("rclone", "versitygw"))])
def anywhere(request: pytest.FixtureRequest, _shared_mounts: SharedMounts) -> Place:
    """On rclone, too, with leave to delete and overwrite; for cases that make files only."""
    return _shared_mounts.place(request.getfixturevalue(request.param), allow_delete=True, allow_overwrite=True)
