"""`mountctl check`: say what is wrong with a configuration, and what is unwise, or that nothing is.

Called by file_commands.py. The problems are its data, so they go to stdout. Reads files only: it needs no root and no
supervisor.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import typer

from mountctl.commands.mountpoints import Mountpoints
from mountctl.config.advice import advice
from mountctl.config.load import Examined, examine
from mountctl.errors import ConfigError, Problem

# Of the JSON's form. Keys are added freely; one that is renamed or removed makes it another.
SCHEMA: Final = 1


def check(config: Path, *, as_json: bool = False) -> int:
    """Print every error and warning, one a line, and return 2 for errors; without any a summary.

    Args:
        config: the file.
        as_json: print one JSON object instead, for editors.
    """
    examined = examine(config)
    warnings = advice(examined, Mountpoints().occupied)
    exit_code = ConfigError.exit_code if examined.problems else 0
    if as_json:
        typer.echo(json.dumps(_json(examined, warnings), indent=2, ensure_ascii=False))
        return exit_code
    for problem in (*examined.problems, *warnings):
        typer.echo(str(problem))
    if not examined.problems:
        typer.echo(_summary(examined, warnings))
    return exit_code


def _summary(examined: Examined, warnings: Sequence[Problem]) -> str:
    config = examined.config
    drop_ins = len(config.files) - 1
    also = f" with {_count(drop_ins, 'drop-in')}" if drop_ins else ""
    unwise = f", {_count(len(warnings), 'warning')}" if warnings else ""
    return f"{config.path}{also}: {_count(len(config.mounts), 'mount')}, no errors{unwise}"


def _json(examined: Examined, warnings: Sequence[Problem]) -> dict[str, object]:
    return {
        "schema": SCHEMA,
        "ok": not examined.problems,
        "files": [_name(file) for file in examined.config.files],
        "mounts": list(examined.config.mounts),
        "problems": [_problem(problem) for problem in (*examined.problems, *warnings)],
    }


def _problem(problem: Problem) -> dict[str, object]:
    return {
        "severity": "warning" if problem.is_warning else "error",
        "file": _name(problem.file),
        "line": problem.line,
        "column": problem.column,
        "key": problem.key,
        "reason": problem.reason,
    }


def _name(file: Path) -> str:
    """A file's name as text that JSON can carry: bytes that are not UTF-8 are written as escapes."""
    return os.fsencode(file).decode(errors="backslashreplace")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
