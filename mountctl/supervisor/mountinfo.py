"""Reads /proc/self/mountinfo: what is mounted where, without touching any mount (a stat would hang with its engine)."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class MountEntry:
    """One line of mountinfo."""

    mount_id: int
    parent_id: int  # of two at one path, the parent lies below, whichever came first
    minor: int
    mountpoint: str
    fstype: str
    source: str


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
        )


def entries() -> list[MountEntry]:
    """What is mounted now, as this process sees it."""
    return list(parse(_text()))


def _lines(text: str) -> list[str]:
    # Not splitlines(): what else Unicode takes for an end of a line may stand in anybody's path as it is.
    return text.rstrip("\n").split("\n") if text else []


def _text() -> str:
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        return file.read()


def at(path: str) -> MountEntry | None:
    """What lies on top at exactly this path, or None."""
    # Of hundreds of lines only those are parsed that may be meant: it is asked for each mount that comes and goes.
    escaped = f" {_escape(path)} "
    lines = [line for line in _lines(_text()) if escaped in line]
    return top([entry for entry in parse("\n".join(lines)) if entry.mountpoint == path])


def top(stack: list[MountEntry]) -> MountEntry | None:
    """Which of the mounts at one path lies on top of the others; None if there is none."""
    covered = {entry.parent_id for entry in stack}
    return next((entry for entry in reversed(stack) if entry.mount_id not in covered), None)


def by_id(mount_id: int) -> MountEntry | None:
    """The mount with this id, wherever it was moved to, or None if it is gone."""
    begin = f"{mount_id} "
    return next(parse("\n".join(line for line in _lines(_text()) if line.startswith(begin))), None)


def has(mount_id: int) -> bool:
    """Whether there is a mount with this id. For looking often: nothing is parsed."""
    with open("/proc/self/mountinfo", "rb") as file:
        return f"\n{mount_id} ".encode() in b"\n" + file.read()


# The kernel writes these as three octal digits.
_ESCAPED: Final = str.maketrans({char: f"\\{ord(char):03o}" for char in " \t\n\\"})


def _escape(field: str) -> str:
    return field.translate(_ESCAPED)


def _unescape(field: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), field) if "\\" in field else field
