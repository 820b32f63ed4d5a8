"""Keeps one place in the code from filling the log: of warnings that come by the thousand, the first of each while.

Used by log.py for every output. A program that tries a million files it may not read must not fill a disk; what was
left out is told with its number. At debug level nothing is left out. Never writes itself.
"""

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

# As many as a person reads through when something is wrong; 100 lines are about 20 KB.
LINES_MAX: Final = 100
# Soon enough again that a log shows that it goes on: a flood that never ends is 170 MB a day, at most, for each place.
WHILE_SECONDS: Final = 10.0


@dataclass
class _While:
    """What one place in the code has said since `began`, on the clock."""

    began: float
    said: int = 0
    left_out: int = 0


class FloodGate:
    """Decides which records are written.

    Args:
        clock: seconds that only go forward.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._places: dict[tuple[str, int], _While] = {}

    def passing(self, record: logging.LogRecord) -> Iterator[logging.LogRecord]:
        """The records to be written now: how many were left out, where that is over; and this one, or not."""
        now = self._clock()
        yield from self._summaries(now)
        if record.levelno < logging.WARNING or logging.getLogger().isEnabledFor(logging.DEBUG):
            yield record
            return
        place = (record.pathname, record.lineno)
        while_ = self._places.setdefault(place, _While(now))
        if while_.said < LINES_MAX:
            while_.said += 1
            yield record
        else:
            while_.left_out += 1

    def _summaries(self, now: float) -> Iterator[logging.LogRecord]:
        """One for each while that is over and had something left out; all that are over are forgotten."""
        over = [place for place, while_ in self._places.items() if now - while_.began >= WHILE_SECONDS]
        for place in over:
            while_ = self._places.pop(place)
            if while_.left_out:
                text = "and %d more like the %d above within %.0f s, left out"
                told = (while_.left_out, while_.said, WHILE_SECONDS)
                yield logging.LogRecord(__name__, logging.WARNING, *place, text, told, None)
