"""Lookups that bring a file's first bytes along, where files are read after they are looked up.

Part of files_ahead.py. A name of which nothing is believed is asked for by HEAD, and then read by GET: two round trips.
Here the GET comes in the HEAD's place: one. When, is decided in habits.py. The bytes are no part of what engine/read
holds, for they are few and leave soon: when the kernel has them, or after KEPT_SECONDS.
"""

import collections
from collections.abc import Callable
from typing import Final

import trio

from engine.errors import EngineError, NoSuchKey, S3Error
from engine.fs.habits import Habit
from engine.fs.opening import ObjectOpener, OpenObject
from engine.namespace.inode import Inode
from engine.namespace.names import parent_prefix
from engine.s3.interface import ObjectClient, ObjectInfo
from engine.spec import KiB
from engine.stats import EngineStats

# Of a file that is looked up: what the kernel asks for first, and 1.5 ms at the 90 MB/s of S3's connections.
BEGINNING_BYTES: Final = 128 * KiB

# Seconds that they are kept for a read: a program that opens and reads does so within milliseconds.
KEPT_SECONDS: Final = 2.0

# Of a mount at a time: 8 MiB.
BEGUN_MAX: Final = 64

# Directories whose habits are remembered.
DIRECTORIES_MAX: Final = 64


class Begun:
    """A file's data, of which the first bytes come by a GET that took the place of its lookup's HEAD.

    Args:
        opener: opens the rest.
        key: the object's.
        over: told once, when what has come is kept no longer.
        stats: counts bytes that are read.
    """

    def __init__(self, opener: ObjectOpener, key: str, over: Callable[[], None], stats: EngineStats) -> None:
        self._stats: Final = stats
        self._opener: Final = opener
        self._key: Final = key
        self._drop: Final = over
        self._memory: bytearray | None = bytearray(BEGINNING_BYTES)
        self._good = 0
        self._delivered = 0
        self._ended = False  # no more comes
        self._news = trio.Event()
        self._rest: OpenObject | None = None
        self._scope: Final = trio.CancelScope()  # of the GET, and of the time that it is kept
        self.info: ObjectInfo | None = None
        self.known: Final = trio.Event()  # what the object is, or that the GET does not tell
        self.failure: EngineError | None = None

    @property
    def holds(self) -> bool:
        """Something is there, or on its way."""
        return self._memory is not None and (self._good > 0 or not self._ended)

    @property
    def ready(self) -> bool:
        """All that was to come is there."""
        return self._ended

    @property
    def was_read(self) -> bool:
        """Some of it was."""
        return self._delivered > 0

    async def run(self, client: ObjectClient) -> None:
        """A task: fetch, and keep it for a while."""
        assert self._memory is not None, "it is new"
        view = memoryview(self._memory)
        with self._scope:
            try:
                await client.get_beginning(self._key, buffer=view, known=self._is_known, progress=self._progress)
            except EngineError as error:
                self.failure = error  # who reads asks again
            finally:
                self._ended = True
                self.known.set()
                self._news.set()
            if self._good:
                await trio.sleep(KEPT_SECONDS)
        self._memory = None
        self._drop()

    def give_up(self) -> None:
        """Nobody will read it."""
        self._scope.cancel()

    async def read(self, offset: int, size: int) -> bytes | memoryview:
        """Exactly what was asked for up to the end of the object, and nothing beyond it."""
        assert self.info is not None, "the file was found"
        end = min(offset + size, self.info.size)
        while self._good < min(end, BEGINNING_BYTES) and offset < BEGINNING_BYTES and not self._ended:
            await self._news.wait()
        there = min(end, self._good)
        if offset >= there or self._memory is None:
            return await self._behind().read(offset, end - offset)
        first = memoryview(self._memory)[offset:there]
        self._delivered += len(first)
        self._stats.bytes_read += len(first)
        if self._ended and self._delivered >= self._good:
            self._scope.cancel()  # the kernel has it now
        if there == end:
            return first
        return bytes(first) + bytes(await self._behind().read(there, end - there))

    def close(self) -> None:
        """Nothing is read any more."""
        if self._rest is not None:
            self._rest.close()
        if self._ended:
            self._scope.cancel()

    def _behind(self) -> OpenObject:
        """The object without what came here."""
        if self._rest is None:
            assert self.info is not None, "the file was found"
            self._rest = self._opener.open(self._key, self.info.etag, self.info.size)
        return self._rest

    def _is_known(self, info: ObjectInfo) -> None:
        self.info = info
        self.known.set()

    def _progress(self, count: int) -> None:
        self._good = count
        self._news.set()
        if not self._ended:
            self._news = trio.Event()


class Looking:
    """One lookup of a name.

    Args:
        beginnings: of the mount.
        habit: of the directory; None: it does not matter here.
    """

    def __init__(self, beginnings: "Beginnings", habit: Habit | None) -> None:
        self._beginnings: Final = beginnings
        self._habit: Final = habit
        self._asked = False
        self._begun: Begun | None = None

    async def ask(self, key: str) -> ObjectInfo:
        """What S3 says of an object. Raises NoSuchKey, ..."""
        self._asked = True
        if self._habit is None or not self._habit.reads or (begun := self._beginnings.begin(self._habit, key)) is None:
            return await self._beginnings.client.head_object(key)
        try:
            await begun.known.wait()
        except trio.Cancelled:
            begun.give_up()
            raise
        if begun.info is not None:
            self._begun = begun
            return begun.info
        failure = begun.failure
        assert failure is not None, "or it would be known"
        if isinstance(failure, NoSuchKey) or not (isinstance(failure, S3Error) and 400 <= failure.status < 500):
            raise failure
        self._habit.failed()
        return await self._beginnings.client.head_object(key)

    def found(self, inode: Inode) -> Inode:
        """It is this."""
        if self._asked and self._habit is not None and not inode.is_directory:
            self._habit.looked(inode.number)
            if self._begun is not None:
                self._beginnings.keep(inode, self._begun)
        return inode


class Beginnings:
    """What came with lookups in one mount.

    Args:
        client: S3.
        opener: opens the rest of a file.
        nursery: where GETs run; None: none is made.
        stats: of the engine.
    """

    def __init__(
        self, client: ObjectClient, opener: ObjectOpener, nursery: trio.Nursery | None, stats: EngineStats
    ) -> None:
        self._stats: Final = stats
        self.client: Final = client
        self._opener: Final = opener
        self._nursery: Final = nursery
        self._habits: Final[collections.OrderedDict[str, Habit]] = collections.OrderedDict()  # by directory's prefix
        self._begun: Final[dict[int, Begun]] = {}  # by inode's number; not opened yet
        self._count = 0  # opened or not

    def looking(self, directory: Inode, known: Inode | None, *, there: bool) -> Looking:
        """A name in a directory is looked up; `known` is what it was until now. `there`: it needs not be fetched."""
        if self._nursery is None or there or (known is not None and known.number in self._begun):
            return Looking(self, None)
        habit = self._habits.get(directory.prefix)
        if habit is None:
            habit = self._habits[directory.prefix] = Habit()
            if len(self._habits) > DIRECTORIES_MAX:
                self._habits.popitem(last=False)
        self._habits.move_to_end(directory.prefix)
        return Looking(self, habit)

    def read(self, inode: Inode) -> None:
        """A file is read for the first time since it was opened."""
        if (habit := self._habits.get(parent_prefix(inode.location))) is not None:
            habit.read(inode.number)

    def take(self, inode: Inode, info: ObjectInfo) -> Begun | None:
        """The data of a file that is being opened as this version, if some came with its lookup."""
        begun = self._begun.pop(inode.number, None)
        if begun is None or begun.info is None:
            return None
        if not begun.holds or begun.info.etag != info.etag or begun.info.size != info.size:
            begun.give_up()
            return None
        return begun

    def begin(self, habit: Habit, key: str) -> Begun | None:
        """Fetch an object of which nothing is known; None if too many are kept."""
        if self._count >= BEGUN_MAX or self._nursery is None:
            return None
        self._count += 1
        habit.coming += 1

        def over() -> None:
            self._count -= 1
            habit.coming -= 1
            if not begun.was_read:
                habit.failed()

        begun = Begun(self._opener, key, over, self._stats)
        self._nursery.start_soon(begun.run, self.client)
        return begun

    def keep(self, inode: Inode, begun: Begun) -> None:
        """A lookup has found what began to come."""
        info = inode.info
        if inode.pending or inode.opened or info is None or begun.info is None or info.etag != begun.info.etag:
            begun.give_up()
            return
        for number in [number for number, other in self._begun.items() if not other.holds]:
            del self._begun[number]
        self._begun[inode.number] = begun
