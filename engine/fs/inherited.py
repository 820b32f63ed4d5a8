"""What an engine leaves to the next one on its session, as plain data.

Made by the file system (`bequest`) and by ledger.py from a journal; taken up by filesystem.py, directories.py and
writing.py. No behaviour.
"""

from dataclasses import dataclass, field

from engine.fs.moving import Moved
from engine.namespace.listing import FIRST, Given, Start
from engine.s3.interface import Likeness, ObjectInfo
from engine.write.state import Uploaded


@dataclass(frozen=True, slots=True)
class InheritedFile:
    """A file that was open for reading.

    Args:
        number: its inode.
        info: the version.
        direct: past the page cache.
        active: the kernel knows of it for sure, and all its descriptors were open.
    """

    number: int
    info: ObjectInfo
    direct: bool
    active: bool = False


@dataclass(slots=True)
class InheritedDirectory:
    """A directory that was open, how its pages are asked for, as far as it was read, and what was given last."""

    number: int
    pages: list[Start] = field(default_factory=lambda: [FIRST])
    given: Given | None = None


@dataclass(slots=True)
class InheritedWriter:
    """A file that was open for writing.

    Args:
        number: its inode.
        key: its object.
        process: who opened it, 0 if that is not known.
        publishing: S3 was asked to make the object, which would be like this; what came of it is not known.
        uploaded: the object is in S3.
        failed: it was given up, and the program or the log was told.
    """

    number: int
    key: str
    process: int
    publishing: Likeness | None = None
    uploaded: Uploaded | None = None
    failed: bool = False

    @property
    def lost(self) -> bool:
        """What was written is gone, and nobody was told."""
        return not self.failed and self.uploaded is None and self.publishing is None


@dataclass(slots=True)
class Inherited:
    """What the engines before left.

    Args:
        mounted: when the first of them began, in seconds since the epoch.
        inodes: place and object (packed.py) of what the kernel knows, by number.
        pending: those of `inodes` that are here only, not in S3.
        removed: those of `inodes` whose names are not theirs any more.
        files: open for reading, by handle.
        writers: open for writing, by handle.
        directories: open, by handle.
        moved: those of `writers` whose uploads were handed over.
        uploads: keys of multipart uploads that may still be in S3, by upload id.
        asked: keys for which one was to be begun, with when S3 was asked; whether there is one is not known.
    """

    mounted: float | None = None
    inodes: dict[int, tuple[str, bytes | None]] = field(default_factory=dict)
    pending: set[int] = field(default_factory=set)
    removed: set[int] = field(default_factory=set)
    files: dict[int, InheritedFile] = field(default_factory=dict)
    writers: dict[int, InheritedWriter] = field(default_factory=dict)
    directories: dict[int, InheritedDirectory] = field(default_factory=dict)
    uploads: dict[str, str] = field(default_factory=dict)
    moved: Moved = field(default_factory=Moved)
    asked: dict[str, float] = field(default_factory=dict)

    @property
    def gone(self) -> set[int]:
        """Those of `inodes` whose names are not theirs, as what was being written is lost: a new file is gone, and an
        object that was to be replaced is looked up anew.
        """
        lost = {writer.number for writer in self.writers.values() if writer.uploaded is None}
        return self.removed | (lost - self.moved.numbers)
