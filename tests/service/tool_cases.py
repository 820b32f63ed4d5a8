"""What ordinary tools do on a mount: commands, what they need, say and leave behind. Data, and the tables of a page.

test_tools.py runs them and compares docs/guides/tools.md with the tables, so the page has no line that nobody ran.
A command runs in a directory of the mount that holds `old.txt`, `d/one.txt` and `d/two.txt`; `$SOURCE` is a directory
on a disk, see `make_source`.
"""

import contextlib
import os
import sqlite3
import subprocess
import tarfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

# What each mount allows: its name, and how the page calls it.
MOUNTS: Final = {
    "plain": "",
    "delete": "`allow-delete`",
    "overwrite": "`allow-overwrite`",
    "all": "`allow-delete`, `allow-overwrite`",
    "read": "`read-only`",
}

# What is in the bucket before.
OBJECTS: Final = {"old.txt": b"old content\n", "d/one.txt": b"1\n", "d/two.txt": b"2\n"}

# More than one part of an upload (8 MiB).
BIG: Final = bytes(range(250)) * 36_000

TREE: Final = {
    "a": b"a\n",
    "empty": b"",
    "sub/b": b"b\n",
    "sub/deep/x": b"x\n",
}
ANY: Final[bytes | None] = None  # content that is checked by the command, or is none of the case's business

# What an object must be: these bytes, what a file of $SOURCE is, so many bytes, or ANY.
Content = bytes | str | int | None


@dataclass(frozen=True)
class Case:
    """A command.

    Args:
        command: for `sh`.
        on: the mount, of MOUNTS.
        exit: its exit code.
        says: in what it prints; all that it prints if that is empty.
        adds: objects that are there afterwards, or have other content.
        removes: objects that are not.
        free: what the names of further objects, which nobody looks at, begin with.
        instead: what to do where it fails; whatever of it is in backquotes is an option or a command that works.
        tool: which is needed beyond Debian's usual ones: such cases are slow, and skipped where it is not installed.
        quiet: what it prints is of no interest.
    """

    command: str
    on: str = "plain"
    exit: int = 0
    says: str = ""
    adds: Mapping[str, Content] = field(default_factory=dict)
    removes: Iterable[str] = ()
    free: str = ""
    instead: str = ""
    tool: str = ""
    quiet: bool = False

    @property
    def fails(self) -> bool:
        """It is in the page's table of what fails; some tools do so without an exit code."""
        return bool(self.exit or self.instead)


def tree(prefix: str, *names: str) -> dict[str, Content]:
    """TREE below a prefix, or these of it."""
    return {prefix + name: TREE[name] for name in names or TREE}


def make_source(directory: Path) -> None:
    """Make what `$SOURCE` holds: TREE as `plain`, in `plain.tar` and `plain.zip`; trees with modes and with a link;
    a large file; a sparse one.
    """
    for name, data in TREE.items():
        path = directory / "plain" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        os.utime(path, (10**9, 10**9))
    with tarfile.open(directory / "plain.tar", "w") as archive:
        archive.add(directory / "plain", "plain")
    with zipfile.ZipFile(directory / "plain.zip", "w") as packed:
        for name in TREE:
            packed.write(directory / "plain" / name, f"plain/{name}")
    for name, mode in (("run", 0o755), ("secret", 0o600)):
        path = directory / "modes" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
        path.chmod(mode)
    (directory / "big").write_bytes(BIG)
    (directory / "links").mkdir()
    (directory / "links/file").write_bytes(b"x")
    (directory / "links/link").symlink_to("file")
    (directory / "sparse").write_bytes(b"head")
    os.truncate(directory / "sparse", 1_000_000)


def make_repository(directory: Path) -> None:
    """A bare repository, `repository.git`."""
    work, git = directory / "work", ["git", "-c", "user.name=n", "-c", "user.email=e"]
    subprocess.run([*git, "init", "-q", "-b", "main", work], check=True)
    (work / "file").write_bytes(b"x")
    subprocess.run([*git, "-C", work, "add", "file"], check=True)
    subprocess.run([*git, "-C", work, "commit", "-q", "-m", "one"], check=True)
    bare = ["clone", "-q", "--bare", "--template=", work, directory / "repository.git"]
    subprocess.run([*git, *bare], check=True)


def make_database(directory: Path) -> None:
    """An SQLite database, `database`: one table, one number."""
    with contextlib.closing(sqlite3.connect(directory / "database")) as database:
        database.execute("create table t (a)")
        database.execute("insert into t values (42)")
        database.commit()


def works(cases: Iterable[Case]) -> str:
    """The page's table of what works."""
    rows = ["| command | needs |", "|---|---|"]
    rows += [f"| {_code(case.command)} | {_needs(case)} |" for case in cases if not case.fails]
    return "\n".join(rows) + "\n"


def fails(cases: Iterable[Case]) -> str:
    """The page's table of what does not."""
    rows = ["| command | on a mount with | says | exit | instead |", "|---|---|---|---|---|"]
    rows += [
        f"| {_code(case.command)} | {MOUNTS[case.on]} | {case.says} | {case.exit} | {_escaped(case.instead)} |"
        for case in cases
        if case.fails
    ]
    return "\n".join(rows) + "\n"


def _needs(case: Case) -> str:
    return "" if case.on == "read" else MOUNTS[case.on]


def _code(command: str) -> str:
    return f"`{_escaped(command)}`"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


def quoted(case: Case) -> Iterator[str]:
    """What stands in backquotes in a case's `instead`."""
    yield from case.instead.split("`")[1::2]
