"""What is wrong, gathered until all is known: where (a file and a key in it) and why.

Filled by config/tables.py and config/values.py, turned into problems with lines by config/load.py. Pure, but for
parsing for positions. Never decides what an error is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mountctl.config.positions import Positions
from mountctl.config.read import Document
from mountctl.config.words import dotted, one_line
from mountctl.errors import Problem

# More are one mistake made again and again, or hostile; a person mends the first and looks again.
PROBLEMS_MAX: Final = 1000


class TooMany(Exception):
    """PROBLEMS_MAX is reached: nothing more is to be looked for."""


@dataclass(frozen=True)
class Finding:
    """Something wrong at a key of a document, or (document None) with a file as a whole."""

    file: Path
    reason: str
    document: Document | None = None
    path: tuple[str, ...] = ()
    line: int | None = None
    column: int | None = None


class Findings:
    """All that was found so far.

    Args:
        are_warnings: whether all of it is legal.
    """

    def __init__(self, *, are_warnings: bool = False) -> None:
        self._found: list[Finding] = []
        self._are_warnings = are_warnings

    def __len__(self) -> int:
        return len(self._found)

    def at_key(self, document: Document, path: Sequence[str], reason: str) -> None:
        """A key is wrong, or missing: then the place is its table's. Raises TooMany."""
        self._add(Finding(document.path, reason, document, tuple(path)))

    def at_file(self, file: Path, reason: str, line: int | None = None, column: int | None = None) -> None:
        """A file can't be used. Raises TooMany."""
        self._add(Finding(file, reason, line=line, column=column))

    def problems(self, order: Sequence[Path]) -> list[Problem]:
        """Everything by file (in the order of reading) and line."""
        positions: dict[Path, Positions] = {}
        told = [_problem(finding, positions) for finding in self._found]
        rank = {file: index for index, file in enumerate(order)}
        told.sort(key=lambda p: (rank.get(p.file, len(rank)), p.line or 0, p.column or 0, p.key))
        if len(told) >= PROBLEMS_MAX:
            what = "warnings" if self._are_warnings else "errors"
            told.append(
                Problem(told[-1].file, None, None, "", f"more than {PROBLEMS_MAX} {what}: the rest is not told")
            )
        return [problem._replace(is_warning=True) for problem in told] if self._are_warnings else told

    def _add(self, finding: Finding) -> None:
        self._found.append(finding)
        if len(self._found) >= PROBLEMS_MAX:
            raise TooMany


def _problem(finding: Finding, positions: dict[Path, Positions]) -> Problem:
    document = finding.document
    reason = one_line(finding.reason)
    if document is None:
        return Problem(finding.file, finding.line, finding.column, "", reason)
    if document.path not in positions:
        positions[document.path] = Positions(document.source)
    line, column = positions[document.path].of(finding.path)
    return Problem(finding.file, line, column, dotted(finding.path), reason)
