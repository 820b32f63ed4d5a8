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
    mounts = "1 mount" if len(loaded.mounts) == 1 else f"{len(loaded.mounts)} mounts"
    drop_ins = f" (and {len(loaded.files) - 1} of its drop-ins)" if len(loaded.files) > 1 else ""
    typer.echo(f"{config}{drop_ins}: {mounts}, no errors")
    return 0
