"""`mountctl status` recognised without the command line's parser, which imports more than `status` does.

Called by cli.py before that. Monitors ask for the status all the time; typer converts what options are given by models,
and importing those takes longer than everything else. Knows the plain forms only: for every other, help and mistakes
included, it says nothing, and the parser decides.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

STATUS: Final = "status"
_RUNTIME_DIR: Final = "--runtime-dir"
# Options of every command that have a value.
_PLACES: Final = (_RUNTIME_DIR, "--config", "--state-dir")


class StatusAsked(NamedTuple):
    """What `status` is asked for.

    Args:
        runtime_dir: as it was given; None: it was not.
        names: of the mounts; none: all.
        as_json: in full, as JSON.
        no_color: without colours, also on a terminal.
        alive: only whether there is an answer.
    """

    runtime_dir: Path | None
    names: tuple[str, ...]
    as_json: bool
    no_color: bool = False
    alive: bool = False


def status_asked(arguments: Sequence[str]) -> StatusAsked | None:
    """The arguments as a plain `status`; None if they are anything else, or anything that could be."""
    runtime_dir, names, flags, is_status = None, [], set(), False
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
        elif argument in ("--json", "--no-color", "--alive"):
            flags.add(argument)
        elif argument.startswith("-") or not argument:
            return None
        else:
            names.append(argument)
    if not is_status:
        return None
    return StatusAsked(runtime_dir, tuple(names), "--json" in flags, "--no-color" in flags, "--alive" in flags)
