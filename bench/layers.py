"""The layers of an engine in this process, without the kernel, each doing what programs make it do.

Used by bench/cost.py.
"""

import contextlib
import itertools
import os
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import trio

from bench.fast_s3 import FastS3
from bench.peers import BUCKET
from engine.arena import Arena
from engine.assembly import serving
from engine.fs.filesystem import S3Filesystem
from engine.link import Access, Credentials
from engine.read import Prefetcher
from engine.s3.client import HttpClient
from engine.s3.interface import ObjectInfo, PartInfo, UploadOptions
from engine.s3.request import Request, Sender
from engine.s3.sign import Signer
from engine.spec import MiB, MountSpec
from engine.stats import EngineStats
from engine.write import Uploader

# As the kernel reads ahead with read_ahead_kb 4096: so many requests of 1 MiB in flight.
IN_FLIGHT: Final = 4

PART_BYTES: Final = 8 * MiB
ARENA_BYTES: Final = 512 * MiB
SMALL_BYTES: Final = 16 * 1024
SMALL_FILES: Final = 500
LISTED: Final = 1000
LISTS: Final = SMALL_FILES // 10
LARGE: Final = "large"
WRITTEN: Final = "written"
# As files of one engine are sent: so many parts at a time.
PARTS_IN_FLIGHT: Final = 8
ROOT: Final = 1  # the inode

Read = Callable[[int, int], Awaitable[object]]


@dataclass(frozen=True)
class World:
    """All layers of an engine in this process, over one client."""

    access: Access
    client: HttpClient
    prefetcher: Prefetcher
    filesystem: S3Filesystem
    large: ObjectInfo
    uploader: Uploader
    written: memoryview  # a MiB of what is written, again and again
    fresh: "itertools.count[int]"

    async def _sweep(self, read: Read, step: int) -> None:
        """Read the large object from start to end, IN_FLIGHT requests at a time."""
        offsets = iter(range(0, self.large.size, step))

        async def reader() -> None:
            for offset in offsets:
                await read(offset, min(step, self.large.size - offset))
                await trio.lowlevel.checkpoint()

        async with trio.open_nursery() as readers:
            for _ in range(IN_FLIGHT):
                readers.start_soon(reader)

    async def large_by_client(self) -> None:
        buffers = [memoryview(bytearray(PART_BYTES)) for _ in range(IN_FLIGHT)]

        async def part(offset: int, size: int) -> None:
            buffer = buffers.pop()
            await self.client.get_object(
                LARGE, offset=offset, buffers=[buffer[:size]], if_match=self.large.etag, progress=lambda _count: None
            )
            buffers.append(buffer)

        await self._sweep(part, PART_BYTES)

    async def large_by_prefetcher(self) -> None:
        stream = self.prefetcher.open(LARGE, self.large.etag, self.large.size)
        await self._sweep(stream.read, MiB)
        stream.close()

    async def large_by_filesystem(self) -> None:
        found = await self.filesystem.lookup(ROOT, LARGE.encode())
        opened = await self.filesystem.open(found.number, os.O_RDONLY)
        await self._sweep(lambda offset, size: self.filesystem.read(opened.handle, offset, size), MiB)
        await self.filesystem.flush(opened.handle)
        self.filesystem.release(opened.handle)
        self.filesystem.forget([(found.number, 1)])

    def _chunks(self, each: int = MiB) -> range:
        """Where the pieces of what is written begin: as much as the large object has."""
        return range(0, self.large.size, each)

    async def written_by_client(self) -> None:
        upload = UploadOptions(checksum_algorithm="off")
        upload_id = await self.client.create_multipart_upload(WRITTEN, upload=upload)
        body = [self.written] * (PART_BYTES // MiB)
        numbers = iter(range(1, len(self._chunks(PART_BYTES)) + 1))
        parts: list[PartInfo] = []

        async def sender() -> None:
            parts.extend([await self.client.upload_part(WRITTEN, upload_id, each, body=body) for each in numbers])

        async with trio.open_nursery() as senders:
            for _ in range(PARTS_IN_FLIGHT):
                senders.start_soon(sender)
        parts.sort(key=lambda part: part.number)
        await self.client.complete_multipart_upload(WRITTEN, upload_id, parts)

    async def written_by_uploader(self) -> None:
        upload = self.uploader.start(WRITTEN, self.uploader.reserve())
        for offset in self._chunks():
            await upload.write(offset, self.written)
            await trio.lowlevel.checkpoint()
        await upload.complete()

    async def written_by_filesystem(self) -> None:
        made = await self.filesystem.mknod(ROOT, WRITTEN.encode(), 0o100644)
        opened = await self.filesystem.open(made.number, os.O_WRONLY)
        for offset in self._chunks():
            await self.filesystem.write(opened.handle, offset, bytes(self.written))  # as FUSE's bytes are copied
            await trio.lowlevel.checkpoint()
        await self.filesystem.flush(opened.handle)
        await self.filesystem.close(opened.handle)
        await self.filesystem.unlink(ROOT, WRITTEN.encode())
        self.filesystem.forget([(made.number, 1)])

    async def _list(self, directory: int) -> None:
        handle, position, found = self.filesystem.opendir(directory), 0, True
        while found:
            found = False
            for entry in await self.filesystem.readdir(handle, position):
                position, found = entry.position, True
        self.filesystem.releasedir(handle)

    async def signatures(self) -> None:
        """What each request has signed (SigV4), in each second and of each key anew."""
        signer = Signer("bench", "bench-secret", None, "us-east-1")
        for number in range(SMALL_FILES):
            signer.sign("GET", "s3.example", f"/{BUCKET}/small/{number:05}", "", (), time.time())
        await trio.lowlevel.checkpoint()

    async def request_heads(self) -> None:
        """The same, and all else of a request's head."""
        sender = Sender(self.access, "bench")
        for number in range(SMALL_FILES):
            headers = (("Range", f"bytes=0-{SMALL_BYTES - 1}"), ("If-Match", self.large.etag))
            sender.head(Request("GetObject", "GET", f"small/{number:05}", headers=headers))
        await trio.lowlevel.checkpoint()

    async def heads(self) -> None:
        for number in range(SMALL_FILES):
            await self.client.head_object(f"small/{number:05}")

    async def gets(self) -> None:
        buffer = memoryview(bytearray(SMALL_BYTES))
        info = await self.client.head_object("small/00000")
        for number in range(SMALL_FILES):
            await self.client.get_object(
                f"small/{number:05}", offset=0, buffers=[buffer], if_match=info.etag, progress=lambda _count: None
            )

    async def lists(self) -> None:
        for _ in range(LISTS):
            await self.client.list_objects("listed/")

    async def puts(self) -> None:
        for _ in range(SMALL_FILES):
            await self.client.put_object(f"made/{next(self.fresh)}", body=[b"x"], upload=UploadOptions())

    async def files(self) -> None:
        """What `cat` of each asks for right after `ls`: LOOKUP, OPEN, READ, FLUSH, RELEASE, FORGET."""
        directory = await self.filesystem.lookup(ROOT, b"small")
        await self._list(directory.number)
        for number in range(SMALL_FILES):
            found = await self.filesystem.lookup(directory.number, f"{number:05}".encode())
            opened = await self.filesystem.open(found.number, os.O_RDONLY)
            await self.filesystem.read(opened.handle, 0, SMALL_BYTES)
            await self.filesystem.flush(opened.handle)
            self.filesystem.release(opened.handle)
            self.filesystem.forget([(found.number, 1)])

    async def creations(self) -> None:
        """MKNOD, OPEN, WRITE, FLUSH, RELEASE, FORGET; not the LOOKUP before, which finds nothing."""
        directory = await self.filesystem.lookup(ROOT, b"made")
        for _ in range(SMALL_FILES):
            name = f"{next(self.fresh)}".encode()
            made = await self.filesystem.mknod(directory.number, name, 0o100644)
            opened = await self.filesystem.open(made.number, os.O_WRONLY)
            await self.filesystem.write(opened.handle, 0, b"x")
            await self.filesystem.flush(opened.handle)
            await self.filesystem.close(opened.handle)
            self.filesystem.forget([(made.number, 1)])


@contextlib.asynccontextmanager
async def world(s3: FastS3) -> AsyncIterator[World]:
    """An engine's parts, as it puts them together."""
    keys = Credentials(access_key="bench", secret_key="bench-secret")
    access = Access(name="bench", endpoint=f"{s3.endpoint}/{BUCKET}", region="us-east-1", credentials=keys)
    stats = EngineStats()
    trust = ssl.create_default_context(cafile=str(s3.ca)) if s3.ca else None
    client = HttpClient(access, stats=stats, trust=trust)
    spec = MountSpec(
        name="bench", bucket=BUCKET, mountpoint="/bench", allow_overwrite=True, allow_delete=True, metadata_ttl=60
    )
    arena = Arena(ARENA_BYTES)
    async with serving(client, spec, stats, generation=0) as operations, trio.open_nursery() as nursery:
        prefetcher = Prefetcher(client, arena, nursery, part_bytes=PART_BYTES, stats=stats)
        filesystem = operations._fs  # noqa: SLF001 - below the kernel's types
        uploader = Uploader(client, arena, nursery, spec=spec, stats=stats)
        large, written = await client.head_object(LARGE), memoryview(os.urandom(MiB))
        yield World(access, client, prefetcher, filesystem, large, uploader, written, itertools.count())
        nursery.cancel_scope.cancel()
    await client.aclose()
    arena.close()
