"""What each operation costs: the exact requests to S3, counted by a proxy, and the page that promises them.

docs/concepts/requests.md has the table that `table()` makes of the cases below; a case that costs something else, or
a page that says something else, fails.
"""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from engine.namespace.lifetimes import DIRECTORY_SECONDS_MINIMAL, FILE_SECONDS_MINIMAL
from tests.conformance.observed import ObservedProxy
from tests.faults import FaultyProxy
from tests.servers import MotoServer

PAGE: Final = Path(__file__).parents[2] / "docs/concepts/requests.md"

# A case that is about what is still believed with `minimal` counts only if it was quicker than the belief (of a file,
# or at least of the directory that it is in); a busy machine gets that many chances.
CHANCES: Final = 30

FILES: Final = 12


@dataclass(frozen=True)
class Case:
    """An operation and its price.

    Args:
        what: in words, for the page.
        operation: does it, in a directory `d` of FILES files `f00`, `f01`, ... nobody has seen, but for `before`.
        minimal: the requests with `metadata-ttl = minimal`.
        lasting: with a TTL that has not passed.
        before: what was done already, and does not count.
        later: the TTL of `minimal` passes between the two.
        believed: with `minimal`, the operation relies on what `before` learned.
    """

    what: str
    operation: Callable[[Path], object]
    minimal: dict[str, int]
    lasting: dict[str, int]
    before: Callable[[Path], object] | None = None
    later: bool = False
    believed: bool = False


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


def _open(path: Path) -> None:
    os.close(os.open(path / "f00", os.O_RDONLY))


def _random_reads(path: Path) -> None:
    file = os.open(path / "large", os.O_RDONLY)
    try:
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_RANDOM)
        for offset in (2_000_000, 1_000_000, 2_500_000):
            assert len(os.pread(file, 16_384, offset)) == 16_384
    finally:
        os.close(file)


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
    Case("`ls`, then `cat` of all 12 files", _cat_all, {"LIST": 1, "GET": 12}, {"LIST": 1, "GET": 12}, believed=True),
    Case("the same, again", _cat_all, {"LIST": 1}, {"LIST": 1}, before=_cat_all, believed=True),
    Case(
        "3 random reads of a file of 3 MB", _random_reads, {"GET": 3}, {"GET": 3}, before=_stat("large"), believed=True
    ),
]


def table() -> str:
    """The table of the page."""
    rows = ["| operation | `metadata-ttl = minimal` | believed still (`metadata-ttl = 60`) |", "|---|---|---|"]
    rows += [f"| {case.what} | {_words(case.minimal)} | {_words(case.lasting)} |" for case in CASES]
    return "\n".join(rows) + "\n"


def _words(requests: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(requests.items())) or "none"


class _Counter:
    """Directories `d0`, `d1`, ... with the files that cases ask for, behind a proxy that counts."""

    def __init__(self, moto: MotoServer, bucket: str, mounted: ObservedProxy) -> None:
        self._moto = moto
        self._bucket = bucket
        self._mounted = mounted
        self._made = 0

    def count(self, case: Case) -> tuple[dict[str, int], float]:
        """The requests that the operation of a case made, and the seconds that it took with what was before."""
        self._made += 1
        path = self._mounted.path / f"d{self._made}"
        for number in range(FILES):
            self._moto.put(self._bucket, f"{path.name}/f{number:02}", b"content")
        if "large" in case.what or case.operation is _random_reads:
            self._moto.put(self._bucket, f"{path.name}/large", bytes(3_000_000))
        # The kernel gets to know the directory by a listing. A stat would send a HEAD beside its LIST and call it off,
        # and that could still arrive when the case's requests are being counted.
        began = time.monotonic()
        assert path.name in os.listdir(self._mounted.path)
        if case.before is not None:
            case.before(path)
        if case.later:
            time.sleep(1.2 * FILE_SECONDS_MINIMAL)
            path.stat()  # the directory's own second is none of the case's business
        counted = self._mounted.requests_of(lambda: case.operation(path))
        return counted, time.monotonic() - began


@pytest.fixture(scope="module")
def proxy(moto: MotoServer) -> Iterator[FaultyProxy]:
    with FaultyProxy(moto.endpoint) as running:
        yield running


@pytest.fixture(scope="module", params=["minimal", 60])
def counter(request: pytest.FixtureRequest, moto: MotoServer, proxy: FaultyProxy) -> Iterator[tuple[str, _Counter]]:
    bucket = moto.bucket()
    with ObservedProxy(proxy, bucket, metadata_ttl=request.param) as mounted:
        yield str(request.param), _Counter(moto, bucket, mounted)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.what)
def test_an_operation_costs_exactly_what_the_page_says(counter: tuple[str, _Counter], case: Case) -> None:
    """S48: no request more, and none less, which would mean that something is believed for too long."""
    ttl, counting = counter
    expected = case.minimal if ttl == "minimal" else case.lasting
    counted: dict[str, int] = {}
    for _ in range(CHANCES):
        counted, seconds = counting.count(case)
        believed = FILE_SECONDS_MINIMAL if case.believed else DIRECTORY_SECONDS_MINIMAL
        if ttl != "minimal" or seconds < believed:
            break
        if counted == expected:
            break
    assert counted == expected


def test_the_page_has_this_table() -> None:
    """S48: the table in docs/concepts/requests.md is the one that is tested."""
    assert table() in PAGE.read_text(), "put this into the page:\n" + table()
