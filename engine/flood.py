"""Keeps what repeats from filling the log: the same is told once in each while, the like of it a hundred times.

Used for every output of a log (log_output.py). A program that reads one file that it may not read again and again, or
tries a million of them, must not fill a disk; what was left out is told with its number, at the latest at the end. At
debug level nothing is left out. Never writes itself.
"""

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from engine.facts import attach, facts_of

# As many as a person reads through when something is wrong; 100 lines are about 20 KB.
LINES_MAX: Final = 100
# Soon enough again that a log shows that it goes on: a flood that never ends is 170 MB a day, at most, for each kind.
WHILE_SECONDS: Final = 10.0

Naming = Callable[[logging.LogRecord], str]
_Kind = tuple[object, ...]


@dataclass
class _While:
    """What was said of one kind since `began`, on the clock."""

    began: float
    first: logging.LogRecord
    said: set[str] = field(default_factory=set)
    left_out: int = 0


class FloodGate:
    """Decides which records are written.

    Records are of one kind if they are from one place in the code and about one mount, with one errno and one code of
    S3; and the same if they are about the same key, or have none and the same text.

    Args:
        clock: seconds that only go forward.
        mount: says whose a record is.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, mount: Naming = lambda _record: "") -> None:
        self._clock = clock
        self._mount = mount
        self._kinds: dict[_Kind, _While] = {}  # in the order in which they began

    def passing(self, record: logging.LogRecord) -> Iterator[logging.LogRecord]:
        """The records to be written now: how many were left out, where that is over; and this one, or not."""
        yield from self.over()
        if record.levelno < logging.WARNING or logging.getLogger().isEnabledFor(logging.DEBUG):
            yield record
            return
        facts = facts_of(record)
        kind = (record.pathname, record.lineno, self._mount(record), facts.verb, facts.errno, facts.s3_code)
        while_ = self._kinds.get(kind)
        if while_ is None:
            while_ = self._kinds[kind] = _While(self._clock(), record)
        what = facts.key or record.getMessage()
        if what not in while_.said and len(while_.said) < LINES_MAX:
            while_.said.add(what)
            yield record
        else:
            while_.left_out += 1

    def over(self, *, end: bool = False) -> Iterator[logging.LogRecord]:
        """A record for each kind whose while is over and of which something was left out; at the `end` for each."""
        now = self._clock()
        while self._kinds:
            kind, while_ = next(iter(self._kinds.items()))
            seconds = now - while_.began
            if seconds < WHILE_SECONDS and not end:
                return
            del self._kinds[kind]
            if while_.left_out:
                yield _count(while_, min(seconds, WHILE_SECONDS))


def _count(while_: _While, seconds: float) -> logging.LogRecord:
    """What is told instead of those that were left out; it is about what the first one was about."""
    first = while_.first
    text = "%d more of these in the last %.0f s: %s"
    told = (while_.left_out, max(seconds, 1.0), first.getMessage())
    record = logging.LogRecord(first.name, first.levelno, first.pathname, first.lineno, text, told, None)
    return attach(record, replace(facts_of(first), repeats=while_.left_out))
