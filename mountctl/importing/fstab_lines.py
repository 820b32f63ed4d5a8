"""Lines of fstab that mount S3 by one of the programs. Pure.

Programs of FUSE have two forms there: the type `fuse.PROGRAM`, and the type `fuse` with `PROGRAM#SOURCE`.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from mountctl.config import fstab
from mountctl.importing.found import Found, FstabLine, Given, Program, Unusable
from mountctl.importing.mount_words import split
from mountctl.importing.programs import NAMES, of_type

_ESCAPE: Final = re.compile(rb"\\([0-7]{3})")
_COLUMNS: Final = 6


def parse(text: str, path: Path) -> Iterator[Found | Unusable]:
    """The mounts of a file's text."""
    for number, line in enumerate(text.split("\n"), start=1):
        found = mount_of(line, FstabLine(path, number, line))
        if found is not None:
            yield found


def mount_of(line: str, way: FstabLine) -> Found | Unusable | None:
    """The mount of a line; None if it is of none of the programs."""
    columns = line.split()
    if len(columns) < 3 or columns[0].startswith("#"):
        return None
    if len(columns) > _COLUMNS and not all(each.isdecimal() for each in columns[_COLUMNS - 2 : _COLUMNS]):
        return None  # behind the two numbers mount(8) passes all by, a comment above all
    source, mountpoint, fstype = (_plain(each) for each in columns[:3])
    program = of_type(fstype)
    program, source = whose(program, source)
    if program is None:
        return None
    origin = f"{way.path}:{way.line}"
    try:
        options = words(program, _plain(columns[3]) if len(columns) > 3 else "")
    except fstab.FstabError as error:
        return Unusable(origin, str(error))
    environment = {
        each.name.removeprefix("env."): each.value for each in options if each.name.startswith("env.") and each.value
    }
    return Found(
        program=program,
        source=source,
        mountpoint=mountpoint,
        options=tuple(each for each in options if not each.name.startswith("env.")),
        origin=origin,
        way=way,
        environment=environment,
    )


def whose(program: Program | None, source: str) -> tuple[Program | None, str]:
    """The program, which may stand in front of the source with a `#`, and the source alone."""
    name, hash_, rest = source.partition("#")
    named = NAMES.get(name.rpartition("/")[2]) if hash_ else None
    return (program, source) if named is None else (named, rest)


def words(program: Program, text: str) -> list[Given]:
    """The options of a line, as the program reads them. Raises fstab.FstabError."""
    if program is Program.MOUNT_S3:
        return [_given(each) for each in fstab.split(text) if each]
    found = split(text)
    if program is Program.RCLONE:  # its helper makes flags of them
        return [each if _is_kept(each) else Given(each.name.replace("_", "-"), each.value) for each in found]
    if program in (Program.GOOFYS, Program.GEESEFS):  # a flag has its dashes, and all else is for FUSE
        return [Given(each.name.lstrip("-"), each.value) if each.name.startswith("-") else each for each in found]
    return found


def _is_kept(given: Given) -> bool:
    return given.name.startswith(("_", "x-", "env."))


def _given(word: str) -> Given:
    name, has_value, value = word.partition("=")
    return Given(name, value if has_value else None, is_word=True)


def _plain(column: str) -> str:
    r"""A column without fstab's escapes, which stand for bytes: \040 is a blank."""
    plain = _ESCAPE.sub(lambda found: bytes([int(found[1], 8) & 0xFF]), column.encode(errors="surrogateescape"))
    return plain.decode(errors="surrogateescape")
