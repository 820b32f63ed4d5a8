"""Every message that an operator may want to match has a kind: read out of the code, whatever it is that is added."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

import engine
import mountctl
from engine.message_ids import KINDS

ROOTS: Final = [Path(str(package.__file__)).parent for package in (engine, mountctl)]
# What is only of interest while something is looked for is told at info level and below. A traceback has INTERNAL_ERROR
# by itself (engine/facts.py).
TOLD: Final = frozenset({"warning", "error", "critical", "log"})
METHODS: Final = TOLD | {"debug", "info", "exception"}


@cache
def modules() -> list[tuple[Path, ast.Module]]:
    return [
        (path.relative_to(root.parent), ast.parse(path.read_text()))
        for root in ROOTS
        for path in sorted(root.rglob("*.py"))
    ]


def calls(module: ast.Module) -> Iterator[ast.Call]:
    """Of loggers, which are called `_log` and `logger` here."""
    for node in ast.walk(module):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in METHODS:
            whose = node.func.value
            if isinstance(whose, ast.Name) and whose.id in ("_log", "logger", "log"):
                yield node


def test_each_warning_and_error_says_of_which_kind_it_is() -> None:
    found, without = 0, []
    for path, module in modules():
        for call in calls(module):
            assert isinstance(call.func, ast.Attribute)
            if call.func.attr in TOLD:
                found += 1
                if not any(keyword.arg == "extra" for keyword in call.keywords):
                    without.append(f"{path}:{call.lineno}: {ast.unparse(call)}")

    assert found > 100
    assert not without, "each needs extra=about(KIND), of engine/message_ids.py"


def test_nobody_logs_by_a_logger_of_another_name() -> None:
    """The test above would not see it."""
    named = [
        (str(path), target.id)
        for path, module in modules()
        for node in ast.walk(module)
        if isinstance(node, ast.Assign) and "logging.getLogger(" in ast.unparse(node.value)
        for target in node.targets
        if isinstance(target, ast.Name)
    ]

    assert {name for _, name in named} <= {"_log", "logger", "log", "root"}, named


def test_each_kind_is_told_by_somebody() -> None:
    used = {
        node.id
        for path, module in modules()
        if path.name != "message_ids.py"
        for node in ast.walk(module)
        if isinstance(node, ast.Name)
    }

    assert KINDS.keys() <= used
