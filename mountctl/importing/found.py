"""A mount of another program, as it was found: what was asked of which program, where that stands, and who runs it.

Made by fstab_lines.py, units.py, processes.py and command_lines.py; read by the programs' tables. No behaviour.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

from mountctl.config.secrets import looks_secret, name_looks_secret

# Options that have a secret for their value, though their names do not say so to everybody.
_SECRET: Final = re.compile(r"(?:^|[-_])pass$|^sse-c$|sse[-_]customer[-_]key")


class Program(StrEnum):
    """Whose mount it is."""

    MOUNT_S3 = "mount-s3"
    S3FS = "s3fs"
    GOOFYS = "goofys"
    GEESEFS = "geesefs"
    RCLONE = "rclone"


@dataclass(frozen=True)
class Given:
    """An option as it was given.

    Args:
        name: without dashes, as the program has it.
        value: None if there was none.
        is_word: it stood in `-o` or in fstab, not alone on a command line.
    """

    name: str
    value: str | None = None
    is_word: bool = False

    @property
    def shown(self) -> str:
        """As it can be printed: without what looks secret."""
        if self.value is None:
            return self.name
        hidden = looks_secret(self.value) or "@" in self.value.partition("://")[2] or _SECRET.search(self.name)
        if hidden or (name_looks_secret(self.name) and not self.value.startswith(("/", "~"))):
            return f"{self.name}=(hidden)"
        return f"{self.name}={self.value}"


@dataclass(frozen=True)
class FstabLine:
    """A line of fstab. `line` counts from 1; `text` is the line as it stands there."""

    path: Path
    line: int
    text: str


@dataclass(frozen=True)
class Unit:
    """A unit of systemd, which starts it. `path`: its file, if known."""

    name: str
    path: Path | None = None


@dataclass(frozen=True)
class Process:
    """A process that nothing known to us has started."""

    pid: int


@dataclass(frozen=True)
class User:
    """Who the program ran as, if not root."""

    name: str
    uid: int | None = None
    gid: int | None = None
    home: str | None = None


@dataclass(frozen=True)
class Found:
    """One mount of another program.

    Args:
        program: whose.
        source: the bucket, as the program takes it.
        mountpoint: where.
        options: in the order in which they were given.
        origin: where that stands, for a person: `/etc/fstab:12`.
        way: how it comes to be mounted; None: typed by somebody.
        environment: variables that the program is given, by name. Values may be secret.
        unread: names of variables whose values are not looked at (a live process's).
        user: who it runs as; None: root.
        also: where the same mount was found besides.
    """

    program: Program
    source: str
    mountpoint: str
    options: tuple[Given, ...]
    origin: str
    way: FstabLine | Unit | Process | None = None
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    unread: frozenset[str] = frozenset()
    user: User | None = None
    also: tuple[str, ...] = ()


@dataclass(frozen=True)
class Unusable:
    """Something that is a mount of one of the programs, and can't be made one of ours. `reason`: a sentence."""

    origin: str
    reason: str
