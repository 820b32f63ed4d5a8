"""The log of a process of ours beside the supervisor: the CSI driver's, and the one that pushes metrics.

In the forms of the supervisor's (engine/log_output.py), with MESSAGE_IDs and counts of what repeats. Called once, by
the commands, in the main thread.
"""

import logging
import threading
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from engine.log_output import Gated

# How often it is looked whether something was left out that is to be told.
_REPEATS_SECONDS: Final = 5.0


class LogFormat(StrEnum):
    """What is written to standard error, or instead of it."""

    TEXT = "text"
    JSON = "json"
    JOURNAL = "journal"


def set_up(name: str, form: LogFormat | None) -> None:
    """Log from now on to standard error, or to the journal.

    Args:
        name: of the process, in front of each text.
        form: None: `journal` if standard error is the journal's, else `text`.
    """
    # Late: each command line has the names above, and few of them log.
    from engine import stderr
    from engine.log_format import of_process
    from engine.log_output import hush, to_stderr

    stderr.unblock()
    output = to_stderr(None if form is None else form.value, of_process(name, mount=False), again=True)
    root = logging.getLogger()
    root.handlers[:] = [output]
    root.setLevel(logging.INFO)
    hush()
    threading.Thread(target=_tell_repeats, args=[output], name="log-repeats", daemon=True).start()


def _tell_repeats(output: "Gated") -> None:
    """What is left at the end is told by logging.shutdown, which Python calls."""
    never = threading.Event()
    while not never.wait(_REPEATS_SECONDS):
        output.tell_repeats()
