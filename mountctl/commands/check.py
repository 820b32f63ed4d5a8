"""`mountctl check`: say what is wrong with a configuration, or that nothing is.

Called by cli.py. The problems are its data, so they go to stdout. Reads files only: it needs no root and no supervisor.
"""

from pathlib import Path

import typer

from mountctl.config.load import load
from mountctl.errors import ConfigError


def check(config: Path) -> int:
    """Print every problem, one a line, and return 2; or a summary and 0."""
    try:
        loaded = load(config)
    except ConfigError as error:
        for problem in error.problems:
            typer.echo(str(problem))
        return error.exit_code
    drop_ins = len(loaded.files) - 1
    also = f" with {_count(drop_ins, 'drop-in')}" if drop_ins else ""
    typer.echo(f"{config}{also}: {_count(len(loaded.mounts), 'mount')}, no errors")
    return 0


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
