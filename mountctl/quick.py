"""`mountctl status` recognised without the command line's parser, which imports more than `status` does.

Called by cli.py before that. Monitors ask for the status all the time; typer converts what options are given by models,
and importing those takes longer than everything else. Knows the plain forms only: for every other, help and mistakes
included, it says nothing, and the parser decides.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

STATUS: Final = "status"
_RUNTIME_DIR: Final = "--runtime-dir"
# Options of every command that have a value.
_PLACES: Final = (_RUNTIME_DIR, "--config", "--state-dir")


@dataclass(frozen=True)
class StatusAsked:
    """What `status` is asked for.

    Args:
        runtime_dir: as it was given; None: it was not.
        names: of the mounts; none: all.
        as_json: in full, as JSON.
    """

    runtime_dir: Path | None
    names: tuple[str, ...]
    as_json: bool


def status_asked(arguments: Sequence[str]) -> StatusAsked | None:
    """The arguments as a plain `status`; None if they are anything else, or anything that could be."""
    runtime_dir, names, as_json, is_status = None, [], False, False
    rest = iter(arguments)
    for argument in rest:
        if argument in _PLACES:
            value = next(rest, "")
            if not value or value.startswith("-"):
                return None
            if argument == _RUNTIME_DIR:
                runtime_dir = Path(value)  # of several the last, which is the command's own
        elif not is_status:
            if argument != STATUS:
                return None
            is_status = True
        elif argument == "--json":
            as_json = True
        elif argument.startswith("-") or not argument:
            return None
        else:
            names.append(argument)
    return StatusAsked(runtime_dir, tuple(names), as_json) if is_status else None
