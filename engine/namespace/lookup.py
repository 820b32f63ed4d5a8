"""What a name is: asks S3 for the object and for anything below it, side by side.

Called by the file system for LOOKUP, and for GETATTR and OPEN of what is no longer believed. Never caches: what it
finds, and what it finds missing, goes into the inode table, whose entries carry their own expiry.
"""

from typing import Final

import trio

from engine.errors import EngineError, NoSuchKey, NotFound, Stale
from engine.namespace.inodes import Inode, InodeTable
from engine.namespace.lifetimes import Lifetimes
from engine.s3.interface import ObjectClient, ObjectInfo


class Lookup:
    """Answers about names, put into the inode table."""

    def __init__(self, client: ObjectClient, table: InodeTable, lifetimes: Lifetimes) -> None:
        self._client: Final = client
        self._table: Final = table
        self._lifetimes: Final = lifetimes

    async def child(self, parent: Inode, name: str) -> Inode:
        """The inode of a valid name in a directory, with one lookup more.

        Raises NotFound, or what S3 failed with. Asks S3 unless cached answers are trusted and one is believed still.
        """
        location = parent.prefix + name
        known = self._table.at(location)
        if known is not None and self._lifetimes.trusted and self.believed(known):
            return self._table.link(location, known.info, known.valid_until)
        if self._table.missing.until(location, trio.current_time()) is not None:
            raise NotFound(f"there was no {location!r} a moment ago")
        try:
            info = await resolve(self._client, location)
        except NotFound:
            if gone := self._table.at(location):
                self._table.unlink(gone)
            if self._lifetimes.missing:
                now = trio.current_time()
                self._table.missing.add(location, now + self._lifetimes.missing, now)
            raise
        return self._table.link(location, info, self._expiry(info))

    async def revalidate(self, inode: Inode) -> None:
        """Ask S3 whether a location still is this inode, and renew its attributes and expiry.

        One request: what else the name may have become is found by the lookup that the kernel makes after ESTALE,
        which programs do not see unless they ask by an open file. Raises Stale, or what S3 failed with.
        """
        if inode is self._table.root:
            return
        if not self._table.is_current(inode):
            raise Stale(f"{inode.location!r} was replaced or deleted in S3")
        try:
            info = await self._ask_kind(inode)
        except (NotFound, NoSuchKey) as error:
            self._table.unlink(inode)
            raise Stale(f"{inode.location!r} was deleted in S3") from error
        if not self._table.refresh(inode, info, self._expiry(info)):
            raise Stale(f"{inode.location!r} was replaced in S3")

    def believed(self, inode: Inode) -> bool:
        """What S3 said last of an inode has not expired."""
        return inode is self._table.root or trio.current_time() < inode.valid_until

    async def _ask_kind(self, inode: Inode) -> ObjectInfo | None:
        if not inode.is_directory:
            return await self._client.head_object(inode.location)
        if await has_children(self._client, inode.prefix):
            return None
        raise NotFound(f"no key starts with {inode.prefix!r}")

    def _expiry(self, info: ObjectInfo | None) -> float:
        return trio.current_time() + self._lifetimes.of(directory=info is None)


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


async def resolve(client: ObjectClient, location: str) -> ObjectInfo | None:
    """What is at a location: the object, or None for a directory, which hides an object of its name.

    HEAD and LIST run side by side; a directory is known as soon as the LIST answers. Raises NotFound if there is
    neither, or the error of the request that failed, for then nobody can say.
    """
    head = _Head()
    is_directory = False
    failure: EngineError | None = None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(head.ask, client, location)
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

    async def ask(self, client: ObjectClient, key: str) -> None:
        try:
            self._info = await client.head_object(key)
        except EngineError as error:
            self._failure = error

    def answer(self) -> ObjectInfo:
        if isinstance(self._failure, NoSuchKey):
            raise NotFound(str(self._failure)) from self._failure
        if self._failure:
            raise self._failure
        assert self._info is not None, "the nursery has waited for the HEAD"
        return self._info
