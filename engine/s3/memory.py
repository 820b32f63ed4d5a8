"""An S3 in memory: `interface.ObjectClient` from a dictionary. For tests, and for working without a server.

Keeps every promise that the HTTP client keeps (tests/contract holds both to them), with S3's order, paging, limits
and errors. What it never does: fail by itself, or wait.
"""

import bisect
import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import trio

from engine.errors import (
    AlreadyExists,
    ArchivedObject,
    BadResponse,
    EntityTooLarge,
    NoSuchKey,
    NoSuchUpload,
    PreconditionFailed,
    RangeNotSatisfiable,
    S3Error,
)
from engine.s3.checksums import checksum_of, text_of
from engine.s3.etags import etag_of_body, etag_of_parts
from engine.s3.interface import (
    LIST_ENTRIES_MAX,
    PART_BYTES_MAX,
    PART_BYTES_MIN,
    PARTS_MAX,
    Body,
    Checksum,
    Likeness,
    ListPage,
    ObjectInfo,
    PartInfo,
    UploadInfo,
    UploadOptions,
)
from engine.s3.upload_documents import check_key
from engine.spec import KiB
from engine.stats import EngineStats

# Bodies come in pieces with a checkpoint in between, as they do from a socket.
PIECE_BYTES: Final = 256 * KiB

# No UTF-8 text has this byte, so it sorts behind every key with a given prefix.
_BEHIND_ALL: Final = b"\xff"


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object and how it was asked to be stored."""

    info: ObjectInfo
    data: bytes
    upload: UploadOptions


@dataclass(slots=True)
class _Upload:
    """A multipart upload in progress."""

    info: UploadInfo
    options: UploadOptions
    parts: dict[int, tuple[PartInfo, bytes]] = field(default_factory=dict)


class MemoryClient:
    """A bucket in memory.

    Args:
        stats: counts requests as the HTTP client does; None: nobody looks.
        part_bytes_min: the least size of a part that is not the last; tests take less than S3 does.
    """

    def __init__(self, stats: EngineStats | None = None, *, part_bytes_min: int = PART_BYTES_MIN) -> None:
        self.stats = stats if stats is not None else EngineStats()
        self.part_bytes_min = part_bytes_min
        self._objects: dict[bytes, StoredObject] = {}
        self._order: list[bytes] = []  # the keys in S3's order: UTF-8 binary
        self._uploads: dict[str, _Upload] = {}
        self._completed: dict[str, tuple[list[PartInfo], str]] = {}  # S3 remembers them for a while, too
        self._upload_numbers = itertools.count(1)

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
        info = ObjectInfo(key, len(data), etag_of_body([data]), _now(last_modified), storage_class, restored)
        return self._store(StoredObject(info, bytes(data), UploadOptions()))

    def stored(self, key: str) -> StoredObject:
        """The object as it is stored. Raises NoSuchKey."""
        return self._find(key)

    @property
    def keys(self) -> list[str]:
        """All keys, in S3's order."""
        return [name.decode() for name in self._order]

    @property
    def uploads(self) -> list[UploadInfo]:
        """The multipart uploads in progress."""
        return [upload.info for upload in self._uploads.values()]

    def delete(self, key: str) -> None:
        """Delete an object; one that is not there is no error, as in S3."""
        name = key.encode()
        if self._objects.pop(name, None) is not None:
            del self._order[bisect.bisect_left(self._order, name)]

    async def head_object(self, key: str) -> ObjectInfo:
        """The object's metadata."""
        await self._asked("HeadObject")
        return self._find(key).info

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
                objects.append(self._objects[name].info)
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
        data = self._readable(key, if_match, offset).data
        if offset + sum(len(buffer) for buffer in buffers) > len(data):
            raise BadResponse("the object ends before the range", status=206, key=key)
        await self._send(data, offset, buffers, progress)

    async def get_beginning(
        self,
        key: str,
        *,
        buffer: memoryview,
        known: Callable[[ObjectInfo], None],
        progress: Callable[[int], None],
    ) -> None:
        """Fetch the first bytes of an object of which nothing is known."""
        await self._asked("GetObject")
        found = self._readable(key, "", 0)
        known(found.info)
        await self._send(found.data, 0, [buffer[: len(found.data)]], progress)

    async def put_object(
        self,
        key: str,
        *,
        body: Body,
        upload: UploadOptions,
        checksum: Checksum | None = None,
        if_none_match: bool = False,
    ) -> str:
        """Make or replace an object."""
        check_key(key)
        await self._asked("PutObject")
        data = await self._take(key, body, checksum)
        self._check_absent(key, if_none_match=if_none_match)
        info = ObjectInfo(key, len(data), etag_of_body([data]), _now(), upload.storage_class or "STANDARD")
        return self._store(StoredObject(info, data, upload))

    async def create_multipart_upload(self, key: str, *, upload: UploadOptions) -> str:
        """Begin a multipart upload; returns its id."""
        check_key(key)
        await self._asked("CreateMultipartUpload")
        upload_id = f"upload-{next(self._upload_numbers)}"
        self._uploads[upload_id] = _Upload(UploadInfo(key, upload_id, _now()), upload)
        return upload_id

    async def upload_part(
        self, key: str, upload_id: str, number: int, *, body: Body, checksum: Checksum | None = None
    ) -> PartInfo:
        """Take a part."""
        assert 1 <= number <= PARTS_MAX
        await self._asked("UploadPart")
        data = await self._take(key, body, checksum)
        upload = self._find_upload(key, upload_id)
        part = PartInfo(number, etag_of_body([data]), len(data), checksum, compared=checksum is not None)
        upload.parts[number] = (part, data)
        return part

    async def complete_multipart_upload(
        self,
        key: str,
        upload_id: str,
        parts: Sequence[PartInfo],
        *,
        checksum: Checksum | None = None,
        if_none_match: bool = False,
    ) -> str:
        """Make the object out of the parts."""
        await self._asked("CompleteMultipartUpload")
        if (done := self._completed.get(upload_id)) is not None and done[0] == list(parts):
            return done[1]
        upload = self._find_upload(key, upload_id)
        self._check_absent(key, if_none_match=if_none_match)
        data = self._assembled(upload, parts)
        if checksum is not None and checksum_of(checksum.algorithm, [data]) != checksum:
            raise S3Error("CompleteMultipartUpload failed in S3", code="BadDigest", status=400, key=key)
        options = upload.options
        info = ObjectInfo(key, len(data), etag_of_parts(parts), _now(), options.storage_class or "STANDARD")
        del self._uploads[upload_id]
        self._completed[upload_id] = (list(parts), info.etag)
        return self._store(StoredObject(info, data, options))

    async def abort_multipart_upload(self, key: str, upload_id: str) -> None:
        """Drop a multipart upload."""
        await self._asked("AbortMultipartUpload")
        upload = self._uploads.get(upload_id)
        if upload is not None and upload.info.key == key:
            del self._uploads[upload_id]

    async def list_multipart_uploads(self, prefix: str) -> list[UploadInfo]:
        """All multipart uploads in progress."""
        await self._asked("ListMultipartUploads")
        return [info for info in self.uploads if info.key.startswith(prefix)]

    async def find_object(self, key: str, likeness: Likeness) -> str | None:
        """The ETag of the object by this key if it is certainly like this."""
        await self._asked("HeadObject")
        found = self._objects.get(key.encode())
        if found is None or found.info.size != likeness.size:
            return None
        same = found.info.etag == likeness.etag
        if not same and likeness.algorithm in ("crc32c", "crc64nvme"):
            same = text_of(checksum_of(likeness.algorithm, [found.data])) == likeness.checksum
        return found.info.etag if same else None

    async def delete_object(self, key: str) -> None:
        """Delete an object."""
        await self._asked("DeleteObject")
        self.delete(key)

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

    def _readable(self, key: str, if_match: str, offset: int) -> StoredObject:
        """The object, if its bytes from an offset on can be had."""
        found = self._find(key)
        if if_match not in ("", found.info.etag):
            raise PreconditionFailed("the object was replaced in S3", status=412, key=key)
        if found.info.archived:
            raise ArchivedObject("the object is archived", code="InvalidObjectState", status=403, key=key)
        if offset >= len(found.data):
            raise RangeNotSatisfiable("the object is shorter", code="InvalidRange", status=416, key=key)
        return found

    async def _send(
        self, data: bytes, offset: int, buffers: Sequence[memoryview], progress: Callable[[int], None]
    ) -> None:
        placed = 0
        for buffer in buffers:
            for start in range(0, len(buffer), PIECE_BYTES):
                piece = buffer[start : start + PIECE_BYTES]
                piece[:] = data[offset + placed : offset + placed + len(piece)]
                placed += len(piece)
                self.stats.s3_bytes_received += len(piece)
                progress(placed)
                await trio.lowlevel.checkpoint()

    async def _take(self, key: str, body: Body, checksum: Checksum | None) -> bytes:
        """The body's bytes, as they are when they are "sent": later changes don't count."""
        if sum(len(buffer) for buffer in body) > PART_BYTES_MAX:
            raise EntityTooLarge("S3 takes no more at once", code="EntityTooLarge", status=400, key=key)
        data = bytearray()
        for buffer in body:
            for start in range(0, len(buffer), PIECE_BYTES):
                data += buffer[start : start + PIECE_BYTES]
                await trio.lowlevel.checkpoint()
        self.stats.s3_bytes_sent += len(data)
        taken = bytes(data)
        if checksum is not None and checksum_of(checksum.algorithm, [taken]) != checksum:
            raise S3Error("the body is not what its checksum is of", code="BadDigest", status=400, key=key)
        return taken

    def _store(self, stored: StoredObject) -> str:
        name = stored.info.key.encode()
        if name not in self._objects:
            bisect.insort(self._order, name)
        self._objects[name] = stored
        return stored.info.etag

    def _assembled(self, upload: _Upload, parts: Sequence[PartInfo]) -> bytes:
        """The object that the parts make. Raises S3Error as S3 does for parts that are none, or too small."""
        key, numbers = upload.info.key, [part.number for part in parts]
        if not parts:
            raise S3Error("an upload without parts", code="MalformedXML", status=400, key=key)
        if numbers != sorted(set(numbers)):
            raise S3Error("parts out of order", code="InvalidPartOrder", status=400, key=key)
        for part in parts:
            held = upload.parts.get(part.number)
            if held is None or held[0].etag != part.etag:
                raise S3Error(f"no such part {part.number}", code="InvalidPart", status=400, key=key)
            if held[0].size < self.part_bytes_min and part is not parts[-1]:
                raise S3Error(f"part {part.number} is too small", code="EntityTooSmall", status=400, key=key)
        return b"".join(upload.parts[number][1] for number in numbers)

    def _check_absent(self, key: str, *, if_none_match: bool) -> None:
        if if_none_match and key.encode() in self._objects:
            raise AlreadyExists("there is such an object", code="PreconditionFailed", status=412, key=key)

    def _find_upload(self, key: str, upload_id: str) -> _Upload:
        found = self._uploads.get(upload_id)
        if found is None or found.info.key != key:
            raise NoSuchUpload("S3 has no such upload", code="NoSuchUpload", status=404, key=key)
        return found

    def _find(self, key: str) -> StoredObject:
        found = self._objects.get(key.encode())
        if found is None:
            raise NoSuchKey("S3 has no such object", code="NoSuchKey", status=404, key=key)
        return found


def _now(last_modified: float | None = None) -> float:
    """S3's times have whole seconds."""
    return float(int(time.time())) if last_modified is None else last_modified
