"""An S3 in memory: `interface.ObjectClient` from a dictionary. For tests, and for working without a server.

Keeps every promise that the HTTP client keeps (tests/contract holds both to them), with S3's order, paging and
errors. What it never does: fail by itself, or wait.
"""

import bisect
import hashlib
import time
from collections.abc import Callable, Sequence
from typing import Final

import trio

from engine.errors import ArchivedObject, BadResponse, NoSuchKey, PreconditionFailed, RangeNotSatisfiable
from engine.s3.interface import LIST_ENTRIES_MAX, ListPage, ObjectInfo
from engine.spec import KiB
from engine.stats import EngineStats

# Bodies come in pieces with a checkpoint in between, as they do from a socket.
PIECE_BYTES: Final = 256 * KiB

# No UTF-8 text has this byte, so it sorts behind every key with a given prefix.
_BEHIND_ALL: Final = b"\xff"


class MemoryClient:
    """A bucket in memory.

    Args:
        stats: counts requests as the HTTP client does; None: nobody looks.
    """

    def __init__(self, stats: EngineStats | None = None) -> None:
        self.stats = stats if stats is not None else EngineStats()
        self._objects: dict[bytes, tuple[ObjectInfo, bytes]] = {}
        self._order: list[bytes] = []  # the keys in S3's order: UTF-8 binary

    def put(
        self,
        key: str,
        data: bytes,
        *,
        storage_class: str = "STANDARD",
        last_modified: float | None = None,
        restored: bool = False,
    ) -> str:
        """Make or replace an object; returns its ETag. `last_modified` is in seconds since the epoch, default now."""
        name = key.encode()
        etag = f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'
        modified = float(int(time.time())) if last_modified is None else last_modified
        if name not in self._objects:
            bisect.insort(self._order, name)
        self._objects[name] = (ObjectInfo(key, len(data), etag, modified, storage_class, restored), bytes(data))
        return etag

    def delete(self, key: str) -> None:
        """Delete an object; one that is not there is no error, as in S3."""
        name = key.encode()
        if self._objects.pop(name, None) is not None:
            del self._order[bisect.bisect_left(self._order, name)]

    async def head_object(self, key: str) -> ObjectInfo:
        """The object's metadata."""
        await self._asked("HeadObject")
        return self._find(key)[0]

    async def list_objects(
        self, prefix: str, *, delimiter: str = "/", token: str | None = None, max_keys: int = LIST_ENTRIES_MAX
    ) -> ListPage:
        """One page of the keys that start with `prefix`."""
        await self._asked("ListObjectsV2")
        start, mark = prefix.encode(), delimiter.encode()
        position = bisect.bisect_left(self._order, bytes.fromhex(token) if token is not None else start)
        objects: list[ObjectInfo] = []
        prefixes: list[str] = []
        while position < len(self._order) and self._order[position].startswith(start):
            name = self._order[position]
            if len(objects) + len(prefixes) >= min(max_keys, LIST_ENTRIES_MAX):
                return ListPage(objects, prefixes, next_token=name.hex())
            cut = name.find(mark, len(start)) if mark else -1
            if cut < 0:
                objects.append(self._objects[name][0])
                position += 1
            else:
                common = name[: cut + len(mark)]
                prefixes.append(common.decode())
                position = bisect.bisect_left(self._order, common + _BEHIND_ALL)
        return ListPage(objects, prefixes)

    async def get_object(
        self,
        key: str,
        *,
        offset: int,
        buffers: Sequence[memoryview],
        if_match: str,
        progress: Callable[[int], None],
    ) -> None:
        """Fill `buffers` with the object's bytes from `offset` on."""
        await self._asked("GetObject")
        info, data = self._find(key)
        if if_match not in ("", info.etag):
            raise PreconditionFailed("the object was replaced in S3", status=412, key=key)
        if info.archived:
            raise ArchivedObject("the object is archived", code="InvalidObjectState", status=403, key=key)
        total = sum(len(buffer) for buffer in buffers)
        if offset >= len(data):
            raise RangeNotSatisfiable("the object is shorter", code="InvalidRange", status=416, key=key)
        if offset + total > len(data):
            raise BadResponse("the object ends before the range", status=206, key=key)
        placed = 0
        for buffer in buffers:
            for start in range(0, len(buffer), PIECE_BYTES):
                piece = buffer[start : start + PIECE_BYTES]
                piece[:] = data[offset + placed : offset + placed + len(piece)]
                placed += len(piece)
                self.stats.s3_bytes_received += len(piece)
                progress(placed)
                await trio.lowlevel.checkpoint()

    async def probe(self) -> None:
        """It is always there."""
        await self._asked("HeadBucket")

    async def aclose(self) -> None:
        """Nothing is open."""
        await trio.lowlevel.checkpoint()

    async def _asked(self, operation: str) -> None:
        await trio.lowlevel.checkpoint()
        self.stats.s3_requests[operation] += 1
        self.stats.answered()

    def _find(self, key: str) -> tuple[ObjectInfo, bytes]:
        found = self._objects.get(key.encode())
        if found is None:
            raise NoSuchKey("S3 has no such object", code="NoSuchKey", status=404, key=key)
        return found
