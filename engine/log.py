"""Where an engine's log goes: stderr, a file that the supervisor opened, or nowhere. One line a record.

Called at a process's start, and by run.py when a file comes. On stderr each line has the mount's name, and journald
adds the time; a file is one mount's, so its lines have the time and no name. Never opens a file: an engine may not.
"""

import contextlib
import io
import logging
import os
import sys
import threading
from collections.abc import Callable
from typing import Any, Final, TextIO

from engine.flood import FloodGate

# Of a line that the supervisor is told: with its frame it fits a packet of the link, whatever characters it has.
LINE_CHARACTERS_MAX: Final = 4000

_FILE_FORMAT: Final = "%(asctime)s %(levelname)s %(message)s"


class _Output(logging.StreamHandler[TextIO]):
    """Writes records to a stream. What can't be written goes to stderr, told once: a full disk must not be a flood."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._told = False
        self._gate = FloodGate()

    def emit(self, record: logging.LogRecord) -> None:
        for each in self._gate.passing(record):
            super().emit(each)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 logging's name
        error = sys.exc_info()[1]
        if isinstance(error, OSError) and self.stream is not sys.stderr:
            if not self._told:
                self._told = True
                sys.stderr.write(f"the log file can't be written, and lines are lost: {error.strerror}\n")
        else:
            super().handleError(record)


def set_up(name: str, *, debug: bool = False, silent: bool = False) -> None:
    """Log records of this process to stderr as `LEVEL name: message`, with a time when nobody adds one.

    `silent`: nothing is logged at all.
    """
    root = logging.getLogger()
    if silent:
        root.handlers[:] = [logging.NullHandler()]
        return
    handler = _Output(sys.stderr)
    # systemd sets JOURNAL_STREAM when stderr is the journal, which stamps each line itself.
    time = "" if os.environ.get("JOURNAL_STREAM") else "%(asctime)s "
    handler.setFormatter(logging.Formatter(f"{time}%(levelname)s {name}: %(message)s"))
    root.handlers[:] = [handler]
    set_level(debug=debug)
    # botocore's debug records hold signed requests, and its warnings the traceback of a renewal that failed, with all
    # that a server said; each failure is told in a line of our own.
    for noisy in ("botocore", "urllib3"):
        logging.getLogger(noisy).setLevel(logging.CRITICAL)


def set_level(*, debug: bool) -> None:
    """From now on log at debug level, or at the usual one."""
    logging.getLogger().setLevel(logging.DEBUG if debug else logging.INFO)


def tell_also(tell: Callable[[str], object]) -> None:
    """Tell each line that goes to stderr to the supervisor, too, which has the last ones. Not those of debug level.

    Args:
        tell: takes a line; must not wait, and log at debug level at most.
    """
    root = logging.getLogger()
    if any(isinstance(each, _Output) for each in root.handlers):  # or nothing is to be logged at all
        root.addHandler(_Teller(tell))


class _Teller(logging.Handler):
    def __init__(self, tell: Callable[[str], object]) -> None:
        super().__init__(logging.INFO)
        self.setFormatter(logging.Formatter(_FILE_FORMAT))
        self._tell = tell
        self._gate = FloodGate()

    def emit(self, record: logging.LogRecord) -> None:
        for each in self._gate.passing(record):
            self._tell(self.format(each)[:LINE_CHARACTERS_MAX])


_lock: Final = threading.Lock()


def use_file(fd: int) -> None:
    """From now on log to this file, opened for appending; it is ours, and the one before is closed."""
    # Nothing is buffered: a record is one write, and what a full disk did not take is not tried again.
    raw: Any = io.FileIO(fd, "w")
    handler = _Output(io.TextIOWrapper(raw, encoding="utf-8", errors="backslashreplace", write_through=True))
    handler.setFormatter(logging.Formatter(_FILE_FORMAT))
    root = logging.getLogger()
    with _lock:
        before, root.handlers[:] = root.handlers[:], [handler]
    for each in before:
        if isinstance(each, _Output) and each.stream is not sys.stderr:
            with contextlib.suppress(OSError):  # its disk is full or gone; the new file is what counts
                each.stream.close()
