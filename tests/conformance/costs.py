"""Operations and their price in requests to S3: how it is counted, and how docs/concepts/requests.md tells it.

Used by test_requests.py and test_requests_of_writing.py, which have the cases.
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from engine.namespace.lifetimes import DIRECTORY_SECONDS_MINIMAL, FILE_SECONDS_MINIMAL
from tests.conformance.observed import ObservedProxy
from tests.faults import FaultyProxy
from tests.servers import S3Server

PAGE: Final = Path(__file__).parents[2] / "docs/concepts/requests.md"

# A case that is about what is still believed with `minimal` counts only if it was quicker than the belief (of a file,
# or at least of the directory that it is in); a busy machine gets that many chances.
CHANCES: Final = 30

FILES: Final = 12

# Of the file `large`, in bytes: some parts of reading, and far less than one of writing.
LARGE_BYTES: Final = 3_000_000


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
        believed: with `minimal`, the operation relies on what `before`, or its first step, learned.
        large: there is a file `large` of LARGE_BYTES, too.
        deep: there are FILES directories `t00`, `t01`, ... with a file each, too.
    """

    what: str
    operation: Callable[[Path], object]
    minimal: dict[str, int]
    lasting: dict[str, int]
    before: Callable[[Path], object] | None = None
    later: bool = False
    believed: bool = False
    large: bool = False
    deep: bool = False


def table(cases: Sequence[Case]) -> str:
    """A table of the page."""
    rows = ["| operation | `metadata-ttl = minimal` | believed still (`metadata-ttl = 60`) |", "|---|---|---|"]
    rows += [f"| {case.what} | {_words(case.minimal)} | {_words(case.lasting)} |" for case in cases]
    return "\n".join(rows) + "\n"


def _words(requests: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(requests.items())) or "none"


class Counter:
    """Directories `d0`, `d1`, ... with the files that cases ask for, behind a proxy that counts."""

    def __init__(self, server: S3Server, bucket: str, mounted: ObservedProxy, ttl: str) -> None:
        self.ttl = ttl
        self._server = server
        self._bucket = bucket
        self.path: Final = mounted.path
        self._mounted = mounted
        self._made = 0

    def count(self, case: Case) -> tuple[dict[str, int], float]:
        """The requests that the operation of a case made, and the seconds that it took with what was before."""
        self._made += 1
        path = self._mounted.path / f"d{self._made}"
        for number in range(FILES):
            self._server.put(self._bucket, f"{path.name}/f{number:02}", b"content")
        if case.large:
            self._server.put(self._bucket, f"{path.name}/large", bytes(LARGE_BYTES))
        for number in range(FILES if case.deep else 0):
            self._server.put(self._bucket, f"{path.name}/t{number:02}/x", b"content")
        # The kernel gets to know the directory by a listing. A stat would send a HEAD beside its LIST and call it off,
        # and that could still arrive when the case's requests are being counted.
        began = time.monotonic()
        assert path.name in os.listdir(self._mounted.path)
        if case.before is not None:
            case.before(path)
        if case.later:
            time.sleep(1.2 * FILE_SECONDS_MINIMAL)
            path.stat()  # the directory's own second is none of the case's business
        expected = case.minimal if self.ttl == "minimal" else case.lasting
        counted = self._mounted.requests_of(lambda: case.operation(path), at_least=sum(expected.values()))
        return counted, time.monotonic() - began

    def check(self, case: Case) -> None:
        """Fails unless the case costs what it says."""
        expected = case.minimal if self.ttl == "minimal" else case.lasting
        counted: dict[str, int] = {}
        for _ in range(CHANCES):
            counted, seconds = self.count(case)
            believed = FILE_SECONDS_MINIMAL if case.believed else DIRECTORY_SECONDS_MINIMAL
            if self.ttl != "minimal" or seconds < believed:
                break
            if counted == expected:
                break
        assert counted == expected


@contextlib.contextmanager
def counting(server: S3Server, ttl: str | int, **options: Any) -> Iterator[Counter]:
    """A counter over a new bucket, mounted with a `metadata-ttl` and other options."""
    bucket = server.bucket()
    with (
        FaultyProxy(server.endpoint) as proxy,
        ObservedProxy(proxy, bucket, metadata_ttl=ttl, **options) as mounted,
    ):
        yield Counter(server, bucket, mounted, str(ttl))
