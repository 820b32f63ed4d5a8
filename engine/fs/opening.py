"""What an open file is, and what the file system needs of engine/read for it. Used by filesystem.py; no behaviour."""

from dataclasses import dataclass, field
from typing import Protocol

from engine.fs.sharing import Sharer
from engine.namespace.inode import Inode
from engine.s3.interface import ObjectInfo


class OpenObject(Protocol):
    """One open file's data (engine/read's ReadStream)."""

    async def read(self, offset: int, size: int) -> bytes | memoryview:
        """Exactly what was asked for up to the end of the object, and nothing beyond it."""
        ...

    def close(self) -> None:
        """Nothing is read any more."""
        ...


class ObjectOpener(Protocol):
    """Opens objects for reading (engine/read's Prefetcher)."""

    def open(self, key: str, etag: str, size: int) -> OpenObject:
        """One version of an object; sends no request."""
        ...


@dataclass(frozen=True, slots=True)
class Opened:
    """The answer to OPEN. `direct`: past the page cache."""

    handle: int
    direct: bool


@dataclass(slots=True)
class OpenFile:
    """A file that is open for reading."""

    info: ObjectInfo
    direct: bool
    data: OpenObject
    inode: Inode | None = None  # None: an engine before opened it
    sharer: Sharer = field(default_factory=Sharer)
