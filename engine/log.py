"""Where an engine's log goes: stderr or the journal, a file that the supervisor opened, or nowhere.

Called at a process's start, and by run.py when a file comes. On stderr each line has the mount's name, and journald
adds the time; a file is one mount's, so its lines have the time and no name. Never opens a file: an engine may not.
"""

import contextlib
import errno
import io
import logging
import os
import sys
import threading
from collections.abc import Callable
from typing import Any, Final

from engine.journald import Journal
from engine.log_format import JsonFormat, Split, TextFormat, of_process
from engine.log_output import Gated, ToStream, hush, to_stderr
from engine.logged import FileForm, Form, Level

# Of a line that the supervisor is told: with its frame it fits a packet of the link, whatever characters it has.
LINE_CHARACTERS_MAX: Final = 4000


class _Process:
    """What is logged about, for outputs that come later."""

    split: Split = of_process("engine", mount=False)
    tell: Callable[[str], object] | None = None  # to the supervisor


def set_up(
    name: str, *, mount: bool = True, level: Level = "info", form: Form | None = None, silent: bool = False
) -> None:
    """Log records of this process to stderr, or to the journal.

    Args:
        name: of the mount that it serves, or of itself.
        mount: it serves a mount.
        level: the least that is logged.
        form: see `to_stderr`.
        silent: nothing is logged at all.
    """
    root = logging.getLogger()
    _Process.split = split = of_process(name, mount=mount)
    if silent:
        root.handlers[:] = [logging.NullHandler()]
        return
    root.handlers[:] = [to_stderr(form, split)]
    set_level(level)
    hush()


def set_level(level: Level) -> None:
    """From now on log what is of this level, or above it."""
    logging.getLogger().setLevel(level.upper())


def tell_repeats(*, end: bool = False) -> None:
    """Tell how many records were left out, where the time has come; at the `end` of all. Often called."""
    for each in logging.getLogger().handlers:
        if isinstance(each, Gated):
            each.tell_repeats(end=end)


def tell_also(tell: Callable[[str], object]) -> None:
    """Tell each line that goes to stderr to the supervisor, too, which has the last ones. Not those of debug level.

    Args:
        tell: takes a line; must not wait, and log at debug level at most.
    """
    root = logging.getLogger()
    if any(isinstance(each, Gated) for each in root.handlers):  # or nothing is to be logged at all
        _Process.tell = tell
        root.addHandler(_Teller(tell))


class _Teller(Gated):
    def __init__(self, tell: Callable[[str], object]) -> None:
        super().__init__(_Process.split, logging.INFO)
        self.setFormatter(TextFormat(_Process.split, time=True, named=False))
        self._tell = tell

    def write(self, record: logging.LogRecord) -> None:
        self._tell(self.format(record)[:LINE_CHARACTERS_MAX])


_lock: Final = threading.Lock()


def use_file(fd: int, form: FileForm = "text") -> None:
    """From now on log to this file, opened for appending; it is ours, and the one before is closed."""
    # Nothing is buffered: a record is one write, and what a full disk did not take is not tried again.
    raw: Any = io.FileIO(fd, "w")
    handler = ToStream(
        io.TextIOWrapper(raw, encoding="utf-8", errors="backslashreplace", write_through=True), _Process.split
    )
    handler.setFormatter(
        JsonFormat(_Process.split) if form == "json" else TextFormat(_Process.split, time=True, named=False)
    )
    _replace(handler)


def use_stderr(form: Form | None, journal_fd: int | None = None, *, may_open: bool = False) -> None:
    """From now on log to stderr, or to the journal, in this form.

    Nothing happens where nothing is to be logged at all.

    Args:
        form: see `to_stderr`.
        journal_fd: a way to journald, which is ours; None: there is none, or it needs none.
        may_open: this process may open one itself.
    """
    if not any(isinstance(each, Gated) for each in logging.getLogger().handlers):
        if journal_fd is not None:
            os.close(journal_fd)
        return

    def opened() -> Journal:
        if journal_fd is None:
            raise FileNotFoundError(errno.ENOENT, "the supervisor has none")
        return Journal(fd=journal_fd)

    output = to_stderr(form, _Process.split, opened=None if may_open else opened)
    _replace(output, *([] if _Process.tell is None else [_Teller(_Process.tell)]))


def _replace(*outputs: Gated) -> None:
    root = logging.getLogger()
    tell_repeats(end=True)
    with _lock:
        before, root.handlers[:] = root.handlers[:], list(outputs)
    for each in before:
        if not isinstance(each, ToStream):
            each.close()
        elif each.stream is not sys.stderr:
            with contextlib.suppress(OSError):  # its disk is full or gone; the new file is what counts
                each.stream.close()
