"""The program's entry point, `main`: which command, and what becomes of what it prints.

stdout is data, stderr is talk; an error is one sentence and an exit code (guard.py), never a traceback. Commands are in
mountctl/commands, and they and the parser are imported when needed: `status` must be quick.
"""

import contextlib
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from mountctl.guard import guarded, say_unwritten
from mountctl.places import RUNTIME_DIR, RUNTIME_DIR_VARIABLE
from mountctl.quick import StatusAsked, status_asked
from mountctl.terminal import CannotWrite, ReaderGone, leave_output, write_now

# The program's other name: mount(8) calls /sbin/mount.TYPE for a file system of that type.
HELPER: Final = "mount.mountctl"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program and exit.

    Args:
        arguments: without the program's name; None: the process's.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if Path(sys.argv[0]).name == HELPER:
        from mountctl.mount_command import help_mount

        sys.exit(help_mount(given))
    asked = status_asked(given)
    # What a command prints before its end goes around this (terminal.py). So a reader that has gone, or a full disk, is
    # met in one place.
    data = io.StringIO()
    with contextlib.redirect_stdout(data):
        code = guarded(lambda: _command(given) if asked is None else _status(asked))
    sys.exit(_written(data.getvalue(), code))


def _status(asked: StatusAsked) -> int:
    from mountctl.commands import status as body

    place = asked.runtime_dir or os.environ.get(RUNTIME_DIR_VARIABLE) or RUNTIME_DIR
    return body.status(
        Path(place), list(asked.names), as_json=asked.as_json, no_color=asked.no_color, alive=asked.alive
    )


def _command(arguments: list[str]) -> Any:
    from mountctl import parser

    return parser.run(arguments)


def _written(data: str, code: int) -> int:
    """Write what the command printed. A reader that has gone (`| head`) changes no exit code."""
    try:
        if data:
            write_now(data)
    except ReaderGone:
        leave_output()
    except CannotWrite as error:
        leave_output()
        return say_unwritten(str(error))
    return code
