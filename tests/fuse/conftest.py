"""Mounts that many tests share, each in a directory of its own: a mount costs a second."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.fuse.mounted import Mounted
from tests.servers import MotoServer, RcloneServer, S3Server


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


def _shared(server: S3Server, **options: Any) -> Iterator[tuple[S3Server, str, Mounted]]:
    bucket = server.bucket()
    with Mounted(server, bucket, **options) as mounted:
        yield server, bucket, mounted


def _place(shared: tuple[S3Server, str, Mounted]) -> Place:
    server, bucket, mounted = shared
    name = f"t-{uuid.uuid4().hex[:8]}"
    # Something is in the directory from the start, so that it is one whatever the test does to what it makes.
    server.put(bucket, f"{name}/.here")
    return Place(server, bucket, f"{name}/", mounted.path / name, mounted)


@pytest.fixture(scope="session")
def _mounted_as_it_comes(moto: MotoServer) -> Iterator[tuple[S3Server, str, Mounted]]:
    yield from _shared(moto)


@pytest.fixture(scope="session")
def _mounted_with_leave(moto: MotoServer) -> Iterator[tuple[S3Server, str, Mounted]]:
    yield from _shared(moto, allow_delete=True, allow_overwrite=True)


@pytest.fixture(scope="session")
def _mounted_rclone(rclone: RcloneServer) -> Iterator[tuple[S3Server, str, Mounted]]:
    yield from _shared(rclone, allow_delete=True, allow_overwrite=True)


@pytest.fixture
def place(_mounted_as_it_comes: tuple[S3Server, str, Mounted]) -> Place:
    """On moto, without leave to delete or overwrite."""
    return _place(_mounted_as_it_comes)


@pytest.fixture
def free(_mounted_with_leave: tuple[S3Server, str, Mounted]) -> Place:
    """On moto, with leave to delete and overwrite."""
    return _place(_mounted_with_leave)


# Of rclone in `make test-all` only: a PUT that makes directories can hang its server for all clients.
@pytest.fixture(params=["moto", pytest.param("rclone", marks=pytest.mark.slow)])
def anywhere(request: pytest.FixtureRequest) -> Place:
    """On each of two servers in turn, with leave to delete and overwrite; for cases that make files only."""
    name = "_mounted_with_leave" if request.param == "moto" else "_mounted_rclone"
    return _place(request.getfixturevalue(name))
