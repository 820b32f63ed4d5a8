"""The verbs that change something: make, open for writing, write, close, delete. The file system's other half.

Called by filesystem.py, which has checked that the mount may write. What an upload is and how it is sent is
engine/write's business; what a name is, engine/namespace's. Here is who may do what when, and what becomes of a name.
Between two awaits every change is complete.
"""

import functools
import stat
import time
from typing import Final

import trio

from engine.errors import (
    EngineError,
    InvalidArgument,
    IsADirectory,
    KeyTooLong,
    NotADirectory,
    NotEmpty,
    NotFound,
    NotPermitted,
    Stale,
    Unsettable,
)
from engine.fs import told as told_in_log
from engine.fs.attributes import Attributes, Wanted
from engine.fs.handles import Handles
from engine.fs.inherited import Inherited
from engine.fs.ledger import Ledger
from engine.fs.moving import leave, resume
from engine.fs.names_ahead import NamesAhead
from engine.fs.opening import OpenWriter
from engine.fs.policy import check_replace
from engine.fs.repeats import Repeats
from engine.fs.sharing import Sharer, Sharings
from engine.fs.takeover import take_up
from engine.namespace.inode import Inode
from engine.namespace.inodes import InodeTable
from engine.namespace.lookup import Lookup
from engine.s3.interface import KEY_BYTES_MAX, ObjectClient, ObjectInfo
from engine.spec import MountSpec
from engine.write.upload import Upload
from engine.write.uploader import Uploader


class Writing:
    """Everything that changes one mount.

    Args:
        spec: what is allowed.
        client: S3, for deletes.
        uploader: sends what is written.
        table: the inodes.
        lookup: what S3 has.
        handles: numbers for what is open for writing.
        ledger: what a successor must know.
        nursery: where directories are listed ahead of files that are made in them; None: none is.
    """

    def __init__(
        self,
        spec: MountSpec,
        client: ObjectClient,
        uploader: Uploader,
        table: InodeTable,
        lookup: Lookup,
        handles: Handles[OpenWriter],
        ledger: Ledger,
        nursery: trio.Nursery | None = None,
    ) -> None:
        self._spec: Final = spec
        self._client: Final = client
        self._uploader: Final = uploader
        self._table: Final = table
        self._lookup: Final = lookup
        self._handles: Final = handles
        self._ledger: Final = ledger
        self._ahead: Final = NamesAhead(client, table, lookup.lifetimes.missing, nursery)
        self.repeats = Repeats(table)
        self._sharings: Final = Sharings()
        self._writers: dict[int, OpenWriter] = {}  # by inode: the last one whose upload is not over
        self._told_overwrite = False

    # Takeover

    def inherit(self, inherited: Inherited) -> None:
        """What an engine before had open for writing, made and begun. The table has its inodes already."""
        moved = inherited.moved
        lost = {handle: was for handle, was in inherited.writers.items() if handle not in moved.writers}
        take_up(lost, handles=self._handles, table=self._table, uploader=self._uploader)
        resume(moved, handles=self._handles, table=self._table, uploader=self._uploader, opened=self._opened)
        self.repeats = Repeats(self._table, inherited.pending, inherited.removed)
        self._ledger.lost(inherited)
        orphans = {each: key for each, key in inherited.uploads.items() if each not in moved.uploads}
        self._uploader.abort_orphans(orphans, inherited.asked)

    async def leave(self) -> tuple[int, ...]:
        """Hand over what is open for writing: see moving.leave."""
        return await leave(self._handles, self._uploader)

    # Names

    async def make_file(self, parent: Inode, name: str, mode: int) -> Inode:
        """A file that is here only, until it was written and closed. Raises NameTaken, InvalidArgument, KeyTooLong."""
        if not stat.S_ISREG(mode):
            raise InvalidArgument("S3 has neither devices nor pipes nor sockets")
        return await self._make(parent, name, ObjectInfo(parent.prefix + name, 0, "", time.time()))

    async def make_directory(self, parent: Inode, name: str) -> Inode:
        """A directory that is here only, until there is an object in it. Raises NameTaken, KeyTooLong."""
        return await self._make(parent, name, None)

    async def unlink(self, parent: Inode, name: str) -> None:
        """Delete a file. Raises NotPermitted, IsADirectory, NotFound, or what S3 failed with."""
        if not self._spec.allow_delete:
            raise NotPermitted("only with allow-delete files can be deleted")
        if (inode := await self._to_remove(parent, name)) is None:
            return
        if inode.is_directory:
            raise IsADirectory(f"{inode.location!r} is a directory")
        await self._complete_deferred(inode)
        if inode.pending and not self.is_new(inode):
            raise NotPermitted(f"{inode.location!r} is being written: it can be deleted when it is closed")
        if not inode.pending:
            await self._client.delete_object(inode.key)
        self._removed(inode)

    async def rmdir(self, parent: Inode, name: str) -> None:
        """Remove an empty directory. Raises NotADirectory, NotEmpty, NotPermitted, NotFound, or what S3 failed with.

        One that is in S3 only with allow-delete: its last key may have been deleted just now (then there is nothing to
        do), or be its own marker.
        """
        if (inode := await self._to_remove(parent, name)) is None:
            return
        if not inode.is_directory:
            raise NotADirectory(f"{inode.location!r} is a file")
        if inode.pending:
            self._check_nothing_is_written_in(inode)
        else:
            await self._remove_in_s3(inode)
        self._removed(inode)

    async def _remove_in_s3(self, inode: Inode) -> None:
        page = await self._client.list_objects(inode.prefix, max_keys=2)
        keys = [info.key for info in page.objects] + page.prefixes
        if keys and not self._spec.allow_delete:
            raise NotPermitted(f"{inode.location!r} is in S3: only with allow-delete it can be removed")
        self._check_nothing_is_written_in(inode)
        if any(key != inode.prefix for key in keys) or page.next_token is not None:
            raise NotEmpty(f"{inode.location!r} is not empty")
        if keys:
            await self._client.delete_object(inode.prefix)

    def _check_nothing_is_written_in(self, directory: Inode) -> None:
        if self._table.pending_below(directory.prefix):
            raise NotEmpty(f"in {directory.location!r} something is being written")

    def set_attributes(self, inode: Inode, wanted: Wanted, now: Attributes) -> None:
        """Set times of what is pending, until it is in S3, and of directories, as long as they are known here.

        S3 has no directories that could say otherwise, and who copies a tree sets their times last, when files are in
        them. Modes and owners of what is pending are let pass, as in Mountpoint, and not kept; a size is what must have
        been written when the file is closed. Raises Unsettable, or what Upload.expect raises.
        """
        if inode.pending:
            if wanted.size is not None and (writer := self._writers.get(inode.number)) is not None:
                writer.upload.expect(wanted.size)
        elif wanted.changes(now) or (wanted.sets_times and not inode.is_directory):
            if wanted.size == 0 and not self._spec.allow_overwrite:
                self._tell_overwrite()
            raise Unsettable("S3 keeps no modes, owners or times that can be set, and can't cut an object")
        if wanted.sets_times:
            access, change = wanted.access_ns, wanted.change_ns
            inode.times_ns = (now.access_ns if access is None else access, now.time_ns if change is None else change)

    # Handles

    def is_new(self, inode: Inode) -> bool:
        """A file that was made and never opened."""
        return inode.pending and not inode.is_directory and inode.number not in self._writers

    async def admit_reader(self, inode: Inode) -> None:
        """Whether a file may be opened for reading; its deferred upload is completed first.

        To be followed by `add_reader` without an await. Raises NotPermitted, Stale, or what the upload fails with.
        """
        if self.is_new(inode):
            raise NotPermitted(f"{inode.location!r} has no content yet")
        self._sharings.check_read(inode.number)
        await self._complete_deferred(inode)
        self._sharings.check_read(inode.number)

    def add_reader(self, inode: Inode, reader: Sharer) -> None:
        """A file was opened for reading."""
        self._sharings.add_reader(inode.number, reader)

    def remove_reader(self, inode: Inode, reader: Sharer) -> None:
        """It is closed."""
        self._sharings.remove(inode.number, reader)

    async def open(self, inode: Inode, flags: int, process: int) -> int:
        """Open a file for writing; returns the handle. Sends nothing.

        Raises TooManyWriters, then NotPermitted, or what an upload that was deferred fails with.
        """
        reservation = self._uploader.reserve()
        try:
            await self._admit_writer(inode, flags)
        except BaseException:
            reservation.release()
            raise
        upload = self._uploader.start(inode.key, reservation)
        writer = OpenWriter(inode, upload, process)
        inode.handles += 1
        writer.handle = self._handles.add(writer)
        self._ledger.writing(writer.handle, inode.number, upload.key, process)
        if not inode.pending:
            self._table.hold(inode)
            inode.settled = trio.current_time()
        self._opened(writer)
        return writer.handle

    async def write(self, handle: int, offset: int, data: bytes) -> int:
        """Append to an open file. Raises OutOfOrderWrite, and what Upload.write raises."""
        writer = self._handles.get(handle)
        writer.sharer.used()
        try:
            count = await writer.upload.write(offset, data)
        except EngineError:
            self._failed(writer)
            raise
        self._show_size(writer)
        return count

    async def flush(self, handle: int, process: int | None) -> None:
        """A descriptor was closed, by this process (None: by the one that opened it).

        Completes the file, and raises what that fails with; unless nothing was written yet, as when a shell moves a
        descriptor to its place, or the opener goes on and only a child of its was closing.
        """
        writer = self._handles.get(handle)
        writer.sharer.closed_once()
        others = process is not None and writer.process not in (0, process)
        if writer.upload.error is None and (not writer.upload.begun or others):
            return
        await self._complete(writer)

    async def fsync(self, handle: int) -> None:
        """Complete the file; it can't be written any more then. Raises what that fails with."""
        await self._complete(self._handles.get(handle))

    async def release(self, handle: int) -> None:
        """The last descriptor is closed: complete what was deferred. Nobody hears of an error but the log."""
        writer = self._handles.remove(handle)
        if writer is None:
            return
        try:
            await self._complete_untold(writer)
        finally:
            writer.inode.handles -= 1
            self._sharings.remove(writer.inode.number, writer.sharer)
            self._ledger.closed(handle)

    async def drain(self) -> None:
        """Complete what was closed and waits for its last descriptor. Nobody hears of an error but the log."""
        async with trio.open_nursery() as nursery:
            for _handle, writer in list(self._handles):
                if writer.sharer.is_inactive and not writer.over:
                    nursery.start_soon(self._complete_untold, writer)
        self._ledger.flush()

    async def _complete_untold(self, writer: OpenWriter) -> None:
        told = writer.told
        try:
            await self._complete(writer)
        except EngineError as error:
            if not told:
                told_in_log.lost(writer.upload.key, error)

    async def _make(self, parent: Inode, name: str, info: ObjectInfo | None) -> Inode:
        location = parent.prefix + name
        # A directory's slash counts: without it nothing could ever be in the directory.
        if len(location.encode()) + (info is None) > KEY_BYTES_MAX:
            raise KeyTooLong(f"the key would have more than {KEY_BYTES_MAX} bytes", key=location)
        if (made := self.repeats.made(location, directory=info is None)) is not None:
            return self._table.counted(made)
        if await self._lookup.check_free(parent, name) and info is not None:
            self._ahead.made(parent)
        if info is None:
            inode = self._lookup.make_directory(parent, location)
        else:
            inode = self._table.create(location, info, self._lookup.pending_until(directory=False))
        inode.settled = trio.current_time()
        now = time.time_ns()
        inode.times_ns = (now, now)
        return inode

    async def _to_remove(self, parent: Inode, name: str) -> Inode | None:
        """What is by this name; None if the engine before has removed it. Raises NotFound."""
        try:
            return await self._known(parent, name)
        except NotFound:
            if self.repeats.removed(parent.prefix + name):
                return None
            raise

    async def _known(self, parent: Inode, name: str) -> Inode:
        """What is by this name, by the kernel's last lookup of it if it is known still."""
        known = self._table.at(parent.prefix + name)
        if known is not None:
            return known
        return await self._lookup.peek(parent, name)

    def _removed(self, inode: Inode) -> None:
        """The name is gone; what S3 has by it all the same, such as what it hid, is found by the next lookup."""
        now = trio.current_time()
        self._table.discard(inode)
        if (asked_before := self._table.at(inode.location)) is not None:
            self._table.unlink(asked_before)
        for directory in self._table.above(inode.location):
            directory.emptied = now

    async def _admit_writer(self, inode: Inode, flags: int) -> None:
        self._sharings.check_write(inode.number)
        await self._complete_deferred(inode)
        self._sharings.check_write(inode.number)
        if not self._table.is_current(inode):
            raise Stale(f"{inode.location!r} is another file now")
        if not self.is_new(inode):
            check_replace(flags, allow_overwrite=self._spec.allow_overwrite)

    async def _complete_deferred(self, inode: Inode) -> None:
        """If a file was closed, and is to be uploaded when its last descriptor is, upload it now."""
        while (writer := self._writers.get(inode.number)) is not None and writer.sharer.is_inactive:
            await self._complete(writer)
            writer.sharer.override()
        if inode.pending and not self._table.is_current(inode):
            raise Stale(f"{inode.location!r} is not what it was")

    async def _complete(self, writer: OpenWriter) -> None:
        try:
            asked, done = trio.current_time(), await writer.upload.complete()
        except EngineError:
            self._failed(writer)
            raise
        if self._writers.get(writer.inode.number) is not writer:
            return  # done before
        del self._writers[writer.inode.number]
        info = ObjectInfo(done.key, done.size, done.etag, time.time(), self._spec.storage_class or "STANDARD")
        self._table.settle(writer.inode, info, trio.current_time(), self._lookup.expiry)
        self._lookup.filled(done.key, asked)
        self._ledger.written(writer.handle, done)
        self._sharings.remove(writer.inode.number, writer.sharer)

    def _failed(self, writer: OpenWriter) -> None:
        """If the upload failed, a new file is gone, and one that was to be replaced is what it was."""
        if writer.upload.error is None:
            return
        writer.told = True
        if self._writers.get(writer.inode.number) is writer:
            del self._writers[writer.inode.number]
            self._table.discard(writer.inode)
            self._ledger.failed(writer.handle)
            self._sharings.remove(writer.inode.number, writer.sharer)

    def _opened(self, writer: OpenWriter) -> None:
        for reader in self._sharings.add_writer(writer.inode.number, writer.sharer):
            self._ledger.closed(reader.handle)  # the inode will be another version: no successor may read for it
        self._writers[writer.inode.number] = writer
        if isinstance(writer.upload, Upload):
            writer.upload.on_publishing = functools.partial(self._ledger.publishing, writer.handle)
        self._show_size(writer)

    def _show_size(self, writer: OpenWriter) -> None:
        inode = writer.inode
        if self._writers.get(inode.number) is writer:
            now = time.time_ns()
            inode.info = ObjectInfo(inode.location, writer.upload.size, "", now / 1e9)
            inode.times_ns = (inode.times_ns[0] if inode.times_ns else now, now)

    def _tell_overwrite(self) -> None:
        if not self._told_overwrite:
            self._told_overwrite = True
            told_in_log.overwrite_wanted()
