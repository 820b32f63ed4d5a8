"""The file system of one mount: the verbs of the VFS in our own types, reading only.

engine/fuse calls it for the kernel's requests and turns its errors into errnos. It joins names (engine/namespace) and
data (engine/read) and never talks to the kernel. Between two awaits every change is complete, so requests may run
side by side and be cancelled anywhere.
"""

import functools
import logging
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Protocol

import trio

from engine.errors import Archived, Deleted, IsADirectory, NoSuchKey, NotADirectory, ReadOnly
from engine.fs.attributes import AttributeRules, Attributes
from engine.fs.handles import Handles
from engine.fs.ledger import Inherited, InheritedDirectory, InheritedFile, Ledger
from engine.fs.policy import check_open, is_direct
from engine.namespace import names
from engine.namespace.hidden import HiddenNames
from engine.namespace.inodes import Inode, InodeTable
from engine.namespace.lifetimes import lifetimes
from engine.namespace.listing import FIRST, DirectoryStream, Page, Start
from engine.namespace.lookup import Lookup
from engine.s3.interface import ObjectClient, ObjectInfo
from engine.spec import MountSpec
from engine.stats import EngineStats

logger = logging.getLogger(__name__)

# Positions of a directory as the kernel knows them: 0 the start, then `.`, then `..`, then those of the listing,
# moved by this many.
_DOTS: Final = 2

# Seconds that a page of a listing may wait until a program reads its entries, for them to count as fresh then: what a
# directory may be out of date with `metadata-ttl = minimal`. Else their lifetime began when S3 answered, and with the
# shortest lifetimes a slow reader's next stat asks S3.
LISTED_SECONDS_MAX: Final = 1.0


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


@dataclass(frozen=True, slots=True)
class Listed:
    """One entry of a directory, and the position behind it. `counted`: the kernel holds one lookup more by it."""

    name: bytes
    attributes: Attributes
    position: int
    counted: bool


@dataclass(slots=True)
class _OpenFile:
    info: ObjectInfo
    direct: bool
    data: OpenObject


@dataclass(slots=True)
class _OpenDirectory:
    inode: Inode
    stream: DirectoryStream


class S3Filesystem:
    """One mount.

    Args:
        spec: what is mounted and how.
        client: S3.
        opener: reads objects.
        generation: which engine of the session this is, for numbers that never repeat.
        stats: the engine's counters.
        ledger: what a successor must know is written there; whoever answers the kernel flushes it first.
        inherited: what the engine before left.
    """

    def __init__(
        self,
        spec: MountSpec,
        client: ObjectClient,
        opener: ObjectOpener,
        *,
        generation: int,
        stats: EngineStats,
        ledger: Ledger | None = None,
        inherited: Inherited | None = None,
    ) -> None:
        self._spec: Final = spec
        self._client: Final = client
        self._opener: Final = opener
        self._stats: Final = stats
        self.lifetimes: Final = lifetimes(spec.metadata_ttl, spec.negative_metadata_ttl)
        self.ledger: Final = ledger or Ledger()
        self._table: Final = InodeTable(
            spec.prefix,
            generation=generation,
            stats=stats,
            made=self.ledger.inode,
            forgotten=self.ledger.forgot,
        )
        self._lookup: Final = Lookup(client, self._table, self.lifetimes)
        self._mounted: Final = (inherited and inherited.mounted) or time.time()
        self._rules: Final = AttributeRules(spec, mounted=self._mounted)
        self._hidden: Final = HiddenNames(stats)
        self._files: Final[Handles[_OpenFile]] = Handles(generation=generation, gauge=self._files_open)
        self._directories: Final[Handles[_OpenDirectory]] = Handles(generation=generation, gauge=self._directories_open)
        self._told_read_only = False
        if inherited is not None:
            self._inherit(inherited)

    def bequest(self) -> Inherited:
        """What a successor must know, as of now."""
        return Inherited(
            mounted=self._mounted,
            inodes={inode.number: (inode.location, inode.info) for inode in self._table},
            files={handle: InheritedFile(file.info, file.direct) for handle, file in self._files},
            directories={
                handle: InheritedDirectory(directory.inode.number, list(directory.stream.starts))
                for handle, directory in self._directories
            },
        )

    async def lookup(self, parent: int, name: bytes) -> Attributes:
        """A name in a directory; the kernel holds one lookup more. Raises NotFound, NotADirectory, InvalidName."""
        directory = self._directory(parent)
        return self._attributes(await self._lookup.child(directory, names.decode(name)))

    def missing_seconds(self, parent: int, name: bytes) -> float:
        """How long it is believed that a directory has no such name; 0 if that is not known, or not kept."""
        directory = self._table.find(parent)
        if directory is None:
            return 0.0
        now = trio.current_time()
        until = self._table.missing.until(directory.prefix + names.decode(name), now)
        return 0.0 if until is None else until - now

    def forget(self, numbers: Iterable[tuple[int, int]]) -> None:
        """The kernel dropped lookups: pairs of number and how many."""
        for number, lookups in numbers:
            self._table.forget(number, lookups)

    async def getattr(self, number: int) -> Attributes:
        """An inode's attributes, asked of S3 when they are no longer believed. Raises Stale."""
        inode = self._table.get(number)
        if not self._lookup.believed(inode):
            await self._lookup.revalidate(inode)
        return self._attributes(inode)

    async def open(self, number: int, flags: int) -> Opened:
        """Open a file for reading, pinned to the version it has now. Raises IsADirectory, ReadOnly, Archived, Stale."""
        inode = self._table.get(number)
        if inode.is_directory:
            raise IsADirectory(f"{inode.location!r} is a directory")
        self._check_open(inode, flags)
        if is_direct(flags) or not self._lookup.believed(inode):
            await self._lookup.revalidate(inode)
        info = inode.info
        assert info is not None, "an inode never changes its kind"
        if info.archived:
            raise Archived(f"{info.key!r} is in {info.storage_class} and must be restored before it can be read")
        direct = is_direct(flags)
        handle = self._files.add(self._opened(info, direct=direct))
        self.ledger.opened(handle, info, direct=direct)
        return Opened(handle, direct)

    async def read(self, handle: int, offset: int, size: int) -> bytes | memoryview:
        """Bytes of an open file; fewer than asked for only at its end. A memoryview is valid until the next await.

        Raises PreconditionFailed (ESTALE) when the object was replaced, Deleted when it is gone.
        """
        file = self._files.get(handle)
        try:
            return await file.data.read(offset, size)
        except NoSuchKey as error:
            raise Deleted(f"{file.info.key!r} was deleted while it was being read") from error

    def release(self, handle: int) -> None:
        """The last descriptor of an open file is closed."""
        if file := self._files.remove(handle):
            file.data.close()
            self.ledger.closed(handle)

    def opendir(self, number: int) -> int:
        """Open a directory; S3 is asked at the first read. Raises NotADirectory, Stale."""
        inode = self._directory(number)
        handle = self._directories.add(self._opened_directory(inode, [FIRST]))
        self._directories.get(handle).stream.paged = functools.partial(self.ledger.page, handle)
        self.ledger.opened_directory(handle, number)
        return handle

    async def readdir(self, handle: int, position: int) -> Iterator[Listed]:
        """Entries of an open directory from a position on: some, and none only at the end.

        Position 0 after a start lists anew. Each entry drawn from the iterator with `counted` holds a lookup, which
        must be given back by `forget` if the kernel does not get it. No await may come between drawing two entries.
        """
        directory = self._directories.get(handle)
        if position == 0 and directory.stream.started:
            await directory.stream.rewind()
            self.ledger.opened_directory(handle, directory.inode.number)
        if position < _DOTS:
            return self._dots(directory.inode, position)
        found = await directory.stream.read(position - _DOTS)
        if found is None:
            return iter(())
        return self._entries(directory.inode, *found)

    def releasedir(self, handle: int) -> None:
        """The directory is closed."""
        if self._directories.remove(handle):
            self.ledger.closed(handle)

    def read_only(self, verb: str, number: int) -> ReadOnly:
        """The error for a verb that would change something; tells once in the log that this version does not."""
        if not self._spec.read_only and not self._told_read_only:
            self._told_read_only = True
            logger.warning("%s in a mount that is not read-only: this version does not write yet (EROFS)", verb)
        return ReadOnly(f"{verb} of {self.describe(number)}: this mount only reads")

    def describe(self, number: int) -> str:
        """An inode for a message: its key, as far as it is known."""
        inode = self._table.find(number)
        return f"inode {number}" if inode is None else f"s3://{self._spec.bucket}/{inode.key}"

    def describe_child(self, parent: int, name: bytes) -> str:
        """A name in a directory for a message."""
        return self.describe(parent) + name.decode(errors="backslashreplace")

    def describe_handle(self, handle: int) -> str:
        """An open file or directory for a message."""
        if file := self._files.find(handle):
            return f"s3://{self._spec.bucket}/{file.info.key}"
        if directory := self._directories.find(handle):
            return f"s3://{self._spec.bucket}/{directory.inode.key}"
        return f"handle {handle}"

    def _inherit(self, inherited: Inherited) -> None:
        for number, (location, info) in inherited.inodes.items():
            self._table.inherit(number, location, info)
        for handle, file in inherited.files.items():
            self._files.inherit(handle, self._opened(file.info, direct=file.direct))
        for handle, directory in inherited.directories.items():
            if inode := self._table.find(directory.number):
                opened = self._opened_directory(inode, directory.pages)
                opened.stream.paged = functools.partial(self.ledger.page, handle)
                self._directories.inherit(handle, opened)

    def _opened(self, info: ObjectInfo, *, direct: bool) -> _OpenFile:
        return _OpenFile(info, direct, self._opener.open(info.key, info.etag, info.size))

    def _opened_directory(self, inode: Inode, starts: Iterable[Start]) -> _OpenDirectory:
        return _OpenDirectory(inode, DirectoryStream(self._client, inode.prefix, self._hidden, starts))

    def _directory(self, number: int) -> Inode:
        inode = self._table.get(number)
        if not inode.is_directory:
            raise NotADirectory(f"{inode.location!r} is a file")
        return inode

    def _check_open(self, inode: Inode, flags: int) -> None:
        try:
            check_open(flags)
        except ReadOnly as error:
            raise self.read_only("opening for writing", inode.number) from error

    def _attributes(self, inode: Inode) -> Attributes:
        if inode is self._table.root:
            return self._rules.of(inode, self.lifetimes.directory)
        return self._rules.of(inode, max(0.0, inode.valid_until - trio.current_time()))

    def _dots(self, inode: Inode, position: int) -> Iterator[Listed]:
        """`.` and `..`, which the kernel neither adds by itself nor counts as lookups."""
        both = ((b".", inode), (b"..", self._table.parent(inode)))
        for index, (name, target) in enumerate(both[position:], position):
            yield Listed(name, self._attributes(target), index + 1, counted=False)

    def _entries(self, inode: Inode, page: Page, index: int) -> Iterator[Listed]:
        now = trio.current_time()
        age = now - page.listed
        if age <= LISTED_SECONDS_MAX:
            age = 0.0
        prefix = inode.prefix
        for entry in page.entries[index:]:
            valid = max(0.0, self.lifetimes.of(directory=entry.info is None) - age)
            child = self._table.link(prefix + entry.name, entry.info, now + valid)
            index += 1
            attributes = self._rules.of(child, valid)
            yield Listed(entry.name.encode(), attributes, page.position(index) + _DOTS, counted=True)

    def _files_open(self, count: int) -> None:
        self._stats.open_files = count

    def _directories_open(self, count: int) -> None:
        self._stats.open_directories = count
