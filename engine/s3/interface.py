"""What the rest of the engine may ask of S3. `client.py` answers over HTTP, `memory.py` from a dictionary (for
tests and for working without a server); tests/contract holds both, and real servers, to the same promises.

Keys are `str` without a leading slash. Sizes and offsets are in bytes, times in seconds since the epoch. Every method
retries what is worth retrying and then raises an `S3Error`; cancellation leaves no connection half used.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

# S3's own bound on entries of one answer, common prefixes included.
LIST_ENTRIES_MAX = 1000


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What S3 says of an object, by HEAD or in a listing."""

    key: str
    size: int
    etag: str  # with its quotes, as S3 sends it: an opaque version
    last_modified: float
    storage_class: str = "STANDARD"
    restored: bool = False  # an archived object that has a restored copy whose expiry is still to come

    @property
    def archived(self) -> bool:
        """Must be restored before it can be read (GLACIER, DEEP_ARCHIVE without a restored copy)."""
        return self.storage_class in ("GLACIER", "DEEP_ARCHIVE") and not self.restored


@dataclass(frozen=True, slots=True)
class ListPage:
    """One answer of ListObjectsV2, in S3's order (UTF-8 binary)."""

    objects: list[ObjectInfo] = field(default_factory=list)
    prefixes: list[str] = field(default_factory=list)  # common prefixes, each ends in the delimiter
    next_token: str | None = None  # None: the last page


class ObjectClient(Protocol):
    """S3, as far as this engine needs it. Writes (put, multipart, delete) join in a later version."""

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

    async def probe(self) -> None:
        """One cheap request (HeadBucket) that shows whether S3 answers: any HTTP answer below 500 will do."""
        ...

    async def aclose(self) -> None:
        """Close all connections."""
        ...
