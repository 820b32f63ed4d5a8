"""What the model speaks of: answers, what a mount allows, versions, inodes, open files and directories.

Used by promises.py, which has the rules, and by everything that compares with it. No rules here.
"""

import errno
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Final

# S30: what files and directories are believed with `minimal`, in seconds, by "is a directory".
MINIMAL: Final = {True: 1.0, False: 0.1}


class Refused(Exception):
    """A call fails with an errno."""

    def __init__(self, code: int) -> None:
        super().__init__(errno.errorcode[code])
        self.code = code

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Refused) and other.code == self.code

    def __hash__(self) -> int:
        return hash(self.code)


class AnyOf(tuple[Any, ...]):
    """Answers, any of which is right."""

    __slots__ = ()


@dataclass(frozen=True)
class Rights:
    """What the mount allows."""

    read_only: bool = False
    delete: bool = False
    overwrite: bool = False


@dataclass(frozen=True)
class Ttl:
    """`metadata-ttl` and `negative-metadata-ttl` in seconds; None is `minimal`."""

    known: float | None = None
    missing: float | None = None

    def seconds(self, *, directory: bool) -> float:
        """How long something that is there is believed."""
        return MINIMAL[directory] if self.known is None else self.known


@dataclass(frozen=True)
class Version:
    """One version of an object: its ETag follows from these. `parts` is 0 for one PUT."""

    data: bytes
    parts: int = 0


class Use(Enum):
    """What an open file is to others that want to open it: a closed twin makes it inactive (dup, fork)."""

    ACTIVE = auto()
    INACTIVE = auto()
    OVERRIDDEN = auto()


@dataclass
class Whole:
    """A directory that was listed to its end: until then no other names than these are believed to be there (S122)."""

    until: float
    names: set[str]


@dataclass(eq=False)
class Node:
    """What the mount showed at a path: a directory, or one version of a file. Another is another inode (S19)."""

    path: str
    version: Version | None  # None: a directory
    until: float = 0.0  # believed
    pending: bool = False  # not in S3 (yet): being written, or a directory made here
    held: bool = True  # the kernel remembers it
    emptied: float = float("-inf")
    filled: float = float("-inf")  # when the mount made an object below it last
    empty_until: float = float("-inf")  # believed to have no names but those that are known
    writer: "Writer | None" = None
    readers: "set[Reader]" = field(default_factory=set)
    number: int | None = None  # the mount's name for it, once it was shown

    @property
    def directory(self) -> bool:
        """It is a directory."""
        return self.version is None

    @property
    def new(self) -> bool:
        """A file that was made and not opened yet."""
        return self.pending and not self.directory and self.writer is None

    @property
    def shown(self) -> tuple[str, int]:
        """Kind and size."""
        return ("file", len(self.version.data)) if self.version is not None else ("dir", 0)


@dataclass(eq=False)
class Reader:
    """A file open for reading: pinned to a version (S24)."""

    node: Node
    version: Version
    use: Use = Use.ACTIVE


@dataclass(eq=False)
class Writer:
    """A file open for writing."""

    node: Node
    data: bytes = b""
    size: int = 0  # that a program gave it
    use: Use = Use.ACTIVE
    done: bool = False
    error: int | None = None

    @property
    def over(self) -> bool:
        """The object is there, or will never be."""
        return self.done or self.error is not None


@dataclass(eq=False)
class Listing:
    """A directory that is being read: who was there all the time, and who was there at any time."""

    node: Node
    always: set[str] | None = None  # None: not begun
    ever: set[str] = field(default_factory=set)
    got: list[str] = field(default_factory=list)
