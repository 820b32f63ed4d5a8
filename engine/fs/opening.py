"""What an open file is, for reading or for writing, and what is needed of engine/read for it. No behaviour.

Used by filesystem.py and writing.py.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from engine.errors import EngineError
from engine.fs.sharing import Sharer
from engine.namespace.inode import Inode
from engine.s3.interface import ObjectInfo
from engine.write.inherited import InheritedUpload
from engine.write.upload import Upload


class OpenObject(Protocol):
    """One open file's data (engine/read's ReadStream)."""

    async def read(self, offset: int, size: int) -> bytes | memoryview:
        """Exactly what was asked for up to the end of the object, and nothing beyond it."""
        ...

    def close(self) -> None:
        """Nothing is read any more."""
        ...


class ObjectAhead(OpenObject, Protocol):
    """The same of an object that is being fetched before anybody reads it."""

    @property
    def holds(self) -> bool:
        """Something of it is there, or on its way: it was not given up."""
        ...

    @property
    def ready(self) -> bool:
        """All of it is there."""
        ...


class ObjectOpener(Protocol):
    """Opens objects for reading (engine/read's Prefetcher)."""

    def open(self, key: str, etag: str, size: int) -> OpenObject:
        """One version of an object; sends no request. All who open it may get the same, which each closes once."""
        ...

    def open_ahead(self, key: str, etag: str, size: int, failed: Callable[[EngineError], None]) -> ObjectAhead | None:
        """The same of a small one, which is fetched at once; None if there is no memory to spare.

        `failed` is told what that failed with.
        """
        ...


@dataclass(frozen=True, slots=True)
class Opened:
    """The answer to OPEN. `direct`: past the page cache.

    So goes all writing: to copy it there, too, costs a program 0.25 CPU seconds per GB, thrice the rest of a write(2).
    """

    handle: int
    direct: bool


@dataclass(slots=True)
class OpenFile:
    """A file that is open for reading."""

    info: ObjectInfo
    direct: bool
    data: OpenObject
    inode: Inode | None = None  # None: it was opened in an engine before, and the kernel has forgotten the inode
    sharer: Sharer = field(default_factory=Sharer)
    begun: bool = False  # it was read


class OpenWriter:
    """One handle that writes. `process` is who opened it, 0 if that is not known."""

    __slots__ = ("handle", "inode", "process", "sharer", "told", "upload")

    def __init__(self, inode: Inode, upload: Upload | InheritedUpload, process: int) -> None:
        self.inode = inode
        self.upload = upload
        self.process = process
        self.sharer = Sharer()
        self.handle = 0  # until it has one
        self.told = False  # a program got the error that the upload failed with

    @property
    def over(self) -> bool:
        """Nothing more will be done for this handle: the object is there, or won't be."""
        return self.upload.uploaded is not None or self.upload.error is not None
