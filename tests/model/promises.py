"""What a mount promises, as a small model: a bucket, what is only here, who has what open, and what is believed.

The state machine (machine.py) does each step here and on a mount, and compares. No I/O and no clock: `now` is set from
outside. Sources: docs/concepts/semantics.md (S numbers below) and, where it says nothing, Mountpoint's rules. It is
written for reading: every answer is worked out anew from the whole bucket.

Paths have no slash in front; the mount's root is "". A call returns what a program gets, or raises `Refused`; where
more than one answer is right, it returns `AnyOf`.
"""

import contextlib
import errno
import os
from collections.abc import Iterator
from typing import Final

from tests.model.things import MINIMAL, AnyOf, Listing, Node, Reader, Refused, Rights, Ttl, Use, Version, Whole, Writer

# S74: a directory that was emptied here can be removed for so long, in seconds.
EMPTIED_SECONDS: Final = 10.0


class Promised:
    """One mount and its bucket.

    Args:
        prefix: the mount's; empty, or ends in a slash.
        rights: what it allows.
        ttl: how long it believes what it knows.
        part_bytes: what is written beyond this goes up in parts.
        writers_max: how many files may be open for writing.
    """

    def __init__(self, prefix: str, rights: Rights, ttl: Ttl, *, part_bytes: int, writers_max: int) -> None:
        self.prefix: Final = prefix
        self.rights: Final = rights
        self.ttl: Final = ttl
        self.part_bytes: Final = part_bytes
        self.writers_max: Final = writers_max
        self.now = 0.0
        self.bucket: dict[str, Version] = {}
        self.root: Final = Node("", None, until=float("inf"))
        self.known: dict[str, Node] = {"": self.root}
        self.missing: dict[str, float] = {}  # until when it is believed that there is nothing
        self.whole: dict[str, Whole] = {}  # directories of which all names are believed to be known
        self.writers: set[Writer] = set()

    # Names

    def key(self, path: str) -> str:
        """The object that a file is."""
        return self.prefix + path

    def keys_below(self, path: str) -> list[str]:
        """S3: what makes a directory exist; its marker counts (S4)."""
        start = self.key(path + "/") if path else self.prefix
        return [key for key in self.bucket if key.startswith(start)]

    def local_below(self, path: str) -> list[Node]:
        """What is in a directory and not in S3."""
        return [node for node in self.known.values() if node.pending and node.path and _parent(node.path) == path]

    def entries(self, path: str) -> dict[str, Node | Version | None]:
        """What a listing of a directory has: None is a directory in S3, a Node what is here only.

        S5, S78: a directory in S3 goes before what is here only, and that before an object. S6: names that can't be.
        """
        found: dict[str, Node | Version | None] = {}
        start = self.key(path + "/") if path else self.prefix
        for key in self.keys_below(path):
            name, slash, _ = key[len(start) :].partition("/")
            if name in ("", ".", ".."):
                continue
            if slash:
                found[name] = None
            else:
                found.setdefault(name, self.bucket[key])
        for node in self.local_below(path):
            name = _name(node.path)
            if name not in found or found[name] is not None:
                found[name] = node
        return found

    def look(self, path: str) -> Node | None:
        """What a lookup finds at a path whose directory is there, and what is believed then (S30, S31, S32, S143)."""
        node = self.known.get(path)
        if node is not None and (node is self.root or (self.now < node.until and self._trusts(node))):
            return self._hold(node)
        if (node is None or not node.pending) and self._missing_until(path) is not None:
            return None
        if self.keys_below(path):
            return self._see(path, None)
        if node is not None and node.pending:
            return self._hold(self._believe(node, MINIMAL[node.directory]))
        if self.key(path) in self.bucket:
            return self._see(path, self.bucket[self.key(path)])
        if node is not None and self.now - node.emptied < EMPTIED_SECONDS:
            return self._hold(self._believe(node, MINIMAL[True]))
        self._drop(path)
        if self.ttl.missing is not None:
            self.missing[path] = self.now + self.ttl.missing
        return None

    def _trusts(self, node: Node) -> bool:
        """Lookups believe what is believed: with a TTL, else of a directory that the mount has just filled (S143)."""
        if self.ttl.known is not None:
            return True
        return node.directory and node.emptied < node.filled and self.now < node.filled + MINIMAL[True]

    def walk(self, path: str) -> Node:
        """What is at a path. Raises ENOENT, ENOTDIR (S9)."""
        node = self.root
        for part in _parts(path):
            if not node.directory:
                raise Refused(errno.ENOTDIR)
            found = self.look(part)
            if found is None:
                raise Refused(errno.ENOENT)
            node = found
        return node

    def directory_of(self, path: str) -> Node:
        """The directory that holds a path. Raises ENOENT, ENOTDIR."""
        node = self.walk(_parent(path))
        if not node.directory:
            raise Refused(errno.ENOTDIR)
        return node

    def stat(self, path: str) -> Node:
        """stat(2)."""
        return self.walk(path)

    def listing(self, path: str) -> dict[str, Node]:
        """A whole directory, read at once; S33: what it says is believed."""
        node = self.walk(path)
        if not node.directory:
            raise Refused(errno.ENOTDIR)
        return {name: self._listed(path, name, entry) for name, entry in self.entries(path).items()}

    def tree(self, path: str = "") -> dict[str, tuple[str, int]]:
        """All paths, by listings only, with kind and size. A walk that begins now sees all that is there now (S121)."""
        found: dict[str, tuple[str, int]] = {}
        for name, entry in sorted(self.entries(path).items()):
            child = self._listed(path, name, entry)
            found[child.path] = child.shown
        for child_path, (kind, _size) in list(found.items()):
            if kind == "dir":
                found |= self.tree(child_path)
        return found

    # Making and removing names

    def mkdir(self, path: str) -> None:
        """S72."""
        self._make(path, None)

    def rmdir(self, path: str) -> None:
        """S72, S74."""
        node = self._to_remove(path)
        if not node.directory:
            raise Refused(errno.ENOTDIR)
        keys, marker = self.keys_below(path), self.key(path + "/")
        if node.pending:
            keys = []  # what others have put there since it was looked up stays, and makes it a directory again
        if keys and not self.rights.delete:
            raise Refused(errno.EPERM)
        if self.local_below(path) or any(key != marker for key in keys):
            raise Refused(errno.ENOTEMPTY)
        if keys:
            del self.bucket[marker]
        self._removed(node)

    def unlink(self, path: str) -> None:
        """S73."""
        node = self._to_remove(path)
        if node.directory:
            raise Refused(errno.EISDIR)
        if not self.rights.delete:
            raise Refused(errno.EPERM)
        self._complete_deferred(node)
        if node.pending and not node.new:
            raise Refused(errno.EPERM)
        if not node.pending:
            self.bucket.pop(self.key(path), None)
        self._removed(node)

    def rename(self, path: str, to: str) -> None:
        """S75; `to` is a name in the same directory that nothing has."""
        self._to_remove(path)
        self.look(to)
        raise Refused(errno.EXDEV if self.rights.delete else errno.EPERM)

    def set_times(self, path: str) -> None:
        """S76."""
        node = self.walk(path)
        self._refuse_if_read_only()
        if not node.pending and not node.directory:
            raise Refused(errno.EPERM)

    def set_mode(self, path: str, *, same: bool) -> None:
        """S76: as it is, or another one."""
        node = self.walk(path)
        self._refuse_if_read_only()
        if not node.pending and not same:
            raise Refused(errno.EPERM)

    def truncate(self, path: str, size: int) -> None:
        """S76, S110: truncate(2), which is not open(2) with O_TRUNC."""
        node = self.walk(path)
        if node.directory:
            raise Refused(errno.EISDIR)
        self._refuse_if_read_only()
        if not node.pending and node.shown[1] != size:
            raise Refused(errno.EPERM)
        if (writer := node.writer) is not None:
            if size < len(writer.data):
                raise Refused(errno.EINVAL)
            writer.size = size

    # Open files

    def open(self, path: str, flags: int) -> Reader | Writer:
        """open(2) of a file; S65, S66, S67, S70."""
        self.directory_of(path)
        node = self.look(path)
        if node is None:
            if not flags & os.O_CREAT:
                raise Refused(errno.ENOENT)
            node = self._make(path, Version(b""))
        elif flags & os.O_CREAT and flags & os.O_EXCL:
            raise Refused(errno.EEXIST)
        if node.directory:
            raise Refused(errno.EISDIR)
        return self._open(node, flags)

    def read(self, reader: Reader | Writer, offset: int, size: int) -> AnyOf:
        """S23, S24: the bytes that it was opened with, or an error if it is not that any more."""
        if isinstance(reader, Writer) or reader.use is Use.OVERRIDDEN:
            raise Refused(errno.EBADF)
        reader.use = Use.ACTIVE
        data = reader.version.data[offset : offset + size]
        now = self.bucket.get(self.key(reader.node.path))
        if not data or now == reader.version:
            return AnyOf([data])
        return AnyOf([data, Refused(errno.EIO if now is None else errno.ESTALE)])

    def found_out(self, reader: Reader) -> None:
        """S24: a read has told that its version is gone, so nobody believes in it any more."""
        node = reader.node
        if self.known.get(node.path) is node and node.version == reader.version:
            self.disbelieve(node.path)

    def disbelieve(self, path: str) -> None:
        """S24: S3 has told meanwhile that what was seen at a path is gone."""
        if (node := self.known.get(path)) is not None and not node.pending:
            node.until = float("-inf")

    def write(self, writer: Reader | Writer, offset: int, data: bytes) -> int:
        """S63, S64."""
        if isinstance(writer, Reader) or writer.use is Use.OVERRIDDEN:
            raise Refused(errno.EBADF)
        writer.use = Use.ACTIVE
        if writer.error is not None:
            raise Refused(writer.error)
        if writer.done:
            raise Refused(errno.EIO)
        if offset != len(writer.data):
            self._give_up(writer, errno.EINVAL)
            raise Refused(errno.EINVAL)
        writer.data += data
        if writer.node.writer is writer:
            writer.node.version = Version(writer.data)
        return len(data)

    def fsync(self, file: Reader | Writer) -> None:
        """S61; S35 of a reader."""
        if isinstance(file, Writer):
            self._complete(file)

    def close_twin(self, file: Reader | Writer, *, by_opener: bool = True) -> None:
        """One of several descriptors of an open file is closed; S61, S68."""
        if file.use is Use.ACTIVE:
            file.use = Use.INACTIVE
        if isinstance(file, Writer) and (file.error is not None or ((file.data or file.size) and by_opener)):
            self._complete(file)

    def release(self, file: Reader | Writer) -> None:
        """The last descriptor is gone; nobody hears of errors."""
        if isinstance(file, Reader):
            file.node.readers.discard(file)
        else:
            with contextlib.suppress(Refused):
                self._complete(file)
            self.writers.discard(file)

    def fstat(self, file: Reader | Writer) -> AnyOf:
        """fstat(2): the size that it has. ESTALE once it is closed to writing, and its object is another."""
        if isinstance(file, Reader):
            return AnyOf([len(file.version.data), *([file.node.shown[1]] if file.use is Use.OVERRIDDEN else [])])
        if not file.over:
            return AnyOf([len(file.data)])
        node = file.node
        if self.bucket.get(self.key(node.path)) == node.version and self.known.get(node.path) is node:
            return AnyOf([node.shown[1]])
        return AnyOf([len(file.data), node.shown[1], Refused(errno.ESTALE)])

    # What others do, and time

    def put(self, key: str, data: bytes) -> None:
        """Somebody makes or replaces an object."""
        self.bucket[key] = Version(data)

    def delete(self, key: str) -> None:
        """Somebody deletes an object."""
        self.bucket.pop(key, None)

    def forget(self, open_nodes: set[Node]) -> None:
        """S49: the kernel drops all that is not open; what is pending stays."""
        for node in list(self.known.values()):
            if node not in open_nodes and node is not self.root:
                node.held = False
                if not node.pending:
                    self._drop(node.path)

    # What the mount does by itself

    def listed_ahead(self, path: str, until: float | None) -> None:
        """S122: a directory is listed because programs make files in it; until when that is believed, when it is over.

        When that is done is the mount's business, and so is that it forgets meanwhile what it knew before.
        """
        self.whole.pop(path, None)
        if until is not None:
            assert self.ttl.missing is not None, "nothing is believed to be missing with `minimal`"
            assert until <= self.now + self.ttl.missing
            self.whole[path] = Whole(until, set(self.entries(path)))

    # Open directories

    def read_some(self, listing: Listing) -> None:
        """A directory is read on (or from its beginning)."""
        if listing.always is None:
            names = set(self.entries(listing.node.path))
            listing.always, listing.ever, listing.got = names, set(names), []

    def changed(self, listing: Listing) -> None:
        """To be called after each step for each open directory."""
        if listing.always is not None:
            names = set(self.entries(listing.node.path))
            listing.always &= names
            listing.ever |= names

    # Rules that several calls share

    def _make(self, path: str, version: Version | None) -> Node:
        self.directory_of(path)
        if self.look(path) is not None:
            raise Refused(errno.EEXIST)
        self._refuse_if_read_only()
        node = Node(path, version, pending=True)
        if node.directory:  # S111: there was nothing by its name, hence nothing below
            node.empty_until = self._missing_until(path) or node.empty_until
        self._found(path)
        self.known[path] = self._believe(node, MINIMAL[node.directory])
        return node

    def _open(self, node: Node, flags: int) -> Reader | Writer:
        access = flags & os.O_ACCMODE
        if access != os.O_RDONLY or flags & os.O_TRUNC:
            if flags & (os.O_SYNC | os.O_DSYNC):
                raise Refused(errno.EINVAL)
            self._refuse_if_read_only()
        if flags & os.O_DIRECT:
            node = self._newest(node)
        truncates = bool(flags & os.O_TRUNC) and not node.new
        if truncates and not self.rights.overwrite:
            raise Refused(errno.EPERM)
        if access == os.O_RDONLY and truncates:
            raise Refused(errno.EINVAL)
        if access == os.O_RDONLY or (access == os.O_RDWR and not node.new and not truncates):
            return self._open_reader(node)
        return self._open_writer(node, replaces=truncates)

    def _newest(self, node: Node) -> Node:
        """S29: O_DIRECT sees the newest version, even if another is believed."""
        if node.pending:
            return node
        if self.bucket.get(self.key(node.path)) == node.version:
            return self._believe(node, self.ttl.seconds(directory=False))
        self._drop(node.path)
        found = self.walk(node.path)
        if found.directory:
            raise Refused(errno.EISDIR)
        return found

    def _open_reader(self, node: Node) -> Reader:
        if node.new or (node.writer is not None and node.writer.use is Use.ACTIVE):
            raise Refused(errno.EPERM)
        self._complete_deferred(node)
        assert node.version is not None
        reader = Reader(node, node.version)
        node.readers.add(reader)
        return reader

    def _open_writer(self, node: Node, *, replaces: bool) -> Writer:
        if sum(not writer.over for writer in self.writers) >= self.writers_max:
            raise Refused(errno.ENOMEM)
        if node.writer is not None and node.writer.use is Use.ACTIVE:
            raise Refused(errno.EPERM)
        if any(reader.use is Use.ACTIVE for reader in node.readers):
            raise Refused(errno.EPERM)
        self._complete_deferred(node)
        if not node.new and not replaces:
            raise Refused(errno.EPERM)
        for reader in node.readers:
            reader.use = Use.OVERRIDDEN
        node.readers.clear()
        node.version, node.pending = Version(b""), True
        node.writer = Writer(node)
        self.writers.add(node.writer)
        return node.writer

    def _complete_deferred(self, node: Node) -> None:
        """A file whose only known descriptor was closed is completed when somebody else wants it."""
        if (writer := node.writer) is not None and writer.use is Use.INACTIVE:
            self._complete(writer)
            writer.use = Use.OVERRIDDEN

    def _complete(self, writer: Writer) -> None:
        """S61: it is the object now; the directories above it are in S3 by it."""
        if writer.error is not None:
            raise Refused(writer.error)
        if writer.done:
            return
        if len(writer.data) < writer.size:  # S110
            self._give_up(writer, errno.EINVAL)
            raise Refused(errno.EINVAL)
        node, parts = writer.node, -(-len(writer.data) // self.part_bytes)
        version = Version(writer.data, parts if parts > 1 else 0)
        self.bucket[self.key(node.path)] = version
        writer.done = True
        node.writer, node.version = None, version
        for path in (node.path, *_above(node.path)):
            self._found(path)
        self._settle(node)
        for path in _above(node.path):
            if (above := self.known.get(path)) is not None:
                above.filled = self.now
                self._believe(above, self.ttl.seconds(directory=True))

    def _settle(self, node: Node) -> None:
        """It is in S3 now. So are directories above that were here only."""
        while node.pending:
            node.pending = False
            self._believe(node, self.ttl.seconds(directory=node.directory))
            if self.known.get(node.path) is not node:
                return
            if not node.held:
                self._drop(node.path)
            above = self.known.get(_parent(node.path))
            if above is None:
                return
            node = above

    def _give_up(self, writer: Writer, error: int) -> None:
        """S64: a new file is gone, one that was to be replaced is what it was."""
        writer.error = error
        node = writer.node
        node.writer, node.pending = None, False
        if self.known.get(node.path) is node:
            self._drop(node.path)

    def _to_remove(self, path: str) -> Node:
        self.directory_of(path)
        self._refuse_if_read_only()
        node = self.look(path)
        if node is None:
            raise Refused(errno.ENOENT)
        return node

    def _removed(self, node: Node) -> None:
        node.pending = False
        self._drop(node.path)
        for path in _above(node.path):
            if path in self.known:
                self.known[path].emptied = self.now

    def _refuse_if_read_only(self) -> None:
        """S60."""
        if self.rights.read_only:
            raise Refused(errno.EROFS)

    def _listed(self, path: str, name: str, entry: Node | Version | None) -> Node:
        if isinstance(entry, Node):
            return self._hold(entry)
        return self._see(f"{path}/{name}" if path else name, entry)

    def _see(self, path: str, version: Version | None) -> Node:
        """S3 says what is at a path."""
        self._found(path)
        node = self.known.get(path)
        if node is None or node.version != version:
            self._drop(path)
            node = self.known[path] = Node(path, version)  # what is being written under this name goes on without it
        node.pending = False  # a directory that was made here is S3's from now on
        return self._hold(self._believe(node, self.ttl.seconds(directory=node.directory)))

    def _found(self, path: str) -> None:
        """There may be something at a path from now on."""
        self.missing.pop(path, None)
        if (whole := self.whole.get(_parent(path))) is not None:
            whole.names.add(_name(path))

    def _missing_until(self, path: str) -> float | None:
        """Until when it is believed that there is nothing at a path; None if it is not. S32, S122, S111."""
        if self.now < self.missing.get(path, 0.0):
            return self.missing[path]
        whole = self.whole.get(_parent(path))
        if whole is not None and self.now < whole.until and _name(path) not in whole.names:
            return whole.until
        above = self.known.get(_parent(path))
        if above is not None and path not in self.known and self.now < above.empty_until:
            return above.empty_until
        return None

    def _drop(self, path: str) -> None:
        """What was at a path is not there any more; nor is it known what its directory has by this name."""
        if self.known.pop(path, None) is not None and (above := self.known.get(_parent(path))) is not None:
            above.empty_until = float("-inf")

    def _believe(self, node: Node, seconds: float) -> Node:
        node.until = max(node.until, self.now + seconds)
        return node

    @staticmethod
    def _hold(node: Node) -> Node:
        node.held = True
        return node


def _parent(path: str) -> str:
    return path.rpartition("/")[0]


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _parts(path: str) -> Iterator[str]:
    """`a`, `a/b`, `a/b/c`."""
    names = path.split("/") if path else []
    for count in range(len(names)):
        yield "/".join(names[: count + 1])


def _above(path: str) -> list[str]:
    """The directories that a path is in, without the root."""
    return list(_parts(_parent(path)))
