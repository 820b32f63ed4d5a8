"""What a command prints while it runs, and how the terminal that it prints to is.

Called by commands that go on (`status --watch`, `events --follow`); all others write to sys.stdout, which cli.py
collects, so that a reader that has gone is met in one place. Of the standard library only, and little of it.
"""

import os
import sys
from typing import Final

# A terminal beside another on a laptop, where nobody tells how wide it is; tables that wrap can't be read.
COLUMNS: Final = 100
_LINES: Final = 24
# Narrower than this nothing of a table can be read, however it is cut.
_COLUMNS_MIN: Final = 40


class ReaderGone(Exception):
    """Nobody reads any more what a command prints (`| head`): it is over, and that is no failure."""


class CannotWrite(Exception):
    """What a command prints can't be written; the message says why."""


def is_terminal() -> bool:
    """Whether what is printed goes to a terminal."""
    stdout = sys.__stdout__
    try:
        return stdout is not None and stdout.isatty()
    except ValueError:  # it was closed
        return False


def has_colour(*, refused: bool = False) -> bool:
    """Whether to print colours: on a terminal that has them, unless somebody wants none.

    Args:
        refused: by `--no-color`. NO_COLOR (https://no-color.org) and TERM=dumb say the same.
    """
    return not (refused or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb") and is_terminal()


def size() -> tuple[int, int]:
    """Columns and lines to print to: the terminal's, or what is usual."""
    if is_terminal() and sys.__stdout__ is not None:
        try:
            found = os.get_terminal_size(sys.__stdout__.fileno())
        except OSError:
            return COLUMNS, _LINES
        if found.columns and found.lines:  # a terminal may not know
            return max(found.columns, _COLUMNS_MIN), found.lines
    return COLUMNS, _LINES


def write_now(text: str) -> None:
    """Print at once. Raises ReaderGone, CannotWrite."""
    stdout = sys.__stdout__
    if stdout is None:  # it was closed before we began
        raise ReaderGone
    try:
        # A name may have characters that this terminal does not.
        stdout.reconfigure(errors="backslashreplace")
        stdout.write(text)
        stdout.flush()
    except BrokenPipeError as error:
        raise ReaderGone from error
    except OSError as error:
        raise CannotWrite(error.strerror or str(error)) from error


def look_for_reader() -> None:
    """Raises ReaderGone if nobody reads any more: who has nothing to print for long would not hear of it."""
    import select

    if sys.__stdout__ is None:
        raise ReaderGone
    poll = select.poll()
    poll.register(sys.__stdout__.fileno(), 0)  # what is wrong with it is told all the same: poll(2)
    if any(seen & (select.POLLERR | select.POLLNVAL) for _, seen in poll.poll(0)):
        raise ReaderGone


def end_orderly() -> None:
    """Have SIGTERM and SIGHUP end the command as an error would, so that it leaves no screen and no child behind."""
    import signal

    def end(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)  # as shells have it

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGHUP, end)


def leave_output() -> None:
    """Have nothing more written to where it can't be: Python flushes again at its end, and would complain there."""
    if sys.__stdout__ is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno())
