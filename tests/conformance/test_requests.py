"""What each operation of reading costs: the exact requests to S3, counted by a proxy, and the page that promises them.

docs/concepts/requests.md has the table that costs.py makes of the cases below; a case that costs something else, or
a page that says something else, fails. test_requests_of_writing.py has the cases of writing.
"""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from engine.namespace.lifetimes import FILE_SECONDS_MINIMAL
from tests.conformance.costs import FILES, PAGE, Case, Counter, counting, table
from tests.servers import S3Server


def _stat(name: str) -> Callable[[Path], object]:
    return lambda path: (path / name).stat()


def _missing(path: Path) -> None:
    assert not (path / "missing").exists()


def _cat(name: str) -> Callable[[Path], object]:
    return lambda path: (path / name).read_bytes()


def _list(path: Path) -> None:
    assert len(os.listdir(path)) == FILES


def _list_long(path: Path) -> None:
    with os.scandir(path) as entries:
        assert len([entry.stat() for entry in entries]) == FILES


def _ls_long(path: Path) -> None:
    subprocess.run(["ls", "-l", path], check=True, stdout=subprocess.DEVNULL)


def _cat_all(path: Path) -> None:
    for name in os.listdir(path):
        assert (path / name).read_bytes()


def _cat_names(path: Path) -> None:
    """Of files that are known by a listing, in its order."""
    for number in range(FILES):
        assert (path / f"f{number:02}").read_bytes()


def _cat_half(path: Path) -> None:
    for number in range(FILES // 2):
        assert (path / f"f{number:02}").read_bytes()


def _find(path: Path) -> None:
    found = subprocess.run(["find", path], check=True, stdout=subprocess.PIPE).stdout
    assert found.count(b"\n") == 1 + 3 * FILES


def _list_three(path: Path) -> None:
    for name in sorted(os.listdir(path))[-FILES:][:3]:
        assert os.listdir(path / name) == ["x"]


def _open(path: Path) -> None:
    os.close(os.open(path / "f00", os.O_RDONLY))


def _walk(path: Path) -> None:
    """Read a directory, and ask for each file's attributes when the kernel believes in them no more, as `du` does."""
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        names = os.listdir(directory)
        time.sleep(1.2 * FILE_SECONDS_MINIMAL)
        assert len([os.stat(name, dir_fd=directory) for name in names]) == FILES
    finally:
        os.close(directory)


def _random_reads(path: Path) -> None:
    file = os.open(path / "large", os.O_RDONLY)
    try:
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_RANDOM)
        for offset in (2_000_000, 1_000_000, 2_500_000):
            assert len(os.pread(file, 16_384, offset)) == 16_384
    finally:
        os.close(file)


UNSEEN: Final = {"HEAD": 2, "LIST": 6, "GET": 6}


def _cat_unseen(path: Path) -> None:
    """Of files whose names are known from elsewhere."""
    for number in range(FILES // 2):
        assert (path / f"f{number:02}").read_bytes()


CASES: Final = [
    Case("`stat` of a file", _stat("f00"), {"HEAD": 1, "LIST": 1}, {"HEAD": 1, "LIST": 1}),
    Case("`stat` of a name that is not there", _missing, {"HEAD": 1, "LIST": 1}, {"HEAD": 1, "LIST": 1}),
    Case("the same again", _missing, {"HEAD": 1, "LIST": 1}, {}, before=_missing),
    Case("`stat` of a file, again at once", _stat("f00"), {}, {}, before=_stat("f00"), believed=True),
    Case("`stat` of a file, again later", _stat("f00"), {"HEAD": 1, "LIST": 1}, {}, before=_stat("f00"), later=True),
    Case("open and close a file right after its `stat`", _open, {}, {}, before=_stat("f00"), believed=True),
    Case("open and close a file later", _open, {"HEAD": 1, "LIST": 1}, {}, before=_stat("f00"), later=True),
    Case("`cat` of a small file", _cat("f00"), {"HEAD": 1, "LIST": 1, "GET": 1}, {"HEAD": 1, "LIST": 1, "GET": 1}),
    Case("`cat` of it, again later", _cat("f00"), {"HEAD": 1, "LIST": 1}, {}, before=_cat("f00"), later=True),
    Case("`cat` of a small file right after `ls`", _cat("f00"), {"GET": 1}, {"GET": 1}, before=_list, believed=True),
    Case("`ls` of a directory, for each 1,000 entries", _list, {"LIST": 1}, {"LIST": 1}),
    Case("`ls -l` of it, for each 1,000 entries", _ls_long, {"LIST": 1}, {"LIST": 1}, believed=True),
    Case("the same, again", _list_long, {"LIST": 1}, {"LIST": 1}, before=_list_long),
    Case("`du` of it, however large, for each 1,000 entries", _walk, {"LIST": 1}, {"LIST": 1}),
    Case("`ls`, then `cat` of all 12 files", _cat_all, {"LIST": 1, "GET": 12}, {"LIST": 1, "GET": 12}, believed=True),
    Case("the same, again", _cat_all, {"LIST": 1}, {"LIST": 1}, before=_cat_all, believed=True),
    Case(
        "`cat` of all 12 files, some time after `ls`",
        _cat_names,
        {"HEAD": 11, "LIST": 12, "GET": 12},
        {"GET": 12},
        before=_list,
        later=True,
    ),
    Case("`cat` of the first 6 right after `ls`", _cat_half, {"GET": 12}, {"GET": 12}, before=_list, believed=True),
    Case("`cat` of 6 files that were never listed", _cat_unseen, UNSEEN, UNSEEN),
    Case("`find` of a directory with 12 directories", _find, {"LIST": 13}, {"LIST": 13}, deep=True),
    Case("`ls` of it, and of the first 3 of them", _list_three, {"LIST": 7}, {"LIST": 7}, deep=True),
    Case(
        "3 random reads of a file of 3 MB",
        _random_reads,
        {"GET": 3},
        {"GET": 3},
        before=_stat("large"),
        believed=True,
        large=True,
    ),
]


@pytest.fixture(scope="module", params=["minimal", 60])
def counter(request: pytest.FixtureRequest, able_server: S3Server) -> Iterator[Counter]:
    with counting(able_server, request.param) as made:
        yield made


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.what)
def test_an_operation_costs_exactly_what_the_page_says(counter: Counter, case: Case) -> None:
    """S48: no request more, and none less, which would mean that something is believed for too long."""
    counter.check(case)


def test_the_page_has_this_table() -> None:
    """S48: the table in docs/concepts/requests.md is the one that is tested."""
    assert table(CASES) in PAGE.read_text(), "put this into the page:\n" + table(CASES)
