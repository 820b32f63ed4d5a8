"""What the rest of the engine may ask of S3. `client.py` answers over HTTP, `memory.py` from a dictionary (for
tests and for working without a server); tests/contract holds both, and real servers, to the same promises.

Keys are `str` without a leading slash. Sizes and offsets are in bytes, times in seconds since the epoch. Every method
retries what is worth retrying and then raises an `S3Error`; cancellation leaves no connection half used.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

# S3's own bound on entries of one answer, common prefixes included.
LIST_ENTRIES_MAX = 1000

# S3's own bound on a key, in bytes of UTF-8.
KEY_BYTES_MAX: Final = 1024

# S3's own bounds on multipart uploads, and on what one request carries.
PARTS_MAX: Final = 10_000
PART_BYTES_MIN: Final = 5 * 1024 * 1024  # every part but the last
PART_BYTES_MAX: Final = 5 * 1024 * 1024 * 1024  # a single PUT's too
OBJECT_BYTES_MAX: Final = 5 * 1024 * 1024 * 1024 * 1024

ChecksumAlgorithm = Literal["crc32c", "crc64nvme"]

# Storage classes whose objects can't be read unless there is a restored copy.
ARCHIVED_CLASSES: Final = ("GLACIER", "DEEP_ARCHIVE")

# Of memory that its owner must leave alone until the request is over.
Body = Sequence[memoryview | bytes]


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What S3 says of an object, by HEAD or in a listing."""

    key: str
    size: int
    etag: str  # with its quotes, as S3 sends it: an opaque version
    last_modified: float
    storage_class: str = "STANDARD"
    restored: bool = False  # an archived object that has a restored copy whose expiry is still to come

    # S3 makes a copy of an archived object now. Of no version's identity.
    restoring: bool = field(default=False, compare=False)

    @property
    def archived(self) -> bool:
        """Must be restored before it can be read."""
        return self.storage_class in ARCHIVED_CLASSES and not self.restored


@dataclass(frozen=True, slots=True)
class ListPage:
    """One answer of ListObjectsV2, in S3's order (UTF-8 binary)."""

    objects: list[ObjectInfo] = field(default_factory=list)
    prefixes: list[str] = field(default_factory=list)  # common prefixes, each ends in the delimiter
    next_token: str | None = None  # None: the last page


@dataclass(frozen=True, slots=True)
class UploadOptions:
    """How an object is to be stored. None: as S3 does it unless told."""

    storage_class: str | None = None
    sse: str | None = None  # "AES256", "aws:kms" or "aws:kms:dsse"
    sse_kms_key_id: str | None = None  # with a `sse` of KMS
    content_type: str | None = None
    checksum_algorithm: ChecksumAlgorithm | Literal["off"] = "crc32c"


@dataclass(frozen=True, slots=True)
class Checksum:
    """A checksum of some bytes. checksums.py makes and combines them."""

    algorithm: ChecksumAlgorithm
    value: int


@dataclass(frozen=True, slots=True)
class PartInfo:
    """A part that S3 has."""

    number: int
    etag: str  # with its quotes
    size: int
    checksum: Checksum | None = None
    compared: bool = field(default=False, compare=False)  # S3 has said that its bytes have this checksum


@dataclass(frozen=True, slots=True)
class Likeness:
    """By what an object is known to be the one that was sent: its size, and its ETag or its checksum."""

    size: int
    etag: str = ""  # as S3 makes it, with its quotes; empty: not known beforehand
    checksum: str | None = None  # as S3's headers have it
    algorithm: ChecksumAlgorithm | Literal[""] = ""  # of the checksum


@dataclass(frozen=True, slots=True)
class UploadInfo:
    """A multipart upload in progress, as S3 lists it."""

    key: str
    upload_id: str
    initiated: float


class RangeReader(Protocol):
    """S3, as far as reading needs it."""

    async def get_object(
        self,
        key: str,
        *,
        offset: int,
        buffers: Sequence[memoryview],
        if_match: str,
        progress: Callable[[int], None],
    ) -> None:
        """Fill `buffers`, one behind the other, with the object's bytes from `offset` on.

        The range asked for is exactly the buffers' total length (at least 1), which must lie inside the object; fewer
        bytes are an error (BadResponse after retries), never a short answer. `progress(n)` is called, without an await
        in between, each time bytes have been placed, with the number of bytes from the start that are good now; it
        never goes down. A retry goes on where the last attempt broke off, with the same `if_match`, so bytes of two
        versions never mix. Raises PreconditionFailed if the object's ETag is no longer `if_match`, NoSuchKey,
        ArchivedObject, ...
        """
        ...


class ObjectClient(RangeReader, Protocol):
    """S3, as far as this engine needs it."""

    async def head_object(self, key: str) -> ObjectInfo:
        """The object's metadata. Raises NoSuchKey, AccessDenied, ..."""
        ...

    async def list_objects(
        self, prefix: str, *, delimiter: str = "/", token: str | None = None, max_keys: int = LIST_ENTRIES_MAX
    ) -> ListPage:
        """One page of the keys that start with `prefix`, those beyond the next `delimiter` rolled up.

        `token` is the page before's `next_token`; delimiter "" lists flat. A prefix without keys is an empty page,
        not an error. Raises NoSuchBucket, AccessDenied, WrongRegion, ...
        """
        ...

    async def get_beginning(
        self,
        key: str,
        *,
        buffer: memoryview,
        known: Callable[[ObjectInfo], None],
        progress: Callable[[int], None],
    ) -> None:
        """Fetch the first bytes of an object of which nothing is known: all, or as many as `buffer` holds.

        `known` is told what HEAD would say, once and before any byte is placed; what comes is of that version.
        `progress` as in `get_object`; it ends below what was asked for only where a server sends more than that.
        Raises NoSuchKey, RangeNotSatisfiable for an empty object, ArchivedObject, ...
        """
        ...

    async def put_object(
        self,
        key: str,
        *,
        body: Body,
        upload: UploadOptions,
        checksum: Checksum | None = None,
        if_none_match: bool = False,
    ) -> str:
        """Make or replace an object by one request; returns its ETag. All of it is stored, or nothing.

        S3 checks the body against `checksum`, if one is given. `if_none_match`: only if there is no object by this
        key; one that an earlier attempt of this very call stored, whose answer was lost, counts as this call's.
        Raises AlreadyExists, EntityTooLarge, KeyTooLong, AccessDenied, ..., and WrongEncryption when S3 has stored
        the object and says that it is not encrypted as asked.
        """
        ...

    async def create_multipart_upload(self, key: str, *, upload: UploadOptions) -> str:
        """Begin a multipart upload; returns its id. Nothing is visible before it is completed.

        Raises WrongEncryption, having aborted it, when S3 will not encrypt as asked. An answer that is lost leaves an
        upload behind that nobody knows: `list_multipart_uploads` finds it.
        """
        ...

    async def upload_part(
        self, key: str, upload_id: str, number: int, *, body: Body, checksum: Checksum | None = None
    ) -> PartInfo:
        """Send a part, in any order; one sent again replaces the one before.

        `number` is from 1 to PARTS_MAX. `checksum` is of the upload's algorithm, given unless that is "off".
        Raises NoSuchUpload, EntityTooLarge, ...
        """
        ...

    async def complete_multipart_upload(
        self,
        key: str,
        upload_id: str,
        parts: Sequence[PartInfo],
        *,
        checksum: Checksum | None = None,
        if_none_match: bool = False,
    ) -> str:
        """Make the object out of `parts`, which are in the order of their numbers; returns its ETag.

        `checksum` is the whole object's, given unless the upload's algorithm is "off"; S3 checks it (CRC64NVME), or
        the parts' checksums (CRC32C). An upload that is gone because an earlier attempt, or process, completed it
        with these parts counts as completed. Raises NoSuchUpload, AlreadyExists (the upload is then still there),
        S3Error with the code EntityTooSmall, InvalidPart, ...
        """
        ...

    async def abort_multipart_upload(self, key: str, upload_id: str) -> None:
        """Drop a multipart upload and its parts. One that is not there is no error."""
        ...

    async def list_multipart_uploads(self, prefix: str) -> list[UploadInfo]:
        """All multipart uploads in progress of keys that start with `prefix`, in no particular order."""
        ...

    async def find_object(self, key: str, likeness: Likeness) -> str | None:
        """The ETag of the object by this key if it is certainly like this; None if there is none, or not certainly."""
        ...

    async def delete_object(self, key: str) -> None:
        """Delete an object. One that is not there is no error."""
        ...

    async def probe(self) -> None:
        """One cheap request (HeadBucket) that shows whether S3 answers, and lets us in.

        Raises Unreachable, Throttled, NoSuchBucket, AccessDenied, ...: the last also to keys that may do what a mount
        needs, if their leave to list is for one prefix.
        """
        ...

    async def aclose(self) -> None:
        """Close all connections."""
        ...
