"""Where the supervisor's own log goes, and in which form: `log-format`. Called by daemon.py."""

import logging
from typing import Final

import trio

from engine.log_format import Split
from engine.log_output import Gated, hush, to_stderr
from engine.logged import Form
from mountctl.supervisor.vital import vital

# How often it is looked whether something was left out that is to be told.
_REPEATS_SECONDS: Final = 5.0


def of_nobody(record: logging.LogRecord) -> tuple[str, str]:
    """A `Split` for before mounts are known."""
    return "", record.getMessage()


def set_up(form: Form | None = None, split: Split = of_nobody) -> None:
    """Log from now on to stderr, or to the journal behind it; again, if that has changed.

    Args:
        form: `log-format`; None: `journal` if stderr is the journal's, else `text`.
        split: says which mount a record is about.
    """
    root = logging.getLogger()
    before = [each for each in root.handlers if isinstance(each, Gated)]
    others = [each for each in root.handlers if each not in before]
    root.handlers[:] = [to_stderr(form, split, again=True), *others]
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
