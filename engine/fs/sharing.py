"""Who has a file open, and whether that goes with whom else: many readers or one writer, as in Mountpoint.

Used by the file system. Pure. A handle whose descriptor was closed once may have others (dup, fork) that are still
open; the kernel tells of the last one only. So such a handle is *inactive*: it stands in nobody's way, becomes active
again with the next read or write, and is *overridden* for good when somebody opens the file for what it excludes.
"""

from enum import Enum, auto

from engine.errors import BadHandle, NotPermitted


class Use(Enum):
    """What a handle is to the others."""

    ACTIVE = auto()
    INACTIVE = auto()
    OVERRIDDEN = auto()


class Sharer:
    """One handle's part in it. `handle` is its number, once it has one."""

    __slots__ = ("handle", "use")

    def __init__(self) -> None:
        self.handle = 0
        self.use = Use.ACTIVE

    @property
    def is_active(self) -> bool:
        """It excludes others."""
        return self.use is Use.ACTIVE

    @property
    def is_inactive(self) -> bool:
        """A descriptor was closed, and none of its twins was used since."""
        return self.use is Use.INACTIVE

    @property
    def is_overridden(self) -> bool:
        """The file was opened for what excludes the handle, which is of no use any more."""
        return self.use is Use.OVERRIDDEN

    def closed_once(self) -> None:
        """A descriptor of the handle was closed."""
        if self.use is Use.ACTIVE:
            self.use = Use.INACTIVE

    def override(self) -> None:
        """The file was opened for what excludes this handle."""
        self.use = Use.OVERRIDDEN

    def used(self) -> None:
        """The handle is read or written. Raises BadHandle if it was overridden."""
        if self.use is Use.OVERRIDDEN:
            raise BadHandle("the file was opened anew after this descriptor's twin was closed")
        self.use = Use.ACTIVE


class Sharing:
    """All handles of one file."""

    def __init__(self) -> None:
        self._readers: set[Sharer] = set()
        self._writer: Sharer | None = None

    @property
    def empty(self) -> bool:
        """Nobody has the file open."""
        return not self._readers and self._writer is None

    def check_read(self) -> None:
        """Whether it may be opened for reading. Raises NotPermitted."""
        if self._writer is not None and self._writer.use is Use.ACTIVE:
            raise NotPermitted("the file is being written: it can be read when it is closed")

    def check_write(self) -> None:
        """Whether it may be opened for writing. Raises NotPermitted."""
        if self._writer is not None and self._writer.use is Use.ACTIVE:
            raise NotPermitted("the file is being written already")
        if any(reader.use is Use.ACTIVE for reader in self._readers):
            raise NotPermitted("the file is being read: it can be written when it is closed")

    def add_reader(self, reader: Sharer) -> None:
        """The file was opened for reading."""
        self._override_writer()
        self._readers.add(reader)

    def add_writer(self, writer: Sharer) -> list[Sharer]:
        """The file was opened for writing. Returns the readers that this has overridden."""
        self._override_writer()
        overridden = list(self._readers)
        for reader in overridden:
            reader.override()
        self._readers.clear()
        self._writer = writer
        return overridden

    def remove(self, sharer: Sharer) -> None:
        """The handle is gone, or has nothing more to write."""
        self._readers.discard(sharer)
        if self._writer is sharer:
            self._writer = None

    def _override_writer(self) -> None:
        if self._writer is not None:
            self._writer.override()
            self._writer = None


class Sharings:
    """Those of all files, by inode's number. Nothing is kept of a file that nobody has open."""

    def __init__(self) -> None:
        self._open: dict[int, Sharing] = {}

    def check_read(self, number: int) -> None:
        """Whether a file may be opened for reading. Raises NotPermitted."""
        if (sharing := self._open.get(number)) is not None:
            sharing.check_read()

    def check_write(self, number: int) -> None:
        """Whether a file may be opened for writing. Raises NotPermitted."""
        if (sharing := self._open.get(number)) is not None:
            sharing.check_write()

    def add_reader(self, number: int, reader: Sharer) -> None:
        """A file was opened for reading."""
        self._open.setdefault(number, Sharing()).add_reader(reader)

    def add_writer(self, number: int, writer: Sharer) -> list[Sharer]:
        """A file was opened for writing. Returns the readers that this has overridden."""
        return self._open.setdefault(number, Sharing()).add_writer(writer)

    def remove(self, number: int, sharer: Sharer) -> None:
        """The handle is gone, or has nothing more to write."""
        if (sharing := self._open.get(number)) is not None:
            sharing.remove(sharer)
            if sharing.empty:
                del self._open[number]
