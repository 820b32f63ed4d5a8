"""Where the supervisor's own log goes, and in which form: `log-format`. Called by daemon.py and by_hand.py."""

import logging
from logging.handlers import MemoryHandler
from typing import Final

import trio

from engine.log_format import Split
from engine.log_output import Gated, hush, to_stderr
from engine.logged import Form
from mountctl.supervisor.vital import vital

# How often it is looked whether something was left out that is to be told.
_REPEATS_SECONDS: Final = 5.0
# Of a start: variables without effect, a file that is broken, line by line. What is more is told as text.
_HELD_RECORDS_MAX: Final = 1000


def of_nobody(record: logging.LogRecord) -> tuple[str, str]:
    """A `Split` for before mounts are known."""
    return "", record.getMessage()


def hold() -> None:
    """Keep what is logged until `set_up` is told the form, which the file says; as text at the end, if it never is."""
    root = logging.getLogger()
    output = to_stderr(None, of_nobody, again=True)
    root.handlers[:] = [MemoryHandler(_HELD_RECORDS_MAX, flushLevel=logging.CRITICAL + 1, target=output)]
    root.setLevel(logging.INFO)
    hush()


def set_up(form: Form | None = None, split: Split = of_nobody) -> None:
    """Log from now on to stderr, or to the journal behind it; again, if that has changed.

    Args:
        form: `log-format`; None: `journal` if stderr is the journal's, else `text`.
        split: says which mount a record is about.
    """
    root = logging.getLogger()
    before = [each for each in root.handlers if isinstance(each, Gated)]
    held = [each for each in root.handlers if isinstance(each, MemoryHandler)]
    others = [each for each in root.handlers if each not in (*before, *held)]
    output = to_stderr(form, split, again=True)
    root.handlers[:] = [output, *others]
    for early in held:
        early.setTarget(output)
        early.close()  # which passes on what it has
    for each in before:
        each.flush()
        each.close()
    root.setLevel(logging.INFO)
    hush()


@vital
async def tell_repeats() -> None:
    """Tell in time how many lines were left out. Until cancelled."""
    while True:
        await trio.sleep(_REPEATS_SECONDS)
        for each in logging.getLogger().handlers:
            if isinstance(each, Gated):
                each.tell_repeats()
