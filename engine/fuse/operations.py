"""The kernel's requests: from pyfuse3's types to the file system's and back, and errors to errnos.

pyfuse3 calls it from the tasks of its main loop. The one place where an EngineError becomes an errno, gets its log
line and is counted. Never decides anything about names or data. Operations that are not here are answered ENOSYS by
the base class, as in Mountpoint: readlink, extended attributes, fsyncdir, access (which the kernel decides by
the modes).
"""

import contextlib
import errno
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import pyfuse3
import trio

from engine.errors import Archived, ArchivedObject, EngineError
from engine.facts import about
from engine.fs.attributes import IO_BLOCK_BYTES, Attributes, Wanted
from engine.fs.filesystem import S3Filesystem
from engine.fs.policy import writes
from engine.fuse.caller import flushing_thread, process_of
from engine.fuse.served import Request, Served
from engine.log_format import errno_name, one_line
from engine.message_ids import ARCHIVED_READ, ENGINE_DIED, REQUEST_BUG, REQUEST_FAILED
from engine.stats import EngineStats

logger = logging.getLogger(__name__)

# Errors that `status` shows as the mount's last one: what a program sees when S3 or the credentials are at fault.
_SHOWN: Final = (errno.EIO, errno.EACCES)

# S3 has no limit that df could show: half of what 64 bits of KiB hold, so that no program's sum overflows.
_PLENTY: Final = (2**64 - 1) // 1024
_STATFS_BLOCK_BYTES: Final = 512
_NAME_BYTES_SHOWN: Final = 255

# Verbs whose number is an open file's or directory's.
_OF_HANDLES: Final = frozenset(("read", "write", "flush", "fsync", "release", "readdir", "releasedir"))

# Seconds that files may take, when an engine ends, which were closed and are not in S3 yet. Who sends the engine its
# order to stop may have less patience (Stop.seconds).
DRAIN_SECONDS_MAX: Final = 60.0

# Of what the engine before served, in a line of the log and in a message of at most 64 KiB: keys have up to 1 KiB.
SERVED_TOLD_MAX: Final = 8


class Operations(pyfuse3.Operations):
    """All requests of one session.

    Args:
        filesystem: answers them.
        stats: counts requests and errors.
        served: where it is noted what is being answered; None: nowhere.
    """

    supports_dot_lookup = False
    enable_writeback_cache = False

    def __init__(self, filesystem: S3Filesystem, stats: EngineStats, served: Served | None = None) -> None:
        super().__init__()
        self._served = served or Served(bytearray(0))
        self.served_before: tuple[str, ...] = ()
        self._fs = filesystem
        self._stats = stats
        self._told: set[str] = set()
        self.on_init: Callable[[], None] = lambda: None

    async def leave(self) -> tuple[int, ...]:
        """Hand over what programs are writing: see fs/moving.py. To be called when no request is answered any more."""
        return await self._fs.leave()

    def inherit(self, requests: Sequence[Request]) -> None:
        """The engine before died while it answered these; what the file system inherited tells of what."""
        told = [f"{request.verb} of {one_line(self._subject(request))}" for request in requests]
        self.served_before = tuple(told[:SERVED_TOLD_MAX])
        if told:
            more = f" and {len(told) - SERVED_TOLD_MAX} more" if len(told) > SERVED_TOLD_MAX else ""
            text = "the engine before died while it served: %s%s"
            logger.warning(text, ", ".join(self.served_before), more, extra=about(ENGINE_DIED))

    async def drain(self) -> None:
        """Complete what was closed and is not uploaded yet. To be called when no request is answered any more."""
        with trio.move_on_after(DRAIN_SECONDS_MAX):
            await self._fs.drain()

    def _subject(self, request: Request) -> str:
        if request.verb in _OF_HANDLES:
            return self._fs.describe.handle(request.number)
        if request.name:
            return self._fs.describe.child(request.number, request.name)
        return self._fs.describe.inode(request.number)

    def init(self) -> None:
        """The INIT was parsed by libfuse and is answered when this returns."""
        self.on_init()

    async def lookup(
        self, parent_inode: pyfuse3.InodeT, name: pyfuse3.FileNameT, ctx: pyfuse3.RequestContext
    ) -> pyfuse3.EntryAttributes:
        """A name in a directory. That there is none is told as such where the kernel may remember it."""
        try:
            with self._answering("lookup", self._fs.describe.child, parent_inode, name):
                return _entry(await self._fs.lookup(parent_inode, name, ctx.pid))
        except pyfuse3.FUSEError as error:
            if error.errno != errno.ENOENT or not (seconds := self._fs.missing_seconds(parent_inode, name)):
                raise
        missing = pyfuse3.EntryAttributes()
        missing.st_ino = pyfuse3.InodeT(0)
        missing.entry_timeout = seconds
        return missing

    async def forget(self, inode_list: Sequence[tuple[pyfuse3.InodeT, int]]) -> None:
        """The kernel dropped references. There is no answer, so nothing to fail with."""
        self._stats.fuse_requests["forget"] += len(inode_list)
        self._fs.forget(inode_list)
        self._fs.ledger.flush()

    async def getattr(self, inode: pyfuse3.InodeT, ctx: pyfuse3.RequestContext) -> pyfuse3.EntryAttributes:
        """An inode's attributes."""
        with self._answering("getattr", self._fs.describe.inode, inode):
            return _entry(await self._fs.getattr(inode, ctx.pid))

    async def open(self, inode: pyfuse3.InodeT, flags: pyfuse3.FlagT, ctx: pyfuse3.RequestContext) -> pyfuse3.FileInfo:
        """Open a file. Pages of it that the kernel has stay good: a number is one version of an object."""
        with self._answering("open", self._fs.describe.inode, inode):
            return await self._opened(inode, flags, ctx)

    async def _opened(self, inode: int, flags: int, ctx: pyfuse3.RequestContext) -> pyfuse3.FileInfo:
        process = process_of(ctx.pid) if writes(flags) else None
        opened = await self._fs.open(inode, flags, process or 0)
        handle = pyfuse3.FileHandleT(opened.handle)
        return pyfuse3.FileInfo(fh=handle, direct_io=opened.direct, keep_cache=not opened.direct)

    async def read(self, fh: pyfuse3.FileHandleT, off: int, size: int) -> bytes:
        """Bytes of an open file."""
        with self._answering("read", self._fs.describe.handle, fh):
            # pyfuse3 takes any buffer, and hands it to the kernel before the next await.
            return await self._fs.read(fh, off, size)  # type: ignore[return-value]

    async def write(self, fh: pyfuse3.FileHandleT, off: int, buf: bytes) -> int:
        """Bytes for an open file."""
        with self._answering("write", self._fs.describe.handle, fh):
            return await self._fs.write(fh, off, buf)

    async def flush(self, fh: pyfuse3.FileHandleT) -> None:
        """A descriptor was closed. Never ENOSYS: the kernel would remember it beyond this engine."""
        with self._answering("flush", self._fs.describe.handle, fh):
            process = None
            if self._fs.flush_tells(fh) and (thread := await flushing_thread(fh)) is not None:
                process = process_of(thread)
            await self._fs.flush(fh, process)

    async def fsync(self, fh: pyfuse3.FileHandleT, datasync: bool) -> None:  # noqa: FBT001 pyfuse3's signature
        """Have in S3 what was written."""
        with self._answering("fsync", self._fs.describe.handle, fh):
            await self._fs.fsync(fh)

    async def release(self, fh: pyfuse3.FileHandleT) -> None:
        """An open file's last descriptor is closed."""
        with self._answering("release", self._fs.describe.handle, fh):
            await self._fs.close(fh)

    async def opendir(self, inode: pyfuse3.InodeT, ctx: pyfuse3.RequestContext) -> pyfuse3.FileHandleT:
        """Open a directory."""
        with self._answering("opendir", self._fs.describe.inode, inode):
            return pyfuse3.FileHandleT(self._fs.opendir(inode, ctx.pid))

    async def readdir(self, fh: pyfuse3.FileHandleT, start_id: int, token: pyfuse3.ReaddirToken) -> None:
        """Entries with their attributes, until the kernel's buffer is full or a page of S3's listing ends."""
        with self._answering("readdir", self._fs.describe.handle, fh):
            for entry in await self._fs.readdir(fh, start_id):
                if not pyfuse3.readdir_reply(token, entry.name, _entry(entry.attributes), entry.position):
                    if entry.counted:
                        self._fs.forget([(entry.attributes.number, 1)])
                    break
            self._fs.readdir_given(fh)

    async def releasedir(self, fh: pyfuse3.FileHandleT) -> None:
        """A directory is closed."""
        with self._answering("releasedir", self._fs.describe.handle, fh):
            self._fs.releasedir(fh)

    async def statfs(self, ctx: pyfuse3.RequestContext) -> pyfuse3.StatvfsData:
        """S3's capacity: plenty."""
        self._stats.fuse_requests["statfs"] += 1
        data = pyfuse3.StatvfsData()
        data.f_bsize = data.f_frsize = _STATFS_BLOCK_BYTES
        data.f_blocks = data.f_bfree = data.f_bavail = _PLENTY
        data.f_files = data.f_ffree = data.f_favail = _PLENTY
        data.f_namemax = _NAME_BYTES_SHOWN
        return data

    async def setattr(
        self,
        inode: pyfuse3.InodeT,
        attr: pyfuse3.EntryAttributes,
        fields: pyfuse3.SetattrFields,
        fh: pyfuse3.FileHandleT | None,
        ctx: pyfuse3.RequestContext,
    ) -> pyfuse3.EntryAttributes:
        """Times of what is not in S3 yet; nothing else can be changed."""
        with self._answering("setattr", self._fs.describe.inode, inode):
            wanted = Wanted(
                access_ns=attr.st_atime_ns if fields.update_atime else None,
                change_ns=attr.st_mtime_ns if fields.update_mtime else None,
                size=attr.st_size if fields.update_size else None,
                mode=attr.st_mode if fields.update_mode else None,
                uid=attr.st_uid if fields.update_uid else None,
                gid=attr.st_gid if fields.update_gid else None,
            )
            return _entry(await self._fs.setattr(inode, wanted))

    async def mknod(
        self,
        parent_inode: pyfuse3.InodeT,
        name: pyfuse3.FileNameT,
        mode: pyfuse3.ModeT,
        rdev: int,
        ctx: pyfuse3.RequestContext,
    ) -> pyfuse3.EntryAttributes:
        """Make a file."""
        with self._answering("mknod", self._fs.describe.child, parent_inode, name):
            return _entry(await self._fs.mknod(parent_inode, name, mode))

    async def create(
        self,
        parent_inode: pyfuse3.InodeT,
        name: pyfuse3.FileNameT,
        mode: pyfuse3.ModeT,
        flags: pyfuse3.FlagT,
        ctx: pyfuse3.RequestContext,
    ) -> tuple[pyfuse3.FileInfo, pyfuse3.EntryAttributes]:
        """Make a file and open it: `mknod` and `open` in one request, which a file that was made then costs less.

        Where a session began with an engine that answered ENOSYS, the kernel goes on asking for both.
        """
        with self._answering("create", self._fs.describe.child, parent_inode, name):
            made = await self._fs.mknod(parent_inode, name, mode)
            try:
                return await self._opened(made.number, flags, ctx), _entry(made)
            except BaseException:
                self._fs.forget([(made.number, 1)])  # the kernel is not told of it
                raise

    async def mkdir(
        self,
        parent_inode: pyfuse3.InodeT,
        name: pyfuse3.FileNameT,
        mode: pyfuse3.ModeT,
        ctx: pyfuse3.RequestContext,
    ) -> pyfuse3.EntryAttributes:
        """Make a directory."""
        with self._answering("mkdir", self._fs.describe.child, parent_inode, name):
            return _entry(await self._fs.mkdir(parent_inode, name))

    async def unlink(self, parent_inode: pyfuse3.InodeT, name: pyfuse3.FileNameT, ctx: pyfuse3.RequestContext) -> None:
        """Delete a file."""
        with self._answering("unlink", self._fs.describe.child, parent_inode, name):
            await self._fs.unlink(parent_inode, name)

    async def rmdir(self, parent_inode: pyfuse3.InodeT, name: pyfuse3.FileNameT, ctx: pyfuse3.RequestContext) -> None:
        """Remove a directory."""
        with self._answering("rmdir", self._fs.describe.child, parent_inode, name):
            await self._fs.rmdir(parent_inode, name)

    async def symlink(
        self,
        parent_inode: pyfuse3.InodeT,
        name: pyfuse3.FileNameT,
        target: pyfuse3.FileNameT,
        ctx: pyfuse3.RequestContext,
    ) -> pyfuse3.EntryAttributes:
        """EPERM, or EROFS."""
        with self._answering("symlink", self._fs.describe.child, parent_inode, name):
            raise self._fs.link("symlink", parent_inode)

    async def link(
        self,
        inode: pyfuse3.InodeT,
        new_parent_inode: pyfuse3.InodeT,
        new_name: pyfuse3.FileNameT,
        ctx: pyfuse3.RequestContext,
    ) -> pyfuse3.EntryAttributes:
        """EPERM, or EROFS."""
        with self._answering("link", self._fs.describe.child, new_parent_inode, new_name):
            raise self._fs.link("link", new_parent_inode)

    async def rename(
        self,
        parent_inode_old: pyfuse3.InodeT,
        name_old: pyfuse3.FileNameT,
        parent_inode_new: pyfuse3.InodeT,
        name_new: pyfuse3.FileNameT,
        flags: pyfuse3.FlagT,
        ctx: pyfuse3.RequestContext,
    ) -> None:
        """EXDEV where files may be deleted, so that programs copy; else EPERM."""
        with self._answering("rename", self._fs.describe.child, parent_inode_old, name_old):
            raise self._fs.rename(parent_inode_old, flags)

    @contextlib.contextmanager
    def _answering(self, verb: str, describe: Callable[..., str], number: int, name: bytes = b"") -> Iterator[None]:
        """Count a request and note it; turn what goes wrong in it into a FUSEError, which `describe` names then."""
        self._stats.fuse_requests[verb] += 1
        self._stats.answering += 1
        slot = self._served.begin(verb, number, name)
        began = time.perf_counter()
        try:
            yield
        except EngineError as error:
            raise self._told_error(verb, error, lambda: describe(number, name) if name else describe(number)) from error
        except Exception as error:
            raise self._unexpected(verb, error, describe(number, name) if name else describe(number)) from error
        finally:
            self._stats.answering -= 1
            self._stats.latencies.note(verb, time.perf_counter() - began)
            self._fs.ledger.flush()  # before the answer: what the kernel knows, a successor must know
            self._served.end(slot)

    def _told_error(self, verb: str, error: EngineError, describe: Callable[[], str]) -> pyfuse3.FUSEError:
        self._stats.fuse_error(error.errno)
        is_logged, is_shown = logger.isEnabledFor(error.level), error.errno in _SHOWN
        if is_logged or is_shown:
            subject = describe()
            told = one_line(subject)
        if is_logged:
            name, key = errno_name(error.errno), self._fs.describe.key(subject)
            kind = ARCHIVED_READ if isinstance(error, Archived | ArchivedObject) else REQUEST_FAILED
            facts = about(kind, verb=verb, key=key, errno=name, error=error)
            logger.log(error.level, "%s of %s: %s: %s", verb, told, name, error, extra=facts)
        if is_shown:
            self._stats.last_error = f"{verb} of {told} failed: {error}"
        return pyfuse3.FUSEError(error.errno)

    def _unexpected(self, verb: str, error: Exception, subject: str) -> pyfuse3.FUSEError:
        self._stats.fuse_error(errno.EIO)
        told = one_line(subject)
        self._stats.last_error = f"{verb} of {told} failed by an error in the engine: {error!r}"
        kind = f"{verb} {type(error).__name__}"
        # With its traceback once; a program that repeats the request must not fill the log.
        facts = about(REQUEST_BUG, verb=verb, key=self._fs.describe.key(subject), errno="EIO", error=error)
        exc_info = kind not in self._told and error
        logger.error("%s of %s: unexpected %r", verb, told, error, exc_info=exc_info, extra=facts)
        self._told.add(kind)
        return pyfuse3.FUSEError(errno.EIO)


def _entry(attributes: Attributes) -> pyfuse3.EntryAttributes:
    entry = pyfuse3.EntryAttributes()
    entry.st_ino = pyfuse3.InodeT(attributes.number)
    entry.generation = 0
    entry.entry_timeout = entry.attr_timeout = attributes.valid
    entry.st_mode = pyfuse3.ModeT(attributes.mode)
    entry.st_nlink = attributes.nlink
    entry.st_uid = attributes.uid
    entry.st_gid = attributes.gid
    entry.st_size = attributes.size
    entry.st_blksize = IO_BLOCK_BYTES
    entry.st_blocks = attributes.blocks
    entry.st_atime_ns = attributes.access_ns
    entry.st_mtime_ns = entry.st_ctime_ns = attributes.time_ns
    return entry
