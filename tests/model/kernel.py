"""A kernel in small over S3Filesystem: system calls by path, as Linux makes requests of them, without FUSE.

Used by test_direct.py. It remembers no names: each call looks up its whole path, so that what the mount believes is the
mount's own doing. It counts lookups, as the kernel does, and can forget them. Time moves by a tick a call and with
`wait` only. The file system runs in a trio loop that turns during calls only, in the test's thread: thousands of calls
would spend their time waiting for another one.
"""

import errno
import itertools
import os
import stat
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import outcome
import trio
import trio.testing

from engine.arena import Arena
from engine.errors import EngineError
from engine.fs.attributes import Attributes, Wanted
from engine.fs.filesystem import S3Filesystem
from engine.namespace.inode import NEVER
from engine.namespace.inodes import InodeTable
from engine.namespace.whole import WholeDirectories
from engine.read.prefetcher import TRIM_SECONDS, Prefetcher
from engine.s3.interface import ObjectInfo
from engine.spec import KiB, MiB, MountSpec
from engine.stats import EngineStats
from engine.write.plan import PartPlan
from engine.write.uploader import Uploader
from tests.model.things import Refused, Rights, Ttl
from tests.unit.bucket import Bucket

T = TypeVar("T")

ROOT: Final = 1
OPENER, CHILD, WALKER = 1000, 1001, 1002  # processes

# Small, so that files in parts and writers without memory come up in a test: room for four writers with such parts.
MEMORY_MIB: Final = 16
PART_BYTES: Final = 2 * MiB
READ_PART_BYTES: Final = 128 * KiB

# What goes on behind a call (a fetch that was called off, an upload that is given up) takes some turns of the loop, and
# a body of a few parts some dozens.
SETTLE_TURNS: Final = 200

# Each call takes so long, in seconds, so that what came first is always told apart.
TICK_SECONDS: Final = 1e-6

Shown = tuple[str, int, int]  # kind, size, inode


@dataclass
class File:
    """An open file."""

    handle: int
    number: int
    path: str


@dataclass
class Directory:
    """An open directory, and how far it was read."""

    handle: int
    number: int
    path: str
    position: int = 0


class Kernel:
    """One mount: `start` it, and `stop` it whatever happens.

    Args:
        prefix: of the mount.
        rights: what it allows.
        ttl: how long names are believed.
        page: entries on a page of S3's listings.
    """

    def __init__(self, prefix: str, rights: Rights, ttl: Ttl, *, page: int) -> None:
        self.bucket: Final = Bucket(page=page)
        self.stats: Final = EngineStats()
        self._spec: Final = MountSpec(
            name="m",
            bucket="bucket",
            mountpoint="/mnt",
            prefix=prefix,
            read_only=rights.read_only,
            allow_delete=rights.delete,
            allow_overwrite=rights.overwrite,
            metadata_ttl="minimal" if ttl.known is None else int(ttl.known),
            negative_metadata_ttl="minimal" if ttl.missing is None else int(ttl.missing),
            memory_target=MEMORY_MIB,
            read_part_size=READ_PART_BYTES,
        )
        self.bucket.memory.part_bytes_min = PART_BYTES
        self.lookups: Counter[int] = Counter()
        self._shown: dict[str, int] = {}  # the inode that a path had last
        self._clock: Final = trio.testing.MockClock()
        self._turns: deque[Callable[[], object]] = deque()
        self._ended: list[outcome.Outcome[None]] = []
        self._over: trio.Event
        self._calls: trio.Nursery | None = None
        self._token: trio.lowlevel.TrioToken
        self.fs: S3Filesystem
        self.uploader: Uploader | None
        self.disbelieved: list[str] = []  # paths, since somebody looked
        self.listed_ahead: list[tuple[str, float | None]] = []  # paths, and until when (None: it has begun)
        self.arena: Arena
        self._prefetcher: Prefetcher

    def start(self) -> None:
        """Serve."""
        trio.lowlevel.start_guest_run(
            self._serve,
            run_sync_soon_threadsafe=self._turns.append,
            done_callback=self._ended.append,
            clock=self._clock,
        )
        while self._calls is None:
            self._turn()

    def stop(self) -> None:
        """Give up what is not complete, and end."""
        self._do(self._end)
        while not self._ended:
            self._turn()
        self._ended[0].unwrap()

    @property
    def now(self) -> float:
        """The mount's clock, in seconds."""
        return self._clock.current_time()

    def wait(self, seconds: float) -> None:
        """Time passes."""
        self._do(self._wait, seconds)

    # Names

    def stat(self, path: str) -> Shown:
        """Kind, size and inode."""
        return self._by_path(self._stat, path)

    def listing(self, path: str) -> dict[str, Shown]:
        """A directory, in the order in which it lists."""
        return self._by_path(self._list, path)

    def tree(self) -> dict[str, tuple[str, int]]:
        """All paths, by listings only, as `find` does it: so directories are listed ahead."""
        return self._do(self._tree)

    def mkdir(self, path: str) -> None:
        """mkdir(2)."""
        self._by_path(self._mkdir, path)

    def rmdir(self, path: str) -> None:
        """rmdir(2)."""
        self._by_path(self._remove, path, True)

    def unlink(self, path: str) -> None:
        """unlink(2)."""
        self._by_path(self._remove, path, False)

    def rename(self, path: str, to: str) -> None:
        """rename(2), to a name in the same directory that nothing has."""
        self._by_path(self._rename, path, to)

    def set_times(self, path: str) -> None:
        """utime(2)."""
        self._by_path(self._setattr, path, Wanted(access_ns=5, change_ns=7))

    def set_mode(self, path: str, *, same: bool) -> None:
        """chmod(2)."""
        mode = self._spec.dir_mode if self.stat(path)[0] == "dir" else self._spec.file_mode
        self._by_path(self._setattr, path, Wanted(mode=mode if same else mode ^ 0o011))

    def truncate(self, path: str, size: int) -> None:
        """truncate(2)."""
        if self.stat(path)[0] == "dir":
            raise Refused(errno.EISDIR)
        self._by_path(self._setattr, path, Wanted(size=size))

    def forget(self, opened: list[File | Directory]) -> None:
        """Drop all names but those of what is open, and of the directories above that."""
        keep = {thing.number for thing in opened}
        for thing in opened:
            parts = thing.path.split("/")
            keep |= {self._shown.get("/".join(parts[:count]), ROOT) for count in range(1, len(parts))}
        numbers = [(number, count) for number, count in self.lookups.items() if number not in keep]
        self._do(self._forget, numbers)
        for number, _count in numbers:
            del self.lookups[number]

    # Open files

    def open(self, path: str, flags: int) -> File:
        """open(2) of a file."""
        return self._by_path(self._open, path, flags)

    def read(self, file: File, offset: int, size: int) -> bytes:
        """pread(2)."""
        return self._do(self._read, file, offset, size)

    def write(self, file: File, offset: int, data: bytes) -> int:
        """pwrite(2)."""
        return self._do(self.fs.write, file.handle, offset, data)

    def fsync(self, file: File) -> None:
        """fsync(2)."""
        self._do(self.fs.fsync, file.handle)

    def close_twin(self, file: File, *, by_opener: bool = True) -> None:
        """close(2) of a descriptor that is not the last of its file."""
        self._do(self.fs.flush, file.handle, OPENER if by_opener else CHILD)

    def release(self, file: File) -> None:
        """The last descriptor is gone."""
        self._do(self.fs.close, file.handle)

    def fstat(self, file: File) -> int:
        """The size that fstat(2) shows."""
        return self._do(self.fs.getattr, file.number).size

    # Open directories

    def opendir(self, path: str, thread: int = 0) -> Directory:
        """opendir(3)."""
        return self._by_path(self._opendir, path, thread)

    def readdir(self, directory: Directory, count: int | None) -> list[str]:
        """So many names more (None: all that are left); fewer at the end only."""
        return self._do(self._readdir, directory, count)

    def rewinddir(self, directory: Directory) -> None:
        """rewinddir(3)."""
        directory.position = 0

    def closedir(self, directory: Directory) -> None:
        """closedir(3)."""
        self._do(self._closedir, directory)

    # Inside the mount's thread

    def _turn(self) -> None:
        self._turns.popleft()()

    async def _serve(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        self._over = trio.Event()
        self.arena = Arena(MEMORY_MIB * MiB)
        async with trio.open_nursery() as nursery:
            prefetcher = self._prefetcher = Prefetcher(
                self.bucket, self.arena, nursery, part_bytes=READ_PART_BYTES, stats=self.stats
            )
            self.uploader = None
            if not self._spec.read_only:
                plan = PartPlan(PART_BYTES)
                self.uploader = Uploader(self.bucket, self.arena, nursery, spec=self._spec, stats=self.stats, plan=plan)
            self.fs = S3Filesystem(
                self._spec,
                self.bucket,
                prefetcher,
                generation=0,
                stats=self.stats,
                uploader=self.uploader,
                nursery=nursery,
            )
            self._watch_beliefs(self.fs._table)
            nursery.start_soon(self._stay_awake)
            self._calls = nursery
            await self._over.wait()
            nursery.cancel_scope.cancel()
        prefetcher.close()
        self.arena.close()

    def _watch_beliefs(self, table: InodeTable) -> None:
        disbelieve = table.disbelieve

        def watched(info: ObjectInfo) -> None:
            disbelieve(info)
            found = table.at(info.key)
            if found is not None and found.valid_until == NEVER:
                self.disbelieved.append(info.key.removeprefix(self._spec.prefix))

        table.disbelieve = watched  # type: ignore[method-assign]
        self._watch_names_ahead(table.missing.whole)

    def _watch_names_ahead(self, whole: WholeDirectories) -> None:
        begin, end = whole.begin, whole.end

        def path(prefix: str) -> str:
            return prefix.removeprefix(self._spec.prefix).removesuffix("/")

        def begun(prefix: str, here: Iterable[str]) -> None:
            begin(prefix, here)
            self.listed_ahead.append((path(prefix), None))

        def ended(prefix: str, until: float) -> None:
            end(prefix, until)
            self.listed_ahead.append((path(prefix), until))

        whole.begin, whole.end = begun, ended  # type: ignore[method-assign]

    @staticmethod
    async def _stay_awake() -> None:
        """With nothing to do, trio would start a thread to wait in."""
        while True:
            await trio.lowlevel.checkpoint()

    async def _end(self) -> None:
        if self.uploader is not None:
            await self.uploader.aclose()
        self._over.set()

    async def _wait(self, seconds: float) -> None:
        self._clock.jump(seconds)
        if seconds >= TRIM_SECONDS:  # as assembly.py does it
            self._prefetcher.trim()
        await self._settle()

    @staticmethod
    async def _settle() -> None:
        """What was started by a call comes to its end."""
        for _ in range(SETTLE_TURNS):
            await trio.lowlevel.checkpoint()

    def _do(self, call: Callable[..., Awaitable[T]], *args: Any) -> T:
        done: list[outcome.Outcome[T]] = []

        async def run() -> None:
            self._clock.jump(TICK_SECONDS)
            done.append(await outcome.acapture(call, *args))

        assert self._calls is not None, "it was started"
        self._token.run_sync_soon(self._calls.start_soon, run)
        while not done:
            self._turn()
        try:
            return done[0].unwrap()
        except EngineError as error:
            raise Refused(error.errno) from error

    def _by_path(self, call: Callable[..., Awaitable[T]], *args: Any) -> T:
        """A call by path; ESTALE makes Linux look all names up again, once."""
        try:
            return self._do(call, *args)
        except Refused as error:
            if error.code != errno.ESTALE:
                raise
        return self._do(call, *args)

    async def _lookup(self, parent: Attributes | None, path: str) -> Attributes:
        number = ROOT if parent is None else parent.number
        if parent is not None and not stat.S_ISDIR(parent.mode):
            raise Refused(errno.ENOTDIR)
        found = await self.fs.lookup(number, path.rpartition("/")[2].encode())
        return self._counted(path, found)

    def _counted(self, path: str, found: Attributes) -> Attributes:
        self.lookups[found.number] += 1
        self._shown[path] = found.number
        return found

    async def _walk(self, path: str) -> Attributes:
        found = None
        names = path.split("/") if path else []
        for count in range(len(names)):
            found = await self._lookup(found, "/".join(names[: count + 1]))
        return await self.fs.getattr(ROOT) if found is None else found

    async def _parent(self, path: str) -> Attributes:
        found = await self._walk(path.rpartition("/")[0])
        if not stat.S_ISDIR(found.mode):
            raise Refused(errno.ENOTDIR)
        return found

    async def _find(self, parent: Attributes, path: str) -> Attributes | None:
        try:
            return await self._lookup(parent, path)
        except EngineError as error:
            if error.errno != errno.ENOENT:
                raise
            return None

    async def _stat(self, path: str) -> Shown:
        found = await self._walk(path)
        again = await self.fs.getattr(found.number)
        assert (again.number, again.mode, again.size) == (found.number, found.mode, found.size)
        return _shown(found)

    async def _list(self, path: str) -> dict[str, Shown]:
        found = await self._walk(path)
        if not stat.S_ISDIR(found.mode):
            raise Refused(errno.ENOTDIR)
        listed = await self._listed(path, found.number)
        shown = {name: _shown(attributes) for name, attributes in listed}
        assert len(shown) == len(listed), f"a name twice in {[name for name, _ in listed]}"
        return shown

    async def _listed(self, path: str, number: int, thread: int = 0) -> list[tuple[str, Attributes]]:
        handle, position, found = self.fs.opendir(number, thread), 0, []
        while entries := [*await self.fs.readdir(handle, position)]:
            for entry in entries:
                position = entry.position
                if entry.counted:
                    name = entry.name.decode()
                    found.append((name, self._counted(f"{path}/{name}" if path else name, entry.attributes)))
        self.fs.releasedir(handle)
        return found

    async def _tree(self, path: str = "", number: int = ROOT) -> dict[str, tuple[str, int]]:
        found = {}
        for name, attributes in await self._listed(path, number, WALKER):
            child = f"{path}/{name}" if path else name
            assert child not in found, f"{child} is listed twice"
            found[child] = _shown(attributes)[:2]
            if stat.S_ISDIR(attributes.mode):
                found |= await self._tree(child, attributes.number)
        return found

    async def _mkdir(self, path: str) -> None:
        parent = await self._parent(path)
        if await self._find(parent, path) is not None:
            raise Refused(errno.EEXIST)
        self._counted(path, await self.fs.mkdir(parent.number, path.rpartition("/")[2].encode()))

    async def _remove(self, path: str, directory: bool) -> None:
        parent, name = await self._parent(path), path.rpartition("/")[2].encode()
        if not self._spec.read_only:  # which Linux asks first, and here the file system is to say
            found = await self._lookup(parent, path)
            if stat.S_ISDIR(found.mode) is not directory:
                raise Refused(errno.ENOTDIR if directory else errno.EISDIR)
        await (self.fs.rmdir if directory else self.fs.unlink)(parent.number, name)

    async def _rename(self, path: str, to: str) -> None:
        parent = await self._parent(path)
        if not self._spec.read_only:
            await self._lookup(parent, path)
            await self._find(parent, to)
        raise self.fs.rename(parent.number, 0)

    async def _setattr(self, path: str, wanted: Wanted) -> None:
        found = await self._walk(path)
        changed = await self.fs.setattr(found.number, wanted)
        assert (changed.number, changed.size) == (found.number, found.size)

    async def _forget(self, numbers: list[tuple[int, int]]) -> None:
        self.fs.forget(numbers)

    async def _open(self, path: str, flags: int) -> File:
        parent = await self._parent(path)
        found = await self._find(parent, path)
        if found is None:
            if not flags & os.O_CREAT:
                raise Refused(errno.ENOENT)
            made = await self.fs.mknod(parent.number, path.rpartition("/")[2].encode(), stat.S_IFREG | 0o644)
            found = self._counted(path, made)
        elif flags & os.O_CREAT and flags & os.O_EXCL:
            raise Refused(errno.EEXIST)
        if stat.S_ISDIR(found.mode):
            raise Refused(errno.EISDIR)
        opened = await self.fs.open(found.number, flags & ~(os.O_CREAT | os.O_EXCL), OPENER)
        return File(opened.handle, found.number, path)

    async def _read(self, file: File, offset: int, size: int) -> bytes:
        return bytes(await self.fs.read(file.handle, offset, size))

    async def _opendir(self, path: str, thread: int) -> Directory:
        found = await self._walk(path)
        return Directory(self.fs.opendir(found.number, thread), found.number, path)

    async def _readdir(self, directory: Directory, count: int | None) -> list[str]:
        names: list[str] = []
        while count is None or len(names) < count:
            entries = await self.fs.readdir(directory.handle, directory.position)
            drawn = list(itertools.islice(entries, None if count is None else count - len(names)))
            if not drawn:
                break
            for entry in drawn:
                directory.position = entry.position
                if entry.counted:
                    name = entry.name.decode()
                    names.append(name)
                    path = f"{directory.path}/{name}" if directory.path else name
                    self._counted(path, entry.attributes)
        return names

    async def _closedir(self, directory: Directory) -> None:
        self.fs.releasedir(directory.handle)


def _shown(found: Attributes) -> Shown:
    return ("dir" if stat.S_ISDIR(found.mode) else "file", found.size, found.number)
