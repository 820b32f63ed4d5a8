"""The writing half of HttpClient: what is asked of S3 to put, to upload in parts and to delete.

Only client.py derives from it, and brings `_perform`, which sends, retries and counts. Where the answer of a request
that was done may be lost, S3 is asked afterwards whether it was done.
"""

import abc
import contextlib
import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, TypeVar

from engine.errors import AlreadyExists, BadResponse, NoSuchKey, NoSuchUpload, S3Error, WrongEncryption
from engine.s3 import retry
from engine.s3 import upload_documents as documents
from engine.s3.connection import Connection
from engine.s3.documents import parse_error, quoted
from engine.s3.etags import etag_of_body
from engine.s3.http1 import Head
from engine.s3.interface import PARTS_MAX, Body, Checksum, Likeness, PartInfo, UploadInfo, UploadOptions
from engine.s3.request import Request
from engine.s3.sign import UNSIGNED_PAYLOAD

_T = TypeVar("_T")

# S3 stores a part within a second of its last byte; a store on slow disks, or before another cloud, takes longer.
STORED_SECONDS_MAX: Final = 60.0

# S3 answers at once and then sends blanks while it joins the parts; others join thousands of parts before a word.
COMPLETED_SECONDS_MAX: Final = 300.0

_CHECKSUM_MODE: Final = ("x-amz-checksum-mode", "ENABLED")
_IF_ABSENT: Final = (("If-None-Match", "*"),)


class Writes(abc.ABC):
    """Requests that change the bucket. Their promises are interface.ObjectClient's."""

    _always: tuple[tuple[str, str], ...]  # headers of every request

    @abc.abstractmethod
    async def _perform(
        self, request: Callable[[], Request], receive: Callable[[Head, Connection], Awaitable[_T]]
    ) -> _T:
        """Attempt until it succeeds or is not worth another attempt."""

    async def put_object(
        self,
        key: str,
        *,
        body: Body,
        upload: UploadOptions,
        checksum: Checksum | None = None,
        if_none_match: bool = False,
    ) -> str:
        """Make or replace an object; returns its ETag."""
        documents.check_key(key)
        headers = (*self._always, *documents.storing(upload), *documents.body_checksum(checksum))
        asked = Request(
            "PutObject",
            "PUT",
            key,
            amz_headers=headers,
            headers=_IF_ABSENT if if_none_match else (),
            body=body,
            payload=UNSIGNED_PAYLOAD,
            answer_seconds=STORED_SECONDS_MAX,
            replayed=not if_none_match,
        )
        attempts = _Attempts(asked)

        async def receive(head: Head, connection: Connection) -> str:
            await connection.read()
            documents.check_checksum(checksum, head.headers)
            documents.check_encryption(upload, head.headers)
            return documents.etag_of_headers(head.headers)

        try:
            return await self._perform(attempts.next, receive)
        except AlreadyExists:
            if attempts.count > 1:
                ours = documents.likeness_of_body(asked.size, etag_of_body(body), checksum)
                if (etag := await self.find_object(key, ours)) is not None:
                    return etag
            raise

    async def create_multipart_upload(self, key: str, *, upload: UploadOptions) -> str:
        """Begin a multipart upload; returns its id."""
        documents.check_key(key)
        headers = (*self._always, *documents.storing(upload), *documents.upload_checksum(upload))
        request = Request("CreateMultipartUpload", "POST", key, query=(("uploads", ""),), amz_headers=headers)

        async def receive(head: Head, connection: Connection) -> tuple[str, Mapping[str, str]]:
            return documents.parse_created(await connection.read()), head.headers

        upload_id, told = await self._perform(lambda: request, receive)
        try:
            documents.check_encryption(upload, told)
        except WrongEncryption:
            with contextlib.suppress(S3Error):  # it is logged, and the encryption is what the caller must know
                await self.abort_multipart_upload(key, upload_id)
            raise
        return upload_id

    async def upload_part(
        self, key: str, upload_id: str, number: int, *, body: Body, checksum: Checksum | None = None
    ) -> PartInfo:
        """Send a part."""
        assert 1 <= number <= PARTS_MAX
        request = Request(
            "UploadPart",
            "PUT",
            key,
            query=(("partNumber", str(number)), ("uploadId", upload_id)),
            amz_headers=(*self._always, *documents.body_checksum(checksum)),
            body=body,
            payload=UNSIGNED_PAYLOAD,
            answer_seconds=STORED_SECONDS_MAX,
        )

        async def receive(head: Head, connection: Connection) -> PartInfo:
            await connection.read()
            compared = documents.check_checksum(checksum, head.headers)
            return PartInfo(number, documents.etag_of_headers(head.headers), request.size, checksum, compared)

        return await self._perform(lambda: request, receive)

    async def complete_multipart_upload(
        self,
        key: str,
        upload_id: str,
        parts: Sequence[PartInfo],
        *,
        checksum: Checksum | None = None,
        if_none_match: bool = False,
    ) -> str:
        """Make the object out of the parts; returns its ETag."""
        body = documents.completion(parts)
        size = ("x-amz-mp-object-size", str(sum(part.size for part in parts)))
        attempts = _Attempts(
            Request(
                "CompleteMultipartUpload",
                "POST",
                key,
                query=(("uploadId", upload_id),),
                amz_headers=(*self._always, size, *documents.object_checksum(checksum)),
                headers=_IF_ABSENT if if_none_match else (),
                body=(body,),
                payload=hashlib.sha256(body).hexdigest(),
                answer_seconds=COMPLETED_SECONDS_MAX,
                replayed=not if_none_match,
            )
        )

        async def receive(head: Head, connection: Connection) -> str:
            said = await connection.read()
            if (trouble := parse_error(said.strip())).code:  # the status was told before S3 knew
                raise retry.error_of("CompleteMultipartUpload", key, head.status, head.headers, trouble)
            return documents.parse_completed(said)

        try:
            return await self._perform(attempts.next, receive)
        except (NoSuchUpload, AlreadyExists) as error:
            # Done by an attempt whose answer was lost? An upload that is gone may have been completed before a crash.
            may_be_ours = isinstance(error, NoSuchUpload) or attempts.count > 1
            if may_be_ours:
                ours = documents.likeness_of_parts(parts, checksum)
                if (etag := await self.find_object(key, ours)) is not None:
                    return etag
            raise

    async def abort_multipart_upload(self, key: str, upload_id: str) -> None:
        """Drop a multipart upload and its parts."""
        query = (("uploadId", upload_id),)
        request = Request("AbortMultipartUpload", "DELETE", key, query=query, amz_headers=self._always)
        with contextlib.suppress(NoSuchUpload):
            await self._perform(lambda: request, _nothing)

    async def list_multipart_uploads(self, prefix: str) -> list[UploadInfo]:
        """All multipart uploads in progress of keys that start with `prefix`."""
        query: tuple[tuple[str, str], ...] = (("uploads", ""), ("encoding-type", "url"), ("prefix", prefix))
        found: list[UploadInfo] = []
        markers: documents.Headers = ()
        while True:
            request = Request("ListMultipartUploads", "GET", None, query=query + markers, amz_headers=self._always)
            page = await self._perform(lambda request=request: request, _uploads)  # type: ignore[misc]
            found += page.uploads
            if not page.markers:
                return found
            if page.markers == markers:
                raise BadResponse("S3's listing of uploads does not come to an end", key=prefix)
            markers = page.markers

    async def delete_object(self, key: str) -> None:
        """Delete an object."""
        request = Request("DeleteObject", "DELETE", key, amz_headers=self._always)
        with contextlib.suppress(NoSuchKey):  # some servers tell
            await self._perform(lambda: request, _nothing)

    async def find_object(self, key: str, likeness: Likeness) -> str | None:
        """The ETag of the object by this key if it is certainly like this."""
        request = Request("HeadObject", "HEAD", key, amz_headers=(*self._always, _CHECKSUM_MODE))

        async def receive(head: Head, connection: Connection) -> Mapping[str, str]:
            await connection.read()
            return head.headers

        try:
            told = await self._perform(lambda: request, receive)
        except NoSuchKey:
            return None
        return quoted(told.get("etag", "")) if documents.is_like(told, likeness) else None


class _Attempts:
    """Hands out a request, and counts how often."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self.count = 0

    def next(self) -> Request:
        """The request, for another attempt."""
        self.count += 1
        return self._request


async def _nothing(_head: Head, connection: Connection) -> None:
    await connection.read()


async def _uploads(_head: Head, connection: Connection) -> documents.UploadPage:
    return documents.parse_uploads(await connection.read())
