"""Every promise of docs/concepts/semantics.md has a test that begins with its number, and every number is a promise."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

TESTS: Final = Path(__file__).parents[1]
PAGE: Final = TESTS.parent / "docs/concepts/semantics.md"

_PROMISE: Final = re.compile(r"^\* \*\*S(\d+)\*\* ", re.MULTILINE)
_NUMBERS: Final = re.compile(r"S\d+(, S\d+)*: ")


def _promised() -> list[int]:
    return [int(number) for number in _PROMISE.findall(PAGE.read_text())]


def _tested() -> Iterator[tuple[int, str]]:
    """The numbers that tests' docstrings begin with, each with the test's name."""
    for path in sorted(TESTS.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                found = _NUMBERS.match(ast.get_docstring(node) or "")
                for number in re.findall(r"\d+", found.group()) if found else ():
                    yield int(number), f"{path.name}::{node.name}"


def test_every_promise_has_a_test() -> None:
    without = sorted(set(_promised()) - {number for number, _ in _tested()})
    assert not without, f"promises that no test's docstring begins with: {without}"


def test_no_test_names_a_promise_that_is_not_made() -> None:
    promised = set(_promised())
    unknown = [f"S{number} in {test}" for number, test in _tested() if number not in promised]
    assert not unknown


def test_no_number_is_given_twice_and_each_promise_is_one_sentence() -> None:
    numbers = _promised()
    assert numbers
    assert len(set(numbers)) == len(numbers)
    items = re.split(r"\n(?=\* |\n)", PAGE.read_text())
    promises = [" ".join(item.split()) for item in items if _PROMISE.match(item.strip())]
    assert len(promises) == len(numbers)
    several = [promise for promise in promises if not promise.endswith(".") or re.search(r"\. [A-Z]", promise)]
    assert not several
