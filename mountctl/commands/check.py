"""`mountctl check`: say what is wrong with a configuration, and what is unwise, or that nothing is.

Called by file_commands.py. The problems are its data, so they go to stdout. Needs no root and
no supervisor. Touches nothing, and reads files only, unless it is to ask S3.
"""

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer

from mountctl.commands.mountpoints import Mountpoints
from mountctl.config.advice import advice
from mountctl.config.load import Examined, examine
from mountctl.config.tables import MOUNT
from mountctl.config.words import dotted, one_line
from mountctl.errors import ConfigError, Problem, shown_path
from mountctl.supervisor.slices import here

if TYPE_CHECKING:
    from engine.answers import Answer
    from mountctl.doctor.processes import Environment

# Of the JSON's form. Keys are added freely; one that is renamed or removed makes it another.
SCHEMA: Final = 1

# The file is right, and S3 would not give a mount what it needs.
EXIT_REFUSED: Final = 1
_STATES: Final = {True: "ok", False: "NO", None: "?"}


def check(config: Path, runtime: Path, *, as_json: bool = False, online: bool = False) -> int:
    """Print every error and warning, one a line, and return 2 for errors; without any a summary.

    Args:
        config: the file.
        runtime: of a supervisor, in whose environment S3 is asked if there is one.
        as_json: print one JSON object instead, for editors.
        online: ask S3, too, for every mount that has no error; 1 is returned if one would not get what it needs.

    Raises InquiryFailed.
    """
    examined = examine(config)
    warnings = advice(examined, Mountpoints().occupied, here.unmet)
    answers, asked_in = _ask(examined, runtime) if online else ([], None)
    refused = sum(any(step.ok is False for step in answer.steps) for answer in answers)
    exit_code = ConfigError.exit_code if examined.problems else EXIT_REFUSED if refused else 0
    if as_json:
        told = _json(examined, warnings)
        if asked_in is not None:
            told["online"] = [_online(answer) for answer in answers]
            told["environment"] = {"supervisor": asked_in.supervisor, "told": asked_in.told}
        typer.echo(json.dumps(told, indent=2, ensure_ascii=False))
        return exit_code
    for problem in (*examined.problems, *warnings):
        typer.echo(str(problem))
    for answer in answers:
        typer.echo("\n".join(_lines(answer)))
    if asked_in is not None and answers:
        typer.echo(f"({asked_in.told})")
    if not examined.problems:
        typer.echo(_summary(examined, warnings, refused))
    return exit_code


def _ask(examined: Examined, runtime: Path) -> tuple[list["Answer"], "Environment"]:
    from mountctl.commands import online

    environment = online.environment(runtime)
    return online.ask(list(examined.config.mounts.values()), environment), environment


def _lines(answer: "Answer") -> Iterator[str]:
    yield f"{dotted((MOUNT, answer.name))}:"
    for step in answer.steps:
        yield f"    {step.name:<11} {_STATES[step.ok]:<2}  {one_line(step.told)}"


def _online(answer: "Answer") -> dict[str, object]:
    return {"ok": all(step.ok is not False for step in answer.steps), **answer.model_dump(mode="json")}


def _summary(examined: Examined, warnings: Sequence[Problem], refused: int) -> str:
    config = examined.config
    drop_ins = len(config.files) - 1
    also = f" with {_count(drop_ins, 'drop-in')}" if drop_ins else ""
    unwise = f", {_count(len(warnings), 'warning')}" if warnings else ""
    no = f"; S3 refuses {_count(refused, 'mount')}" if refused else ""
    return f"{shown_path(config.path)}{also}: {_count(len(config.mounts), 'mount')}, no errors{unwise}{no}"


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
