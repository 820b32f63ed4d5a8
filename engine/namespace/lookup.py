"""What a name is: asks S3 for the object and for anything below it, side by side.

Called by the file system for LOOKUP, and for GETATTR and OPEN of what is no longer believed. Never caches: what it
finds, and what it finds missing, goes into the inode table, whose entries carry their own expiry.
"""

from collections.abc import Awaitable, Callable
from typing import Final

import trio

from engine.errors import AccessDenied, EngineError, NameTaken, NoSuchKey, NotFound, Stale
from engine.namespace.inode import Inode
from engine.namespace.inodes import InodeTable
from engine.namespace.lifetimes import DIRECTORY_SECONDS_MINIMAL, FILE_SECONDS_MINIMAL, Lifetimes
from engine.s3.interface import ObjectClient, ObjectInfo

# Between the kernel's lookup of a name that is to be made and the order to make it lie microseconds, or, on a busy
# machine, a good part of a second. To ask S3 again would double what making a file costs, and still be no lock.
JUST_MISSING_SECONDS: Final = 1.0

# What a lookup waits for a listing of its directory that is under way, instead of asking itself. S3 answers a page of
# 1,000 names in a tenth of that; what takes longer is in trouble, and holds up nobody.
LISTED_SECONDS_MAX: Final = 1.0

# A directory in S3 is gone with its last key. `rm -r`, which deletes that, must then still find the directory to remove
# it, even if the machine is busy; others do not see it in listings meanwhile. In seconds since the last delete.
EMPTIED_SECONDS: Final = 10.0

# Asks S3 for an object; raises NoSuchKey, ...
Ask = Callable[[str], Awaitable[ObjectInfo]]


class Lookup:
    """Answers about names, put into the inode table."""

    def __init__(self, client: ObjectClient, table: InodeTable, lifetimes: Lifetimes) -> None:
        self._client: Final = client
        self._table: Final = table
        self.lifetimes: Final = lifetimes

    async def child(self, parent: Inode, name: str, ask: Ask | None = None) -> Inode:
        """The inode of a valid name in a directory, with one lookup more.

        Raises NotFound, or what S3 failed with. Asks S3 unless cached answers are trusted and one is believed still.
        `ask`: how to ask for the object, and learn more than its metadata perhaps.
        """
        location = parent.prefix + name
        known = self._table.at(location)
        if known is not None and self.believed(known) and (self.lifetimes.trusted or self._was_just_filled(known)):
            return self._table.counted(known)
        if known is not None and known.pending:
            return await self._pending(known)
        if (listed := self._table.missing.whole.being_listed(parent.prefix)) is not None:
            with trio.move_on_after(LISTED_SECONDS_MAX):
                await listed.wait()  # it was asked for before this, and tells of this, too
        if self._believed_missing(parent, location) is not None:
            raise NotFound(f"there was no {location!r} a moment ago")
        asked = trio.current_time()
        try:
            if parent.here.made >= parent.here.made_enough:
                await self._expect_nothing(parent, location)
            info = await resolve(self._client, location, ask)
        except NotFound:
            if (kept := self._kept(location, asked)) is not None:
                return self._table.counted(kept)
            self.is_gone(location)
            raise
        parent.made = 0
        return self._table.link(location, info, self.expiry(info), asked=asked)

    async def check_free(self, parent: Inode, name: str) -> bool:
        """Make sure that there is nothing by this name, to make something there. Returns whether S3 was asked.

        A lookup that found nothing a moment ago counts: the kernel has just made it. Raises NameTaken, NotFound if the
        directory is gone, or what S3 failed with.
        """
        if parent is not self._table.root and not self._table.is_current(parent):
            raise NotFound(f"there is no directory {parent.location!r} any more")
        location, now = parent.prefix + name, trio.current_time()
        if not self._table.just_missing.until(location, now):
            if self._believed_missing(parent, location):
                return False
            try:
                await self.peek(parent, name)
            except NotFound:
                pass
            else:
                raise NameTaken(f"there is {location!r} already")
        parent.made += 1
        return True

    def make_directory(self, parent: Inode, location: str) -> Inode:
        """A directory that is here only, at a location that is free, with one lookup more.

        There was nothing at its location, hence nothing below: as long as that is believed, so is this.
        """
        empty_until = self._believed_missing(parent, location)
        made = self._table.create(location, None, self.pending_until(directory=True))
        if empty_until is not None:
            made.empty_until = empty_until
        return made

    async def peek(self, parent: Inode, name: str) -> Inode:
        """As `child`, but for ourselves: the kernel holds no lookup by it."""
        before = self._table.at(parent.prefix + name)
        found = await self.child(parent, name)
        if found is before:
            found.lookups -= 1
        else:
            self._table.forget(found.number, 1)
        return found

    async def revalidate(self, inode: Inode) -> None:
        """Ask S3 whether a location still is this inode, and renew its attributes and expiry.

        One request: what else the name may have become is found by the lookup that the kernel makes after ESTALE,
        which programs do not see unless they ask by an open file. Nothing is asked of what is pending. Raises Stale,
        or what S3 failed with.
        """
        if inode is self._table.root or inode.pending:
            return
        if not self._table.is_current(inode):
            raise Stale(f"{inode.location!r} was replaced or deleted in S3")
        asked = trio.current_time()
        try:
            info = await self._ask_kind(inode)
        except (NotFound, NoSuchKey) as error:
            if self._kept(inode.location, asked) is inode:
                return
            self._table.unlink(inode)
            raise Stale(f"{inode.location!r} was deleted in S3") from error
        if inode.pending or inode.settled > asked:
            return
        if not self._table.refresh(inode, info, self.expiry(info)):
            raise Stale(f"{inode.location!r} was replaced in S3")

    def filled(self, location: str, asked: float) -> None:
        """S3, asked then, has taken an object: that counts as its word on each directory that the object is in."""
        self._table.filled(location, asked, self.lifetimes.directory)

    def is_gone(self, location: str) -> None:
        """There is nothing at a location, by S3's word or our doing."""
        if gone := self._table.at(location):
            self._table.unlink(gone)
        now = trio.current_time()
        self._table.just_missing.add(location, now + JUST_MISSING_SECONDS, now)
        if self.lifetimes.missing:
            self._table.missing.add(location, now + self.lifetimes.missing, now)

    def pending_until(self, *, directory: bool) -> float:
        """Until when to believe what is pending: not long, for it may fail, whatever the lifetimes are."""
        seconds = DIRECTORY_SECONDS_MINIMAL if directory else FILE_SECONDS_MINIMAL
        return trio.current_time() + seconds

    async def _expect_nothing(self, parent: Inode, location: str) -> None:
        """Raises NotFound if no key starts with a location: one request tells of file and directory, where two do else.

        Where names are being made that is likely. If some key does, it may be another name that begins alike, and a
        round trip was lost, for which many requests must be saved: twice as many names must have been made next time.
        """
        try:
            if not await has_children(self._client, location):
                raise NotFound(f"no key starts with {location!r}")
        except AccessDenied:
            pass  # a policy may allow listings of directories only
        parent.expected_in_vain()

    async def _pending(self, known: Inode) -> Inode:
        """A pending inode, unless a directory has come to be in S3 by its name."""
        if await has_children(self._client, known.location + "/"):
            return self._table.link(known.location, None, self.expiry(None))
        known.valid_until = self.pending_until(directory=known.is_directory)
        return self._table.counted(known)

    def _kept(self, location: str, asked: float) -> Inode | None:
        """What is at a location though S3 says that nothing is.

        That is what was made here meanwhile, and a directory that programs are emptying: they still have to remove it.
        """
        known = self._table.at(location)
        if known is None:
            return None
        if known.pending or known.settled > asked:
            return known
        if trio.current_time() - known.emptied >= EMPTIED_SECONDS:
            return None
        known.valid_until = self.pending_until(directory=True)
        return known

    def believed(self, inode: Inode) -> bool:
        """What S3 said last of an inode has not expired."""
        return inode is self._table.root or trio.current_time() < inode.valid_until

    def _was_just_filled(self, inode: Inode) -> bool:
        """Whether S3 has shown a directory to be there, by an object from here, so lately that it is believed (S143).

        Else who makes many files would ask for each directory of its path once a second, one after the other: 2 ms a
        file, with S3's usual 20 ms to the first byte.
        """
        filled = inode.here.filled
        return inode.is_directory and filled > inode.emptied and trio.current_time() < filled + self.lifetimes.directory

    def _believed_missing(self, parent: Inode, location: str) -> float | None:
        """Until when it is believed that there is nothing at a location in a directory; None if it is not."""
        now = trio.current_time()
        if (until := self._table.missing.until(location, now)) is not None:
            return until
        if now < parent.empty_until and self._table.at(location) is None:
            return parent.empty_until
        return None

    async def _ask_kind(self, inode: Inode) -> ObjectInfo | None:
        if not inode.is_directory:
            return await self._client.head_object(inode.location)
        if await has_children(self._client, inode.prefix):
            return None
        raise NotFound(f"no key starts with {inode.prefix!r}")

    def expiry(self, info: ObjectInfo | None) -> float:
        """Until when to believe what S3 says now."""
        return trio.current_time() + self.lifetimes.of(directory=info is None)


async def has_children(client: ObjectClient, prefix: str) -> bool:
    """Whether any key starts with a directory's prefix. The directory's own marker object counts."""
    token: str | None = None
    while True:
        # S3 may answer an empty page with more to come, where a bucket keeps many delete markers.
        page = await client.list_objects(prefix, token=token, max_keys=1)
        if page.objects or page.prefixes:
            return True
        if page.next_token is None:
            return False
        token = page.next_token


async def resolve(client: ObjectClient, location: str, ask: Ask | None = None) -> ObjectInfo | None:
    """What is at a location: the object, or None for a directory, which hides an object of its name.

    HEAD (or `ask`) and LIST run side by side; a directory is known as soon as the LIST answers. Raises NotFound if
    there is neither, or the error of the request that failed, for then nobody can say.
    """
    head = _Head()
    is_directory = False
    failure: EngineError | None = None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(head.ask, ask or client.head_object, location)
        try:
            is_directory = await has_children(client, location + "/")
        except EngineError as error:
            failure = error
        if is_directory or failure:
            nursery.cancel_scope.cancel()
    if failure:
        raise failure
    if is_directory:
        return None
    return head.answer()


class _Head:
    """A HEAD request whose failure waits until the LIST beside it has spoken."""

    def __init__(self) -> None:
        self._info: ObjectInfo | None = None
        self._failure: EngineError | None = None

    async def ask(self, ask: Ask, key: str) -> None:
        try:
            self._info = await ask(key)
        except EngineError as error:
            self._failure = error

    def answer(self) -> ObjectInfo:
        if isinstance(self._failure, NoSuchKey):
            raise NotFound(str(self._failure)) from self._failure
        if self._failure:
            raise self._failure
        assert self._info is not None, "the nursery has waited for the HEAD"
        return self._info
