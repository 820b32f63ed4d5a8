"""Reads /proc/self/mountinfo: what is mounted where, without touching any mount (a stat would hang with its engine)."""

import math
import os
import re
import select
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from mountctl.config.words import one_line

# A look at all mounts, every two seconds each, is to see the list as it was so lately at least: while hundreds come and
# go it changes all the time, and to read it takes 2 ms with 200.
_LATELY_SECONDS: Final = 0.5
# The kernel tells of what is mounted and unmounted, and not of a directory that is renamed, which has what is mounted
# below it elsewhere. So it is read now and then, whatever the kernel says (0.3 ms with 200), and parsed if it differs.
_UNTOLD_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class MountEntry:
    """One line of mountinfo."""

    mount_id: int
    parent_id: int  # of two at one path, the parent lies below, whichever came first
    minor: int
    mountpoint: str
    fstype: str
    source: str
    read_only: bool = False  # this mount of it, whatever its file system is

    def is_of(self, minor: int, fstype: str) -> bool:
        """Whether it is a mount of this file system, which has no device."""
        return (self.minor, self.fstype) == (minor, fstype)

    @property
    def told(self) -> str:
        """What it is, for a sentence: whoever mounts something may call it anything, also what is no text."""
        return one_line(f"{self.source} ({self.fstype})")


def parse(text: str) -> Iterator[MountEntry]:
    """The entries of a mountinfo text, in its order."""
    for line in _lines(text):
        left, _, right = line.partition(" - ")
        fields, more = left.split(" "), right.split(" ")
        yield MountEntry(
            mount_id=int(fields[0]),
            parent_id=int(fields[1]),
            minor=int(fields[2].partition(":")[2]),
            mountpoint=_unescape(fields[4]),
            fstype=more[0],
            source=_unescape(more[1]),
            read_only="ro" in fields[5].split(","),
        )


def entries() -> list[MountEntry]:
    """What is mounted now, as this process sees it."""
    return list(parse(_text()))


def _lines(text: str) -> list[str]:
    # Not splitlines(): what else Unicode takes for an end of a line may stand in anybody's path as it is.
    return text.rstrip("\n").split("\n") if text else []


def _text() -> str:
    # The kernel escapes \n in a path, and not \r, which open() would make one of otherwise.
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape", newline="\n") as file:
        return file.read()


class Table:
    """The list as it was at one moment, to be asked for many mounts."""

    def __init__(self, entries: list[MountEntry]) -> None:
        self._by_id: Final = {entry.mount_id: entry for entry in entries}
        self._at: Final[dict[str, list[MountEntry]]] = defaultdict(list)
        for entry in entries:
            self._at[entry.mountpoint].append(entry)

    def known(self, mount_id: int, minor: int, fstype: str) -> MountEntry | None:
        """The mount with this id, of this file system, wherever it was moved to; None if it is gone.

        Linux gives both numbers to the next mount and the next file system as soon as these are gone.
        """
        entry = self._by_id.get(mount_id)
        return entry if entry is not None and entry.is_of(minor, fstype) else None

    def at(self, path: str) -> MountEntry | None:
        """What lies on top at exactly this path."""
        return top(self._at.get(path, []))

    def covering(self, entry: MountEntry) -> MountEntry | None:
        """What is mounted over a mount, or over a directory above it, so that its path leads elsewhere."""
        chain, each = set(), self._by_id.get(entry.mount_id)
        while each is not None and each.mount_id not in chain:
            chain.add(each.mount_id)
            each = self._by_id.get(each.parent_id)
        path = PurePosixPath(entry.mountpoint)
        for place in (path, *path.parents):
            for other in self._at.get(str(place), ()):
                if other.mount_id not in chain and other.parent_id in chain:
                    return other
        return None


class _Lately:
    """The table that was read last. Read again when the kernel says that it has changed (proc_pid_mountinfo(5)), and
    now and then.
    """

    def __init__(self) -> None:
        self._fd = -1
        self._poll = select.poll()
        self._read_at = -math.inf
        self._changed = True
        self._text = ""
        self._table = Table([])

    def table(self, now: float) -> Table:
        if self._fd < 0:
            self._fd = os.open("/proc/self/mountinfo", os.O_RDONLY | os.O_CLOEXEC)
            self._poll.register(self._fd, select.POLLPRI)
        # Asked before it is read: what changes while it is read is told the next time.
        self._changed = self._changed or bool(self._poll.poll(0))
        if now >= self._read_at + (_LATELY_SECONDS if self._changed else _UNTOLD_SECONDS):
            self._changed, self._read_at = False, now
            if (text := _text()) != self._text:
                self._text, self._table = text, Table(list(parse(text)))
        return self._table


_LATELY: Final = _Lately()


def lately(now: float) -> Table:
    """What is mounted, or was a moment ago. Costs next to nothing while nothing is mounted or unmounted.

    Args:
        now: seconds on any clock that does not jump, the same one in each call.
    """
    return _LATELY.table(now)


def at(path: str) -> MountEntry | None:
    """What lies on top at exactly this path, or None."""
    return top(_at({path}))


def count(path: str) -> int:
    """How many mounts lie one upon the other at exactly this path."""
    return len(_at({path}))


def covering(entry: MountEntry) -> MountEntry | None:
    """What is mounted over a mount now, or over a directory above it."""
    path = PurePosixPath(entry.mountpoint)
    return Table(_at({str(place) for place in (path, *path.parents)})).covering(entry)


def _at(paths: set[str]) -> list[MountEntry]:
    # Of hundreds of lines only those are parsed that are meant: it is asked for each mount that comes and goes.
    wanted = {_escape(path) for path in paths}
    return list(parse("\n".join(line for line in _lines(_text()) if line.split(" ", 5)[4] in wanted)))


def top(stack: list[MountEntry]) -> MountEntry | None:
    """Which of the mounts at one path lies on top of the others; None if there is none."""
    covered = {entry.parent_id for entry in stack}
    return next((entry for entry in reversed(stack) if entry.mount_id not in covered), None)


def known(mount_id: int, minor: int, fstype: str) -> MountEntry | None:
    """The mount with this id, of this file system, if it is there still: see Table. Only its line is parsed."""
    begin = f"{mount_id} "
    mine = parse("\n".join(line for line in _lines(_text()) if line.startswith(begin)))
    return Table(list(mine)).known(mount_id, minor, fstype)


def of(minor: int, fstype: str) -> list[MountEntry]:
    """All mounts of one file system, which has no device: binds of it are others."""
    mine = f"0:{minor}"
    found = parse("\n".join(line for line in _lines(_text()) if line.split(" ", 3)[2] == mine))
    return [entry for entry in found if entry.is_of(minor, fstype)]


# The kernel writes these as three octal digits.
_ESCAPED: Final = str.maketrans({char: f"\\{ord(char):03o}" for char in " \t\n\\"})


def _escape(field: str) -> str:
    return field.translate(_ESCAPED)


def _unescape(field: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), field) if "\\" in field else field
