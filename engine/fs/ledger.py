"""What a successor must know of this file system, as records: written while things happen, read when it takes over.

The file system calls `Ledger` after each change and before it answers; where the records go (engine/journal.py) is not
its business. `inherit` makes of a dead engine's records what `S3Filesystem` begins with. Pure, but for the append.

Numbers (inodes, handles) are the kernel's and stay what they are. What S3 said of an object is inherited with its ETag
and not believed any longer: the next open or stat asks again, and reads go on with the version that was opened.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from engine.namespace.inode import Inode
from engine.namespace.listing import FIRST, Start
from engine.s3.interface import ObjectInfo

_log = logging.getLogger(__name__)

Record = list[Any]


_MOUNTED: Final = "mounted"
_INODE: Final = "inode"
_FORGOT: Final = "forgot"
_OPENED: Final = "opened"
_CLOSED: Final = "closed"
_OPENED_DIRECTORY: Final = "opendir"
_PAGE: Final = "page"


@dataclass(frozen=True, slots=True)
class InheritedFile:
    """A file that was open for reading."""

    info: ObjectInfo
    direct: bool


@dataclass(slots=True)
class InheritedDirectory:
    """A directory that was open, and how its pages are asked for, as far as it was read."""

    number: int
    pages: list[Start] = field(default_factory=lambda: [FIRST])


@dataclass(slots=True)
class Inherited:
    """What the engines before left. `mounted` is when the first of them began, in seconds since the epoch."""

    mounted: float | None = None
    inodes: dict[int, tuple[str, ObjectInfo | None]] = field(default_factory=dict)
    files: dict[int, InheritedFile] = field(default_factory=dict)
    directories: dict[int, InheritedDirectory] = field(default_factory=dict)


class Ledger:
    """Writes down what happens. Records are kept until `flush`, so that an answer with a thousand names is one write.

    Args:
        append: takes records; they are safe when it returns. May raise OSError.
    """

    def __init__(self, append: Callable[[list[Record]], None] = lambda _records: None) -> None:
        self._append = append
        self._records: list[Record] = []

    def flush(self) -> None:
        """Make all of it safe: to be called before the kernel is answered."""
        if not self._records:
            return
        records, self._records = self._records, []
        try:
            self._append(records)
        except OSError as error:
            # Programs are served all the same; only a successor would not know of this.
            _log.error("what happened could not be written down for a successor: %s", error.strerror)

    def inode(self, inode: Inode) -> None:
        """The kernel is about to know this inode."""
        self._records.append(_inode(inode.number, inode.location, inode.info))

    def forgot(self, number: int) -> None:
        """The kernel holds this inode no more."""
        self._records.append([_FORGOT, number])

    def opened(self, handle: int, info: ObjectInfo, *, direct: bool) -> None:
        """A file was opened for reading."""
        self._records.append(_opened(handle, info, direct))

    def opened_directory(self, handle: int, number: int) -> None:
        """A directory was opened, or is read from its beginning again."""
        self._records.append([_OPENED_DIRECTORY, handle, number])

    def page(self, handle: int, index: int, start: Start) -> None:
        """The next page of an open directory can be asked for."""
        self._records.append(_page(handle, index, start))

    def closed(self, handle: int) -> None:
        """A file or directory was closed."""
        self._records.append([_CLOSED, handle])


def snapshot(inherited: Inherited) -> Iterator[Record]:
    """The records from which `inherit` makes this again."""
    yield [_MOUNTED, inherited.mounted]
    for number, (location, info) in inherited.inodes.items():
        yield _inode(number, location, info)
    for handle, file in inherited.files.items():
        yield _opened(handle, file.info, file.direct)
    for handle, directory in inherited.directories.items():
        yield [_OPENED_DIRECTORY, handle, directory.number]
        for index, start in enumerate(directory.pages[1:], 1):
            yield _page(handle, index, start)


def inherit(records: Iterable[Record]) -> Inherited:
    """What is left when all of this has happened. A record that can't be understood ends it: what follows is lost."""
    inherited = Inherited()
    for record in records:
        try:
            _apply(inherited, record)
        except (KeyError, ValueError, TypeError, IndexError):
            break
    return inherited


def _apply(inherited: Inherited, record: Record) -> None:
    match record:
        case [str(kind), int(number), str(location), found] if kind == _INODE:
            inherited.inodes[number] = (location, _info(location, found))
        case [str(kind), int(number)] if kind == _FORGOT:
            inherited.inodes.pop(number, None)
        case [str(kind), int(handle), str(key), list(found), bool(direct)] if kind == _OPENED:
            info = _info(key, found)
            assert info is not None
            inherited.files[handle] = InheritedFile(info, direct)
        case [str(kind), int(handle), int(number)] if kind == _OPENED_DIRECTORY:
            inherited.directories[handle] = InheritedDirectory(number)
        case [str(kind), int(handle), int(index), token, list(pending)] if kind == _PAGE:
            pages = inherited.directories[handle].pages
            del pages[max(1, index) :]
            pages.append((token, tuple(_pending(key, found) for key, found in pending)))
        case [str(kind), int(handle)] if kind == _CLOSED:
            inherited.files.pop(handle, None)
            inherited.directories.pop(handle, None)
        case [str(kind), int() | float() | None as mounted] if kind == _MOUNTED:
            inherited.mounted = mounted
        case _:
            raise ValueError(record)


def _inode(number: int, location: str, info: ObjectInfo | None) -> Record:
    return [_INODE, number, location, _object(info)]


def _opened(handle: int, info: ObjectInfo, direct: bool) -> Record:  # noqa: FBT001 - a record's field
    return [_OPENED, handle, info.key, _object(info), direct]


def _page(handle: int, index: int, start: Start) -> Record:
    token, pending = start
    return [_PAGE, handle, index, token, [[info.key, _object(info)] for info in pending]]


def _object(info: ObjectInfo | None) -> list[Any] | None:
    """An object without its key, which stands beside it."""
    if info is None:
        return None
    return [info.size, info.etag, info.last_modified, info.storage_class, info.restored]


def _info(key: str, found: list[Any] | None) -> ObjectInfo | None:
    if found is None:
        return None
    size, etag, last_modified, storage_class, restored = found
    return ObjectInfo(key, size, etag, last_modified, storage_class, restored)


def _pending(key: str, found: list[Any]) -> ObjectInfo:
    info = _info(key, found)
    assert info is not None
    return info
