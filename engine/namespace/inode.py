"""One inode: a file or directory that the kernel knows, in as little memory as can be.

Made, kept and forgotten by the inode table; lookup, listing and the file system read it. Never asks S3.
"""

from typing import Final, Self

from engine.namespace.packed import pack, same_version, size_and_time, unpack
from engine.s3.interface import ObjectInfo

# Long ago, and for times that are in no hurry: one object, for a million of them are kept.
NEVER: Final = float("-inf")

# Names made in a row in a directory, before the next one that is looked up there is expected to be missing, too.
MADE_MIN: Final = 4


class Here:
    """What happened to an inode here, and not in S3: nothing, for nearly all."""

    __slots__ = ("counted", "emptied", "empty_until", "filled", "made", "made_enough", "pending", "settled", "times_ns")

    def __init__(self) -> None:
        self.counted = False  # among what names take (crowd.py)
        self.pending = False
        self.settled = NEVER
        self.emptied = NEVER
        self.filled = NEVER
        self.made = 0
        self.made_enough = MADE_MIN
        self.empty_until = NEVER
        self.times_ns: tuple[int, int] | None = None


# Of all inodes to which nothing happened here; never changed.
NOTHING: Final = Here()


class Inode:
    """A file or directory that the kernel knows, or is about to. As small as can be: there may be many.

    Args:
        number: its number.
        location: its path in the bucket, without a closing slash.
        packed: what S3 said of the object, by packed.py; None for a directory.
        valid_until: until when that is believed, on trio's clock, as all times here.
    """

    __slots__ = ("_object", "handles", "here", "location", "lookups", "number", "opened", "valid_until")

    def __init__(self, number: int, location: str, packed: bytes | None, valid_until: float) -> None:
        self.number = number
        self.location = location
        self._object = packed
        self.lookups = 0
        self.valid_until = valid_until
        self.here = NOTHING
        self.handles = 0  # open files that are this inode
        self.opened = False  # it was opened for reading: the kernel may have pages of it

    @classmethod
    def of(cls, number: int, location: str, info: ObjectInfo | None, valid_until: float) -> Self:
        """One of which S3 has said this."""
        return cls(number, location, None if info is None else pack(info), valid_until)

    @property
    def packed(self) -> bytes | None:
        """`info` as it is kept."""
        return self._object

    @property
    def info(self) -> ObjectInfo | None:
        """What S3 said of the object; None for a directory. A pending file has an empty ETag."""
        return None if self._object is None else unpack(self.location, self._object)

    @info.setter
    def info(self, info: ObjectInfo | None) -> None:
        self._object = None if info is None else pack(info)

    @property
    def pending(self) -> bool:
        """It is only here, not in S3 yet."""
        return self.here.pending

    @pending.setter
    def pending(self, pending: bool) -> None:
        if pending or self.here is not NOTHING:
            self._own().pending = pending

    @property
    def settled(self) -> float:
        """Since when it is here, or in S3, by our doing: answers to older questions don't count."""
        return self.here.settled

    @settled.setter
    def settled(self, when: float) -> None:
        self._own().settled = when

    @property
    def emptied(self) -> float:
        """When something below it was deleted here last."""
        return self.here.emptied

    @emptied.setter
    def emptied(self, when: float) -> None:
        self._own().emptied = when

    @property
    def filled(self) -> float:
        """When S3 was asked last to make an object below this directory, which it did: so the directory is there."""
        return self.here.filled

    @filled.setter
    def filled(self, when: float) -> None:
        self._own().filled = when

    @property
    def made(self) -> int:
        """Names in a row that S3 did not have in this directory and that were made then."""
        return self.here.made

    @made.setter
    def made(self, count: int) -> None:
        if count != self.here.made:
            self._own().made = count

    def expected_in_vain(self) -> None:
        """A name was there that was expected to be missing: to expect that again takes twice as many that are made."""
        here = self._own()
        here.made, here.made_enough = 0, 2 * here.made_enough

    @property
    def empty_until(self) -> float:
        """Until when a directory is believed to have no names but those at hand."""
        return self.here.empty_until

    @empty_until.setter
    def empty_until(self, when: float) -> None:
        if when != self.here.empty_until:
            self._own().empty_until = when

    @property
    def times_ns(self) -> tuple[int, int] | None:
        """What a program set of what is pending, or of a directory: times of access and of change."""
        return self.here.times_ns

    @times_ns.setter
    def times_ns(self, times: tuple[int, int] | None) -> None:
        if times is not None or self.here is not NOTHING:
            self._own().times_ns = times

    @property
    def is_directory(self) -> bool:
        """A directory, not a file."""
        return self._object is None

    @property
    def prefix(self) -> str:
        """What all keys below this directory start with."""
        return self.location + "/" if self.location else ""

    @property
    def key(self) -> str:
        """The object's key, or the directory's prefix."""
        return self.prefix if self.is_directory else self.location

    @property
    def size_and_time(self) -> tuple[int, float, bool] | None:
        """Of `info`: size, Last-Modified, and whether it is archived. For a thousand names a page, so not by `info`."""
        return None if self._object is None else size_and_time(self._object)

    def is_version(self, info: ObjectInfo) -> bool:
        """A file that is this very version of the object."""
        return self._object is not None and same_version(self._object, pack(info))

    def renew(self, info: ObjectInfo | None) -> bool:
        """S3 says this now. True if it is the same version, or a directory as before: then it is kept. Else not."""
        if self._object is None or info is None:
            return self._object is None and info is None
        packed = pack(info)
        if packed != self._object:
            if not same_version(packed, self._object):
                return False
            self._object = packed
        return True

    def _own(self) -> Here:
        if self.here is NOTHING:
            self.here = Here()
        return self.here
