"""The last lines of a mount's log, for `mountctl logs` where neither a file nor the journal has them. In memory only.

Filled by engines.py with what engines tell of their log (the same text, so the same secrets are left out), and by
the supervisor's own log with what it says of a mount. Read by control/streams.py.
"""

import logging
from collections import deque
from collections.abc import Callable, Collection
from itertools import islice
from typing import Final

from engine.log_format import TextFormat
from engine.logged import Form
from mountctl.supervisor.changes import Changes
from mountctl.supervisor.log_levels import LogLevels

# What a person reads of a mount's trouble; and, with long lines, what a thousand mounts may cost: 64 MiB.
LINES_MAX: Final = 300
BYTES_MAX: Final = 64 * 1024


class LogLines:
    """The ring of one mount."""

    def __init__(self) -> None:
        self.changes = Changes()
        self.over = False  # the mount is gone: nothing comes any more, as one of the same name has another ring
        self._lines: deque[str] = deque()
        self._bytes = 0
        self._count = 0  # of all that ever came

    def add(self, line: str) -> None:
        """It was logged."""
        self._lines.append(line)
        self._bytes += len(line)
        self._count += 1
        while len(self._lines) > LINES_MAX or (self._bytes > BYTES_MAX and len(self._lines) > 1):
            self._bytes -= len(self._lines.popleft())
        self.changes.tell()

    def end(self) -> None:
        """The mount is gone."""
        self.over = True
        self.changes.tell()

    def after(self, seen: int) -> tuple[list[str], int]:
        """The lines after so many, as far as they are kept; and how many there were in all."""
        kept = max(0, self._count - max(0, seen))
        return list(islice(self._lines, max(0, len(self._lines) - kept), None)), self._count

    def last(self, lines: int) -> tuple[list[str], int]:
        """So many last lines, as far as they are kept; and how many there were in all."""
        return self.after(self._count - lines)


class Logs:
    """The rings of all mounts."""

    def __init__(self) -> None:
        self.levels: Final = LogLevels()
        self.form: Form | None = None  # of what engines and the broker log to standard error
        self.form_changed: Callable[[], None] = lambda: None  # AccessHub's: it tells the broker
        self._lines: dict[str, LogLines] = {}

    def of(self, name: str) -> LogLines:
        """The ring of the mount of this name."""
        return self._lines.setdefault(name, LogLines())

    def keep(self, names: Collection[str]) -> None:
        """Forget all but those of these mounts."""
        if len(self._lines) > len(names):
            for name in self._lines.keys() - set(names):
                self._lines.pop(name).end()

    def split(self, record: logging.LogRecord) -> tuple[str, str]:
        """Which mount the supervisor logs of: by our habit its message begins with the name and a colon."""
        text = record.getMessage()
        name, separator, rest = text.partition(": ")
        return (name, rest) if separator and name in self._lines else ("", text)

    def hear(self, record: logging.LogRecord, text: str) -> None:
        """Add what the supervisor logs of a mount."""
        name, _ = self.split(record)
        if name:
            self._lines[name].add(text)


class Listener(logging.Handler):
    """Passes the log of this process on to the rings.

    Args:
        logs: they.
    """

    def __init__(self, logs: Logs) -> None:
        super().__init__(logging.INFO)
        self.setFormatter(TextFormat(logs.split, time=True))
        self._logs = logs

    def emit(self, record: logging.LogRecord) -> None:
        """Called by logging."""
        self._logs.hear(record, self.format(record))
