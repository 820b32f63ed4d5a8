"""What a successor must know of this file system, as records: written while things happen, read when it takes over.

The file system calls `Ledger` after each change and before it answers; where the records go (engine/journal.py) is not
its business. `inherit` makes of a dead engine's records what `S3Filesystem` begins with. Pure, but for the append.

Numbers (inodes, handles) are the kernel's and stay what they are. What S3 said of an object is inherited with its ETag
and not believed any longer: the next open or stat asks again, and reads go on with the version that was opened.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from engine.namespace.inodes import Inode
from engine.s3.interface import ObjectInfo

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
    """A directory that was open, and how its pages are asked for: S3's token, and what the page before left over."""

    number: int
    pages: list[tuple[str | None, tuple[ObjectInfo, ...]]] = field(default_factory=list)


@dataclass(slots=True)
class Inherited:
    """What the engines before left. `mounted` is when the first of them began, in seconds since the epoch."""

    mounted: float | None = None
    inodes: dict[int, tuple[str, ObjectInfo | None]] = field(default_factory=dict)
    files: dict[int, InheritedFile] = field(default_factory=dict)
    directories: dict[int, InheritedDirectory] = field(default_factory=dict)


class Ledger:
    """Writes down what happens.

    Args:
        append: takes records; they are safe when it returns.
    """

    def __init__(self, append: Callable[[list[Record]], None]) -> None:
        self._append = append

    def inodes(self, inodes: Iterable[Inode]) -> None:
        """These are new to the kernel, or have changed."""
        self._append([_inode(inode) for inode in inodes])

    def forgot(self, numbers: Iterable[int]) -> None:
        """The kernel holds these no more."""
        self._append([[_FORGOT, number] for number in numbers])

    def opened(self, handle: int, info: ObjectInfo, *, direct: bool) -> None:
        """A file was opened for reading."""
        self._append([_opened(handle, info, direct)])

    def opened_directory(self, handle: int, number: int) -> None:
        """A directory was opened, or is read from its beginning again."""
        self._append([[_OPENED_DIRECTORY, handle, number]])

    def page(self, handle: int, index: int, token: str | None, pending: Iterable[ObjectInfo]) -> None:
        """A page of an open directory can be asked for."""
        self._append([_page(handle, index, token, pending)])

    def closed(self, handle: int) -> None:
        """A file or directory was closed."""
        self._append([[_CLOSED, handle]])


def snapshot(inherited: Inherited) -> Iterator[Record]:
    """The records from which `inherit` makes this again."""
    yield [_MOUNTED, inherited.mounted]
    for number, (location, info) in inherited.inodes.items():
        yield [_INODE, number, location, _object(info)]
    for handle, file in inherited.files.items():
        yield _opened(handle, file.info, file.direct)
    for handle, directory in inherited.directories.items():
        yield [_OPENED_DIRECTORY, handle, directory.number]
        for index, (token, pending) in enumerate(directory.pages):
            yield _page(handle, index, token, pending)


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
            del pages[index:]
            pages.append((token, tuple(_pending(key, found) for key, found in pending)))
        case [str(kind), int(handle)] if kind == _CLOSED:
            inherited.files.pop(handle, None)
            inherited.directories.pop(handle, None)
        case [str(kind), int() | float() | None as mounted] if kind == _MOUNTED:
            inherited.mounted = mounted
        case _:
            raise ValueError(record)


def _inode(inode: Inode) -> Record:
    return [_INODE, inode.number, inode.location, _object(inode.info)]


def _opened(handle: int, info: ObjectInfo, direct: bool) -> Record:  # noqa: FBT001 - a record's field
    return [_OPENED, handle, info.key, _object(info), direct]


def _page(handle: int, index: int, token: str | None, pending: Iterable[ObjectInfo]) -> Record:
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
