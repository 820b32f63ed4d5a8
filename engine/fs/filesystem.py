"""The file system of one mount: the verbs of the VFS in our own types.

engine/fuse calls it for the kernel's requests and turns its errors into errnos. It joins names (engine/namespace) and
data (engine/read); what changes something is writing.py's, what readdir gets directories.py's. Between two awaits
every change is complete, so requests may run side by side and be cancelled anywhere.
"""

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

import trio

from engine.errors import (
    BadHandle,
    Deleted,
    EngineError,
    IsADirectory,
    NoSuchKey,
    NotADirectory,
    NotPermitted,
    PreconditionFailed,
    ReadOnly,
    Stale,
)
from engine.fs.attributes import AttributeRules, Attributes, Wanted
from engine.fs.beginnings import Beginnings
from engine.fs.describe import Describe
from engine.fs.directories import WALKED_SECONDS, Directories, Listed
from engine.fs.files_ahead import FilesAhead
from engine.fs.handles import Handles, is_writers
from engine.fs.inherited import Inherited
from engine.fs.ledger import Ledger, inherit, inode_records, parsed, snapshot
from engine.fs.opening import ObjectOpener, Opened, OpenFile, OpenWriter
from engine.fs.policy import Access, access, check_synchronous, is_direct, rename_refused, writes
from engine.fs.readable import check_readable
from engine.fs.takeover import inherit_names, inherited_files, leave_files, left, left_files
from engine.fs.writing import Writing
from engine.namespace import names
from engine.namespace.inode import Inode
from engine.namespace.inodes import InodeTable
from engine.namespace.lifetimes import lifetimes
from engine.namespace.lookup import Lookup
from engine.s3.interface import ObjectClient
from engine.spec import MountSpec
from engine.stats import EngineStats
from engine.write.uploader import Uploader


class S3Filesystem:
    """One mount.

    Args:
        spec: what is mounted and how.
        client: S3.
        opener: reads objects.
        generation: which engine of the session this is, for numbers that never repeat.
        stats: the engine's counters.
        uploader: writes objects; None: this mount only reads.
        ledger: what a successor must know is written there; whoever answers the kernel flushes it first.
        inherited: what the engine before left.
        nursery: where S3 is asked before programs ask; None: it is not.
    """

    def __init__(
        self,
        spec: MountSpec,
        client: ObjectClient,
        opener: ObjectOpener,
        *,
        generation: int,
        stats: EngineStats,
        uploader: Uploader | None = None,
        ledger: Ledger | None = None,
        inherited: Inherited | None = None,
        nursery: trio.Nursery | None = None,
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
            discarded=self.ledger.discarded,
            forgotten=self.ledger.forgot,
        )
        self._lookup: Final = Lookup(client, self._table, self.lifetimes)
        self._ahead: Final = FilesAhead(opener, self._table, Beginnings(client, opener, nursery, stats))
        self._mounted: Final = (inherited and inherited.mounted) or time.time()
        self._rules: Final = AttributeRules(spec, mounted=self._mounted)
        self._reading: Counter[int] = Counter()  # open files by inode
        self._files: Final[Handles[OpenFile]] = Handles(generation=generation, gauge=self._files_open)
        self._writers: Final[Handles[OpenWriter]] = Handles(
            generation=generation, gauge=lambda _count: self._files_open(len(self._files)), writers=True
        )
        self.writing: Final = (
            None
            if uploader is None
            else Writing(spec, client, uploader, self._table, self._lookup, self._writers, self.ledger, nursery)
        )
        self._directories: Final = Directories(
            client,
            self._table,
            ledger=self.ledger,
            lifetimes=self.lifetimes,
            attributes=self._attributes,
            generation=generation,
            nursery=nursery,
            stats=stats,
        )
        self.readdir_given: Final = self._directories.given
        self.describe: Final = Describe(spec.bucket, self._table, self._files, self._writers, self._directories)
        if inherited is not None:
            self._inherit(inherited)

    def bequest(self) -> Inherited:
        """What a successor must know, as of now."""
        return inherit(parsed(record for group in self.snapshot() for record in group))

    def snapshot(self) -> Iterator[list[str]]:
        """The same as records (JSON), in groups that belong together; each is as of when it is drawn."""
        for number in self._table.numbers():
            if inode := self._table.find(number):
                yield inode_records(inode, named=self._table.is_current(inode))
        others = Inherited(
            mounted=self._mounted,
            files=left_files(self._files),
            writers=left(self._writers),
            directories=self._directories.bequest(),
            uploads=self.ledger.uploads,
            asked=self.ledger.asked,
        )
        yield list(snapshot(others))

    async def lookup(self, parent: int, name: bytes, caller: int = 0) -> Attributes:
        """A name in a directory; the kernel holds one lookup more. Raises NotFound, NotADirectory, InvalidName.

        `caller` is the thread that asks, 0 if that is not known.
        """
        directory, text = self._directory(parent), names.decode(name)
        known = self._table.at(directory.prefix + text)
        if known is not None and (
            self._directories.tells(directory, known, caller)
            or (known.is_directory and await self._directories.is_there(known, caller))
        ):
            return self._attributes(self._table.counted(known), WALKED_SECONDS)
        looking = self._ahead.looking(directory, known)
        found = looking.found(await self._lookup.child(directory, text, looking.ask))
        if found.pending and self.writing is not None:
            self.writing.repeats.seen(found.number)
        return self._attributes(found)

    def missing_seconds(self, parent: int, name: bytes) -> float:
        """How long it is believed that a directory has no such name; 0 if that is not known, or not kept."""
        directory = self._table.find(parent)
        if directory is None:
            return 0.0
        until = self._table.missing.until(directory.prefix + names.decode(name), now := trio.current_time())
        return 0.0 if until is None else until - now

    def forget(self, numbers: Iterable[tuple[int, int]]) -> None:
        """The kernel dropped lookups: pairs of number and how many."""
        for number, lookups in numbers:
            self._table.forget(number, lookups)

    async def getattr(self, number: int, caller: int = 0) -> Attributes:
        """An inode's attributes, asked of S3 when they are no longer believed. Raises Stale.

        A file that is open for reading is the version that was opened, whatever has become of its name.
        """
        inode = self._table.get(number)
        if not self._lookup.believed(inode) and not self._reading[number]:
            if self._directories.tells(self._table.parent(inode), inode, caller) or (
                inode.is_directory and await self._directories.is_there(inode, caller)
            ):
                return self._attributes(inode, WALKED_SECONDS)
            await self._lookup.revalidate(inode)
        return self._attributes(inode)

    async def open(self, number: int, flags: int, process: int = 0) -> Opened:
        """Open a file for reading, pinned to the version it has now, or for writing.

        `process` is who asks, 0 if that is not known. Raises, in this order: InvalidArgument, ReadOnly, Stale,
        IsADirectory, Archived, TooManyWriters, NotPermitted, or what a deferred upload of the file fails with.
        """
        inode = self._table.get(number)
        if writes(flags):
            check_synchronous(flags)
            self._may_write("opening for writing", number)
        if is_direct(flags) or not self._lookup.believed(inode):
            await self._lookup.revalidate(inode)
        if inode.is_directory:
            raise IsADirectory(f"{inode.location!r} is a directory")
        if self.writing is None:
            return self._open_for_reading(inode, flags)
        new = self.writing.is_new(inode)
        if access(flags, new=new, allow_overwrite=self._spec.allow_overwrite) is Access.WRITE:
            return Opened(await self.writing.open(inode, flags, process), direct=True)
        check_readable(inode, self._spec)
        await self.writing.admit_reader(inode)
        return self._open_for_reading(inode, flags)

    async def read(self, handle: int, offset: int, size: int) -> bytes | memoryview:
        """Bytes of an open file; fewer than asked for only at its end. A memoryview is valid until the next await.

        Raises PreconditionFailed (ESTALE) when the object was replaced, Deleted when it is gone, BadHandle when the
        handle is for writing.
        """
        if is_writers(handle):
            self._writers.get(handle)
            raise BadHandle("the file is open for writing: it can be read when it is closed")
        file = self._files.get(handle)
        file.sharer.used()
        if not file.begun:
            self._ahead.begin(file)
        try:
            return await file.data.read(offset, size)
        except PreconditionFailed:
            self._table.disbelieve(file.info)
            raise
        except NoSuchKey as error:
            self._table.disbelieve(file.info)
            raise Deleted(f"{file.info.key!r} was deleted while it was being read") from error

    async def write(self, handle: int, offset: int, data: bytes) -> int:
        """Append to a file that is open for writing; returns how many bytes: all.

        Raises BadHandle, Stale, OutOfOrderWrite, FileTooBig, UploadCompleted, UploadFailed.
        """
        return await self._writer_of(handle).write(handle, offset, data)

    async def flush(self, handle: int, process: int | None = None) -> None:
        """A descriptor of an open file was closed, by this process (None: by the one that opened it).

        Completes a file that was written. Raises what that fails with.
        """
        if file := self._files.find(handle):
            file.sharer.closed_once()
        elif is_writers(handle):
            await self._writer_of(handle).flush(handle, process)

    async def fsync(self, handle: int) -> None:
        """Have in S3 what was written. Raises what that fails with."""
        if is_writers(handle) and self._files.find(handle) is None:
            await self._writer_of(handle).fsync(handle)

    def flush_tells(self, handle: int) -> bool:
        """Whether it matters who closes a descriptor of this handle."""
        writer = self._writers.find(handle)
        return writer is not None and not writer.over and writer.upload.begun

    def release(self, handle: int) -> None:
        """The last descriptor of a file that was open for reading is closed."""
        if file := self._files.remove(handle):
            file.data.close()
            if file.inode is not None:
                self._reading[file.inode.number] -= 1
                if not self._reading[file.inode.number]:
                    del self._reading[file.inode.number]
                file.inode.handles -= 1
            if self.writing is not None and file.inode is not None:
                self.writing.remove_reader(file.inode, file.sharer)
            self.ledger.closed(handle)

    async def close(self, handle: int) -> None:
        """The same for any file; completes what was written and is not complete yet. Raises nothing."""
        if self.writing is not None and self._writers.find(handle) is not None:
            await self.writing.release(handle)
        else:
            self.release(handle)

    async def leave(self) -> tuple[int, ...]:
        """Hand over what is open: see moving.leave."""
        leave_files(self._files, self.ledger)
        return () if self.writing is None else await self.writing.leave()

    async def drain(self) -> None:
        """Complete what was closed and is not uploaded yet, for nobody can be told any more. Raises nothing."""
        self._ahead.close()
        if self.writing is not None:
            await self.writing.drain()

    async def mknod(self, parent: int, name: bytes, mode: int) -> Attributes:
        """Make a file, not in S3 yet; the kernel holds one lookup. Raises NameTaken, InvalidArgument, ReadOnly, ..."""
        directory, writing = self._changing("mknod", parent)
        return self._attributes(await writing.make_file(directory, names.decode(name), mode))

    async def mkdir(self, parent: int, name: bytes) -> Attributes:
        """Make a directory, not in S3; the kernel holds one lookup. Raises NameTaken, ReadOnly, ..."""
        directory, writing = self._changing("mkdir", parent)
        return self._attributes(await writing.make_directory(directory, names.decode(name)))

    async def unlink(self, parent: int, name: bytes) -> None:
        """Delete a file. Raises NotPermitted, IsADirectory, NotFound, ReadOnly, or what S3 failed with."""
        directory, writing = self._changing("unlink", parent)
        await writing.unlink(directory, names.decode(name))
        self._directories.removed(directory, names.decode(name))

    async def rmdir(self, parent: int, name: bytes) -> None:
        """Remove an empty directory. Raises NotEmpty, NotPermitted, NotADirectory, NotFound, ReadOnly, ..."""
        directory, writing = self._changing("rmdir", parent)
        await writing.rmdir(directory, names.decode(name))
        self._directories.removed(directory, names.decode(name))

    def rename(self, parent: int, flags: int) -> EngineError:
        """The error for it: InvalidArgument, NotPermitted, or CrossDevice where programs may copy. Raises ReadOnly."""
        self._changing("rename", parent)
        return rename_refused(flags, allow_delete=self._spec.allow_delete)

    def link(self, verb: str, parent: int) -> EngineError:
        """The error for a hard or symbolic link: NotPermitted. Raises ReadOnly."""
        self._changing(verb, parent)
        return NotPermitted("S3 has no links")

    async def setattr(self, number: int, wanted: Wanted) -> Attributes:
        """Set what can be set, mostly of what is not in S3 yet. Raises Unsettable, InvalidArgument, ReadOnly, Stale."""
        writing, now = self._may_write("setattr", number), await self.getattr(number)
        writing.set_attributes(self._table.get(number), wanted, now)
        return await self.getattr(number)

    def opendir(self, number: int, caller: int = 0) -> int:
        """Open a directory; S3 is asked at the first read. Raises NotADirectory, Stale."""
        return self._directories.open(self._directory(number), caller)

    async def readdir(self, handle: int, position: int) -> Iterator[Listed]:
        """Entries of an open directory from a position on: see Directories.read."""
        return await self._directories.read(handle, position)

    def releasedir(self, handle: int) -> None:
        """The directory is closed."""
        self._directories.release(handle)

    def _inherit(self, inherited: Inherited) -> None:
        inherit_names(inherited, self._table)
        for handle, file in inherited_files(inherited, self._table, self._opener):
            self._files.inherit(handle, file)
            self._is_read(file)
        self._directories.inherit(inherited.directories)
        if self.writing is not None:
            self.writing.inherit(inherited)

    def _open_for_reading(self, inode: Inode, flags: int) -> Opened:
        info = check_readable(inode, self._spec)
        if self._table.find(inode.number) is not inode:
            raise Stale(f"{inode.location!r} was forgotten while it was being opened")
        data = self._ahead.take(inode, info) or self._opener.open(info.key, info.etag, info.size)
        file = OpenFile(info, is_direct(flags), data, inode)
        self._is_read(file)
        inode.handles += 1
        handle = file.sharer.handle = self._files.add(file)
        self.ledger.opened(handle, inode.number, info, direct=file.direct)
        return Opened(handle, file.direct)

    def _is_read(self, file: OpenFile) -> None:
        if (inode := file.inode) is not None:
            self._reading[inode.number] += 1
            inode.opened = True
            if self.writing is not None:
                self.writing.add_reader(inode, file.sharer)

    def _directory(self, number: int) -> Inode:
        inode = self._table.get(number)
        if not inode.is_directory:
            raise NotADirectory(f"{inode.location!r} is a file")
        return inode

    def _may_write(self, verb: str, number: int) -> Writing:
        if self.writing is None:
            raise ReadOnly(f"{verb} of {self.describe.inode(number)}: this mount only reads")
        return self.writing

    def _changing(self, verb: str, parent: int) -> tuple[Inode, Writing]:
        """The directory in which something is to change."""
        writing = self._may_write(verb, parent)
        return self._directory(parent), writing

    def _writer_of(self, handle: int) -> Writing:
        """What a handle is written through. Raises BadHandle if it is not for writing, Stale if another engine's."""
        if not is_writers(handle):
            self._files.get(handle)
            raise BadHandle("the file is open for reading")
        self._writers.get(handle)
        assert self.writing is not None, "a handle for writing is open"
        return self.writing

    def _attributes(self, inode: Inode, seconds_min: float = 0.0) -> Attributes:
        if inode is self._table.root:
            return self._rules.of(inode, self.lifetimes.directory)
        return self._rules.of(inode, max(seconds_min, inode.valid_until - trio.current_time()))

    def _files_open(self, count: int) -> None:
        self._stats.open_files = count + len(self._writers)
