"""A bucket for tests of the file system: MemoryClient, with requests counted, pages cut short and failures on order."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

import trio

from engine.errors import EngineError
from engine.s3.interface import (
    LIST_ENTRIES_MAX,
    Body,
    Checksum,
    Likeness,
    ListPage,
    ObjectInfo,
    PartInfo,
    UploadInfo,
    UploadOptions,
)
from engine.s3.memory import MemoryClient

HEAD: Final = "HeadObject"
LIST: Final = "ListObjectsV2"
GET: Final = "GetObject"
PUT: Final = "PutObject"
CREATE: Final = "CreateMultipartUpload"
PART: Final = "UploadPart"
COMPLETE: Final = "CompleteMultipartUpload"
ABORT: Final = "AbortMultipartUpload"
DELETE: Final = "DeleteObject"


class Bucket:
    """An ObjectClient over a MemoryClient.

    Args:
        keys: objects to begin with, each holding its own key.
        page: entries on a page of a listing.
    """

    def __init__(self, *keys: str, page: int = LIST_ENTRIES_MAX) -> None:
        self.memory = MemoryClient()
        self.page = page
        self.requests: Counter[str] = Counter()
        self.failures: dict[str, EngineError] = {}
        self.gates: dict[str, trio.Event] = {}
        self.answers: dict[str, trio.Event] = {}  # what is done, and answered only then
        self.cancelled: Counter[str] = Counter()
        for key in keys:
            self.put(key)

    def put(self, key: str, data: bytes | None = None) -> None:
        self.memory.put(key, key.encode() if data is None else data)

    def delete(self, key: str) -> None:
        self.memory.delete(key)

    async def _begin(self, operation: str) -> None:
        """Count, wait at the operation's gate if there is one, fail if a failure is ordered."""
        self.requests[operation] += 1
        try:
            await trio.lowlevel.checkpoint()
            if (gate := self.gates.get(operation)) is not None:
                await gate.wait()
        except trio.Cancelled:
            self.cancelled[operation] += 1
            raise
        if failure := self.failures.get(operation):
            raise failure

    async def head_object(self, key: str) -> ObjectInfo:
        await self._begin(HEAD)
        return await self.memory.head_object(key)

    async def list_objects(
        self, prefix: str, *, delimiter: str = "/", token: str | None = None, max_keys: int = LIST_ENTRIES_MAX
    ) -> ListPage:
        await self._begin(LIST)
        return await self.memory.list_objects(
            prefix, delimiter=delimiter, token=token, max_keys=min(max_keys, self.page)
        )

    async def get_object(
        self,
        key: str,
        *,
        offset: int,
        buffers: Sequence[memoryview],
        if_match: str,
        progress: Callable[[int], None],
    ) -> None:
        await self._begin(GET)
        await self.memory.get_object(key, offset=offset, buffers=buffers, if_match=if_match, progress=progress)

    async def get_beginning(
        self,
        key: str,
        *,
        buffer: memoryview,
        known: Callable[[ObjectInfo], None],
        progress: Callable[[int], None],
    ) -> None:
        await self._begin(GET)
        await self.memory.get_beginning(key, buffer=buffer, known=known, progress=progress)

    async def put_object(
        self,
        key: str,
        *,
        body: Body,
        upload: UploadOptions,
        checksum: Checksum | None = None,
        if_none_match: bool = False,
    ) -> str:
        await self._begin(PUT)
        return await self.memory.put_object(
            key, body=body, upload=upload, checksum=checksum, if_none_match=if_none_match
        )

    async def create_multipart_upload(self, key: str, *, upload: UploadOptions) -> str:
        await self._begin(CREATE)
        upload_id = await self.memory.create_multipart_upload(key, upload=upload)
        if (answer := self.answers.get(CREATE)) is not None:
            await answer.wait()
        return upload_id

    async def upload_part(
        self, key: str, upload_id: str, number: int, *, body: Body, checksum: Checksum | None = None
    ) -> PartInfo:
        await self._begin(PART)
        return await self.memory.upload_part(key, upload_id, number, body=body, checksum=checksum)

    async def complete_multipart_upload(
        self,
        key: str,
        upload_id: str,
        parts: Sequence[PartInfo],
        *,
        checksum: Checksum | None = None,
        if_none_match: bool = False,
    ) -> str:
        await self._begin(COMPLETE)
        return await self.memory.complete_multipart_upload(
            key, upload_id, parts, checksum=checksum, if_none_match=if_none_match
        )

    async def abort_multipart_upload(self, key: str, upload_id: str) -> None:
        await self._begin(ABORT)
        await self.memory.abort_multipart_upload(key, upload_id)

    async def list_multipart_uploads(self, prefix: str) -> list[UploadInfo]:
        await self._begin("ListMultipartUploads")
        return await self.memory.list_multipart_uploads(prefix)

    async def find_object(self, key: str, likeness: Likeness) -> str | None:
        await self._begin(HEAD)
        return await self.memory.find_object(key, likeness)

    async def delete_object(self, key: str) -> None:
        await self._begin(DELETE)
        await self.memory.delete_object(key)

    async def probe(self) -> None:
        await self._begin("HeadBucket")

    async def aclose(self) -> None:
        await self.memory.aclose()
