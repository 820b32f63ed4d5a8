"""Buckets of three kinds, each with its own way to make objects, and how to ask a client of theirs.

Used by the contract tests: the promises are asked of all kinds alike; what a kind can't show is told by its flags.
"""

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

import trio

from engine.s3.client import HttpClient
from engine.s3.interface import ObjectClient
from engine.s3.memory import MemoryClient
from engine.stats import EngineStats
from tests.servers import S3Server

T = TypeVar("T")


class Bucket(Protocol):
    """A bucket that a test fills, and the client that the promises are asked of."""

    has_storage_classes: bool
    has_conditional_writes: bool
    compares_checksums: bool
    keeps_checksums: bool  # and tells them by HEAD
    remembers_completions: bool  # and gives the completed object the ETag that it told
    makes_directories: bool  # of a key with slashes, without harm
    streams_parts: bool  # onwards as they come, so that one sent again can't replace the one before
    tells_lost_uploads: bool  # says NoSuchUpload of an upload that is gone

    def client(self, stats: EngineStats) -> ObjectClient: ...

    def put(self, key: str, data: bytes, *, storage_class: str = ...) -> str: ...
    def get(self, key: str) -> bytes: ...
    def delete(self, key: str) -> None: ...


class MemoryBucket:
    has_storage_classes = has_conditional_writes = compares_checksums = True
    remembers_completions = tells_lost_uploads = keeps_checksums = True
    streams_parts = False
    makes_directories = True

    def __init__(self) -> None:
        self._memory = MemoryClient()

    def client(self, stats: EngineStats) -> ObjectClient:
        self._memory.stats = stats
        return self._memory

    def put(self, key: str, data: bytes, *, storage_class: str = "STANDARD") -> str:
        return self._memory.put(key, data, storage_class=storage_class)

    def get(self, key: str) -> bytes:
        return self._memory.stored(key).data

    def delete(self, key: str) -> None:
        self._memory.delete(key)


class ServerBucket:
    def __init__(self, server: S3Server) -> None:
        self._server = server
        self._name = server.bucket()
        self.server = server
        self.has_storage_classes = server.name == "moto"
        self.has_conditional_writes = server.name != "rclone"
        self.compares_checksums = server.name not in ("moto", "rclone")
        self.keeps_checksums = server.name != "rclone"
        self.remembers_completions = server.name != "rclone"
        self.streams_parts = server.name == "rclone"
        # A PUT that makes directories can hang `rclone serve s3` for all its clients.
        self.makes_directories = server.name != "rclone"
        self.tells_lost_uploads = server.name != "moto"

    def client(self, stats: EngineStats) -> ObjectClient:
        return HttpClient(self._server.access(self._name), stats=stats, attempts_max=2)

    def put(self, key: str, data: bytes, *, storage_class: str = "STANDARD") -> str:
        return self._server.put(self._name, key, data, StorageClass=storage_class)

    def get(self, key: str) -> bytes:
        body: bytes = self._server.boto.get_object(Bucket=self._name, Key=key)["Body"].read()
        return body

    def delete(self, key: str) -> None:
        self._server.delete(self._name, key)


def ask(bucket: Bucket, question: Callable[[ObjectClient], Awaitable[T]], stats: EngineStats | None = None) -> T:
    """Run `question` with a client of the bucket, and close it."""

    async def main() -> T:
        client = bucket.client(stats or EngineStats())
        try:
            return await question(client)
        finally:
            await client.aclose()

    return trio.run(main)


async def read(client: ObjectClient, key: str, offset: int, sizes: list[int], etag: str) -> bytes:
    """The bytes that `get_object` places into buffers of these sizes."""
    buffers = [bytearray(size) for size in sizes]
    views = [memoryview(buffer) for buffer in buffers]
    await client.get_object(key, offset=offset, buffers=views, if_match=etag, progress=lambda _count: None)
    return b"".join(buffers)
