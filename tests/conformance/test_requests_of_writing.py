"""What each operation of writing costs: the exact requests to S3, as in test_requests.py.

The programs are Debian's; another `mv` or `cp` may look at a name once more, or less.
"""

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.conformance.costs import FILES, PAGE, Case, Counter, counting, table
from tests.servers import S3Server

MiB: Final = 1024 * 1024

LOOKUP: Final = {"HEAD": 1, "LIST": 1}
PUT: Final = {"PUT": 1}
NEW: Final = LOOKUP | PUT


def _multipart(parts: int) -> dict[str, int]:
    return LOOKUP | {"CreateMultipartUpload": 1, "UploadPart": parts, "CompleteMultipartUpload": 1}


def _write(name: str, size: int) -> Callable[[Path], object]:
    return lambda path: (path / name).write_bytes(bytes(size))


def _write_and_sync(path: Path) -> None:
    with (path / "new").open("wb", buffering=0) as file:
        file.write(b"x")
        os.fsync(file.fileno())


def _write_out_of_order(path: Path) -> None:
    file = os.open(path / "new", os.O_WRONLY | os.O_CREAT)
    os.write(file, b"x")
    with pytest.raises(OSError, match="Invalid argument"):
        os.pwrite(file, b"x", 5)
    with contextlib.suppress(OSError):
        os.close(file)


def _read_new(path: Path) -> None:
    assert (path / "new").read_bytes() == b"\0"


def _list(path: Path) -> None:
    assert len(os.listdir(path)) == FILES


def _make_directory(path: Path) -> None:
    (path / "new").mkdir()


def _remove_directory(path: Path) -> None:
    (path / "new").rmdir()


def _unlink(path: Path) -> None:
    (path / "f00").unlink()


def _run(*command: str) -> Callable[[Path], object]:
    return lambda path: subprocess.run(command, cwd=path, check=True)


def _remove_tree(path: Path) -> None:
    subprocess.run(["rm", "-r", path.name], cwd=path.parent, check=True)


def _copy(*command: str) -> Callable[[Path], object]:
    """The command, with SOURCE replaced by a directory of FILES files."""

    def run(path: Path) -> None:
        with tempfile.TemporaryDirectory() as source:
            for number in range(FILES):
                Path(source, f"s{number:02}").write_bytes(b"x")
            words = [word.replace("SOURCE", source) for word in command]
            subprocess.run(["sh", "-ec", " ".join(words)], cwd=path, check=True)

    return run


CASES: Final = [
    Case("write a new file of 1 byte", _write("new", 1), NEW, NEW),
    Case("write a new file of nothing", _write("new", 0), NEW, NEW),
    Case("`touch` of a new file", _run("touch", "new"), NEW, NEW),
    Case("write a new file of 8 MiB", _write("new", 8 * MiB), NEW, NEW),
    Case("write a new file of 8 MiB and 1 byte", _write("new", 8 * MiB + 1), _multipart(2), _multipart(2)),
    Case("write a new file of 20 MiB", _write("new", 20 * MiB), _multipart(3), _multipart(3)),
    Case("write a new file, fsync, close", _write_and_sync, NEW, NEW),
    Case("write a new file out of order, within its first part", _write_out_of_order, LOOKUP, LOOKUP),
    Case("replace a file right after `ls`", _write("f00", 1), PUT, PUT, before=_list, believed=True),
    Case("replace a file later", _write("f00", 1), NEW, PUT, before=_list, later=True),
    Case("write a file and write it again", _write("new", 1), PUT, PUT, before=_write("new", 1), believed=True),
    Case("read a file right after it was written", _read_new, {"GET": 1}, {"GET": 1}, _write("new", 1), believed=True),
    Case("`mkdir`", _make_directory, LOOKUP, LOOKUP),
    Case("`rmdir` of a directory that is here only", _remove_directory, {}, {}, before=_make_directory),
    Case("delete a file right after `ls`", _unlink, {"DELETE": 1}, {"DELETE": 1}, before=_list, believed=True),
    Case("delete a file later", _unlink, LOOKUP | {"DELETE": 1}, {"DELETE": 1}, before=_list, later=True),
    Case("`rm -r` of a directory of 12 files", _remove_tree, {"LIST": 3, "DELETE": 12}, {"LIST": 3, "DELETE": 12}),
    Case(
        "`mv` of a file to another name",
        _run("mv", "f00", "new"),
        {"HEAD": 6, "LIST": 6, "GET": 1, "PUT": 1, "DELETE": 1},
        {"HEAD": 2, "LIST": 2, "GET": 1, "PUT": 1, "DELETE": 1},
        believed=True,
    ),
    Case(
        "`cp -r` of a directory of 12 files to a new one",
        _copy("cp", "-r", "SOURCE", "new"),
        {"HEAD": 7, "LIST": 15, "PUT": 12},
        {"HEAD": 1, "LIST": 1, "PUT": 12},
    ),
    Case(
        "`cp` of 12 new files into a directory",
        _copy("cp", "SOURCE/*", "."),
        {"HEAD": 12, "LIST": 36, "PUT": 12},
        {"HEAD": 2, "LIST": 3, "PUT": 12},
    ),
]


@pytest.fixture(scope="module", params=["minimal", 60])
def counter(request: pytest.FixtureRequest, able_server: S3Server) -> Iterator[Counter]:
    with counting(able_server, request.param, allow_delete=True, allow_overwrite=True) as made:
        # An engine asks once whether S3 means the ETags that it says of what is made of parts.
        (made.path / "first").write_bytes(bytes(8 * MiB + 1))
        yield made


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.what)
def test_an_operation_of_writing_costs_exactly_what_the_page_says(counter: Counter, case: Case) -> None:
    """S48: beyond its lookup, a file of up to a part is one request."""
    counter.check(case)


def test_the_page_has_this_table() -> None:
    """S48: the second table in docs/concepts/requests.md is the one that is tested."""
    assert table(CASES) in PAGE.read_text(), "put this into the page:\n" + table(CASES)
