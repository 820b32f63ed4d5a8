"""The inodes that the kernel knows: number, location, kind, what S3 said of the object, and how long it is believed.

Owned by the file system; lookup and listing put inodes in, FORGET takes them out, so memory follows what the kernel
holds, up to a bound: then files are forgotten that the kernel may still hold (crowd.py). Synchronous: no method awaits,
so every change is atomic under trio. Never asks S3.

A number means one version: an object whose ETag changed, or a name that turned from a file into a directory, gets a
new number. So the kernel's page cache, which hangs on the number, can never show a mix of two versions.

What programs make here is *pending* until it is in S3: a file that is being written (or replaced), a directory that
holds nothing yet. Pending inodes stay whether the kernel remembers them or not, and hide an object of their name; a
directory in S3 hides a pending file, and becomes one with a pending directory.
"""

from collections.abc import Callable, Collection, Container, Iterator, Mapping
from typing import Final

from engine.errors import Stale
from engine.namespace.crowd import Crowd
from engine.namespace.inode import NEVER, Inode
from engine.namespace.missing import MissingNames
from engine.namespace.names import parent_prefix
from engine.namespace.numbered import Numbered
from engine.s3.interface import ObjectInfo
from engine.stats import EngineStats

# FUSE_ROOT_ID: the one number that the kernel knows without a lookup, the same in every generation.
ROOT: Final = 1

# Numbers of one engine: a trillion, and 2^23 engines a session before the kernel's 64 bits (as signed) are used up.
GENERATION_SHIFT: Final = 40

# A dictionary that loses as many entries as it gets grows to four times what it needs, and never shrinks: both are made
# anew when half as many inodes went as there are, and not before this many.
_REMOVED_MIN: Final = 4096

# S3 was asked just now: nothing that happened here is newer.
_ALWAYS: Final = float("inf")


class InodeTable:
    """All inodes of one engine.

    Args:
        prefix: the mount's prefix: empty, or ends in a slash.
        generation: which engine of the session this is; no two of them give the same number.
        stats: whose gauge `inodes` follows the table.
        made: told of each new inode, pending ones included, and of one that has come to be in S3.
        discarded: told of each pending inode that will never be in S3.
        forgotten: told of each number that is known no more: the kernel holds it no more, or there were too many.
    """

    def __init__(
        self,
        prefix: str,
        *,
        generation: int,
        stats: EngineStats,
        made: Callable[[Inode], None] = lambda _inode: None,
        discarded: Callable[[Inode], None] = lambda _inode: None,
        forgotten: Callable[[int], None] = lambda _number: None,
    ) -> None:
        self._next = (generation << GENERATION_SHIFT) + ROOT + 1
        self._stats = stats
        self._made = made
        self._discarded = discarded
        self._forgotten = forgotten
        self.root: Final = Inode(ROOT, prefix.removesuffix("/"), None, float("inf"))
        self.missing: Final = MissingNames()
        self.just_missing: Final = MissingNames()
        self.doings = 0  # of programs here that a listing from before does not have: uploads that ended, deletes
        self._crowd = Crowd()
        self._removed = 0  # inodes, since the dictionaries were made
        self._by_number: Final = Numbered()
        self._by_number.put(self.root)
        self._by_location = {self.root.location: self.root}
        self._pending: dict[str, dict[str, Inode]] = {}  # by prefix and name
        stats.inodes = len(self._by_number)

    def __len__(self) -> int:
        return len(self._by_number)

    def numbers(self) -> list[int]:
        """Those of all but the root, as of now, in the order of their making. No inode is held by that."""
        return [number for number in self._by_number.numbers() if number != ROOT]

    def inherit(
        self,
        inodes: Mapping[int, tuple[str, bytes | None]],
        *,
        pending: Collection[int] = (),
        removed: Container[int] = (),
    ) -> None:
        """What the kernel has from an engine before: locations and objects (packed) by number. Not believed.

        How many lookups the kernel holds is not known, but that it is one at least: so its FORGET, which gives all of
        them back, drops the inode whatever the number, and taking back one that did not reach the kernel does not.
        Those `removed` have names that are something else's, or nothing's. All stay until `make_room`, as it is not
        known here what is open.
        """
        by_number, by_location, root = self._by_number, self._by_location, self.root.location
        came = []
        for number, (location, packed) in inodes.items():
            if number == ROOT or location == root:
                continue  # nobody writes such a thing down
            inode = Inode(number, location, packed, NEVER)
            inode.lookups = 1
            by_number.put(inode)
            if number not in removed:
                by_location[location] = inode
            came.append(inode)
        self._crowd.came(came)
        self._stats.inodes = len(by_number)
        for number in pending:
            if number not in removed and (held := by_number.get(number)) is not None:
                self.hold(held)

    def make_room(self) -> None:
        """Forget what there is no room for, after `inherit`."""
        for spare in self._crowd.spare(self.find, tries=len(self._by_number)):
            self._remove(spare)

    @property
    def newest(self) -> int:
        """The number that was given last."""
        return self._next - 1

    def get(self, number: int) -> Inode:
        """The inode of a number the kernel uses. Raises Stale if this engine never gave it, or it was forgotten."""
        inode = self._by_number.get(number)
        if inode is None:
            raise Stale(f"inode {number} is not known (any more)")
        return inode

    def find(self, number: int) -> Inode | None:
        """The inode of a number, if it is known."""
        return self._by_number.get(number)

    def at(self, location: str) -> Inode | None:
        """The inode that a location has now."""
        return self._by_location.get(location)

    def parent(self, inode: Inode) -> Inode:
        """The directory that holds an inode; the root's is itself, and so is one whose directory was forgotten."""
        if inode is self.root:
            return inode
        return self._by_location.get(parent_prefix(inode.location).removesuffix("/"), inode)

    def is_current(self, inode: Inode) -> bool:
        """The inode's location still is this inode: nothing replaced it and nothing was seen missing."""
        return self._by_location.get(inode.location) is inode

    def link(self, location: str, info: ObjectInfo | None, valid_until: float, *, asked: float = _ALWAYS) -> Inode:
        """The inode for what S3 says is at a location, with one lookup more, for an answer the kernel will count.

        The one that is there if it is the same version or hides what S3 says, else a new one in its place. `asked`:
        when S3 was asked.
        """
        self.missing.found(location)
        self.just_missing.found(location)
        inode = self._by_location.get(location)
        if inode is not None and _hides(inode, info, asked):
            return self.counted(inode)
        if inode is None or not self.refresh(inode, info, valid_until):
            inode = self._make(location, info, valid_until)
        self.counted(inode)
        if inode.pending:  # a directory that was made here, and has come to be in S3
            inode.pending = False
            self._made(inode)
            self._let_go(inode)
        return inode

    def counted(self, inode: Inode) -> Inode:
        """The inode, with one lookup more."""
        if inode is not self.root:
            inode.lookups += 1
        return inode

    def create(self, location: str, info: ObjectInfo | None, valid_until: float) -> Inode:
        """A pending file (its `info` has an empty ETag) or directory, with one lookup more."""
        self.missing.found(location)
        self.just_missing.found(location)
        return self.counted(self._make(location, info, valid_until, pending=True))

    def hold(self, inode: Inode) -> None:
        """What is to be at this location is only here, from now on."""
        inode.pending = True
        self._crowd.grew(inode)
        if self.is_current(inode):
            self._pending.setdefault(parent_prefix(inode.location), {})[_name(inode)] = inode

    def settle(
        self, inode: Inode, info: ObjectInfo | None, now: float, expiry: Callable[[ObjectInfo | None], float]
    ) -> None:
        """A pending inode is in S3 now, and so are the directories above it. `expiry`: until when to believe each."""
        inode.info = info
        if info is not None:
            inode.times_ns = None  # S3 has its own of files
        inode.valid_until = expiry(info)
        inode.settled = now
        self.doings += 1
        inode.pending = False
        self._made(inode)
        self._let_go(inode)
        self._found_with_all_above(inode.location)
        above = parent_prefix(inode.location).removesuffix("/")
        directory = self._by_location.get(above) if self.is_current(inode) else None
        if directory is not None and directory.pending:
            self.settle(directory, None, now, expiry)

    def _found_with_all_above(self, location: str) -> None:
        """Something is there. It may have been seen missing while a directory, since gone, hid what was written."""
        while location:
            self.missing.found(location)
            self.just_missing.found(location)
            location = parent_prefix(location).removesuffix("/")

    def filled(self, location: str, asked: float, seconds: float) -> None:
        """S3, asked then, has taken an object: the directories above are there, and that is believed for so long."""
        for directory in self.above(location):
            directory.filled = asked
            self._crowd.grew(directory)
            directory.valid_until = max(directory.valid_until, asked + seconds)

    def discard(self, inode: Inode) -> None:
        """A pending inode will never be in S3: there is no such file, or what was there before is there again."""
        if inode.pending:
            self._discarded(inode)
        self.unlink(inode)
        self._let_go(inode)

    def pending_below(self, prefix: str) -> list[str]:
        """The names of pending inodes in a directory, in order."""
        return sorted(self._pending.get(prefix, ()))

    def above(self, location: str) -> Iterator[Inode]:
        """The directories that a location is in, as far as they are known, without the root."""
        while location := parent_prefix(location).removesuffix("/"):
            if (inode := self._by_location.get(location)) is not None and inode is not self.root:
                yield inode

    def refresh(self, inode: Inode, info: ObjectInfo | None, valid_until: float) -> bool:
        """S3 was asked again and says `info`. True if that is this inode's version; else the inode loses its name."""
        if not inode.renew(info):
            self.unlink(inode)
            return False
        inode.valid_until = max(inode.valid_until, valid_until)
        return True

    def disbelieve(self, info: ObjectInfo) -> None:
        """S3 has another version by this key than this one, or none: ask at the next use, however long it was valid."""
        inode = self.at(info.key)
        if inode is not None and not inode.pending and inode.is_version(info):
            inode.valid_until = NEVER

    def unlink(self, inode: Inode) -> None:
        """The location is empty or is another version now; the number lives on until the kernel forgets it."""
        inode.valid_until = NEVER
        if self.is_current(inode):
            self._drop_pending(inode)
            del self._by_location[inode.location]
            # Nobody knows any more what the directory had by this name.
            self.parent(inode).empty_until = NEVER

    def forget(self, number: int, lookups: int) -> None:
        """The kernel dropped that many references. A number of an engine before is none of ours."""
        inode = self._by_number.get(number)
        if inode is None or inode is self.root:
            return
        inode.lookups -= lookups
        if inode.lookups > 0 or (inode.pending and self.is_current(inode)):
            return
        self._remove(inode)

    def _let_go(self, inode: Inode) -> None:
        """It is pending no more; if the kernel has forgotten it meanwhile, that counts now."""
        inode.pending = False
        self._drop_pending(inode)
        self.forget(inode.number, 0)

    def _drop_pending(self, inode: Inode) -> None:
        if not self._pending:
            return
        prefix, name = parent_prefix(inode.location), _name(inode)
        names = self._pending.get(prefix, {})
        if names.get(name) is inode:
            del names[name]
            if not names:
                del self._pending[prefix]

    def _make(self, location: str, info: ObjectInfo | None, valid_until: float, *, pending: bool = False) -> Inode:
        inode = Inode.of(self._next, location, info, valid_until)
        self._next += 1
        before = self._by_location.get(location)
        if before is not None:
            self.unlink(before)
        self._put(inode)
        if pending:
            self.hold(inode)
        self._made(inode)
        return inode

    def _put(self, inode: Inode) -> None:
        self._by_number.put(inode)
        self._by_location[inode.location] = inode
        if self._crowd.came_one(inode):
            for spare in self._crowd.spare(self.find, besides=inode):
                self._remove(spare)
        self._stats.inodes = len(self._by_number)

    def _remove(self, inode: Inode) -> None:
        self._by_number.remove(inode.number)
        self.unlink(inode)
        self._crowd.went(inode)
        self._removed += 1
        if self._removed > max(_REMOVED_MIN, len(self._by_number) // 2):
            self._by_number.tidy()
            self._by_location = dict(self._by_location)
            self._crowd.sweep(self._by_number)
            self._removed = 0
        self._stats.inodes = len(self._by_number)
        self._forgotten(inode.number)


def _hides(inode: Inode, info: ObjectInfo | None, asked: float) -> bool:
    """Whether what is here counts, and not what S3 says."""
    here = inode.here
    return here.settled > asked or (here.pending and info is not None)


def _name(inode: Inode) -> str:
    return inode.location.rpartition("/")[2]
