"""Handlers that write log records: to a stream or to journald, behind a flood gate, never waiting for a reader.

Made by log.py for engines, and by the supervisor for itself.
"""

import logging
import sys
from collections.abc import Callable, Iterator
from typing import Final, TextIO

from engine.flood import FloodGate
from engine.journald import Journal, is_stderr
from engine.log_format import JsonFormat, Split, TextFormat, journal_fields
from engine.logged import Form

# botocore's debug records hold signed requests, and its warnings the traceback of a renewal that failed, with all that
# a server said; each failure is told in a line of our own. watchfiles tells of whatever happens in a directory.
_NOISY: Final = {"botocore": logging.CRITICAL, "urllib3": logging.CRITICAL, "watchfiles": logging.WARNING}


class Gated(logging.Handler):
    """A handler of what a flood gate lets through.

    Args:
        split: whose a record is.
        level: the least that it takes.
    """

    def __init__(self, split: Split, level: int = logging.NOTSET) -> None:
        super().__init__(level)
        self._gate = FloodGate(mount=lambda record: split(record)[0])

    def emit(self, record: logging.LogRecord) -> None:
        """Called by logging."""
        self._write(self._gate.passing(record))

    def tell_repeats(self, *, end: bool = False) -> None:
        """Write how many were left out, where the time has come; at the `end` of all."""
        self.acquire()
        try:
            self._write(self._gate.over(end=end))
        finally:
            self.release()

    def flush(self) -> None:
        """Nothing is buffered; but what was left out is told, as this may be the end."""
        self.tell_repeats(end=True)

    def write(self, record: logging.LogRecord) -> None:
        """One record that is to be written."""
        raise NotImplementedError

    def _write(self, records: Iterator[logging.LogRecord]) -> None:
        for each in records:
            try:
                self.write(each)
            except Exception:  # noqa: BLE001 - as in logging: what can't be logged ends nothing
                self.handleError(each)


class ToStream(Gated):
    """Writes lines to a stream. What can't be written goes to stderr, told once: a full disk must not be a flood."""

    def __init__(self, stream: TextIO, split: Split) -> None:
        super().__init__(split)
        self.stream = stream
        self._told = False

    def write(self, record: logging.LogRecord) -> None:
        """One record: one write, whatever its lines."""
        self.stream.write(self.format(record) + "\n")

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 logging's name
        """Called where one could not be written."""
        error = sys.exc_info()[1]
        if isinstance(error, OSError) and self.stream is not sys.stderr:
            if not self._told:
                self._told = True
                sys.stderr.write(f"the log file can't be written, and lines are lost: {error.strerror}\n")
        else:
            super().handleError(record)


class ToJournal(Gated):
    """Sends records to journald; to a stream while that can't be reached.

    Args:
        journal: the way to it.
        split: whose a record is.
        otherwise: takes what can't be sent.
    """

    def __init__(self, journal: Journal, split: Split, otherwise: ToStream) -> None:
        super().__init__(split)
        self._journal = journal
        self._split = split
        self._otherwise = otherwise

    def write(self, record: logging.LogRecord) -> None:
        """One record."""
        try:
            self._journal.send(journal_fields(record, self._split))
        except OSError:
            self._otherwise.write(record)

    def close(self) -> None:
        """Let go of the journal."""
        self._journal.close()
        super().close()


def is_for_journal(wanted: Form | None) -> bool:
    """Whether what is logged in this form goes to journald."""
    return wanted == "journal" or (wanted is None and is_stderr())


def to_stderr(
    wanted: Form | None, split: Split, *, again: bool = False, opened: Callable[[], Journal] | None = None
) -> Gated:
    """What logs to stderr in this form, or to the journal behind it.

    Args:
        wanted: the form; None: `journal` if stderr is the journal's, else `text`.
        split: whose a record is.
        again: the journal's socket may be opened again later; and whoever reads this log wants to know of there being
            none.
        opened: gives the way to the journal, or raises OSError; None: it is opened here.
    """
    in_journal = is_stderr()
    stream = ToStream(sys.stderr, split)
    # The journal stamps each line itself.
    stream.setFormatter(JsonFormat(split) if wanted == "json" else TextFormat(split, time=not in_journal))
    if is_for_journal(wanted):
        try:
            return ToJournal(Journal(again=again) if opened is None else opened(), split, stream)
        except OSError as error:  # a container has none
            if wanted == "journal" and again:
                text = "log-format is journal, and the journal can't be reached (%s): logging to standard error"
                told = (text, (error.strerror,), None)
                stream.handle(logging.LogRecord(__name__, logging.WARNING, __file__, 0, *told))
    return stream


def hush() -> None:
    """Have libraries not log what is nobody's business."""
    for name, level in _NOISY.items():
        logging.getLogger(name).setLevel(level)
