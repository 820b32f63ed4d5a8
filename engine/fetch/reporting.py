"""What a fetcher tells its engine, in packets as large as the engine is slow. Used by fetcher.py.

A report is sent at once if the engine's socket takes it. Otherwise what there is to tell adds up, and goes in one
packet when there is room: so a busy engine reads few packets, and nothing here grows beyond what is being fetched.
"""

import collections
import logging
import socket
from typing import Final

import trio

from engine.facts import facts_of, packed
from engine.fetch.counts import FetcherStats
from engine.fetch.messages import LOG_CHARACTERS_MAX, NAME_CHARACTERS_MAX, Failure, Log, Message, Report, encode

# Of a report, so that it fits a packet; the rest is in the next one.
_PLACED_MAX: Final = 300
_ENDED_MAX: Final = 4


class Reporter:
    """The sending half of a fetcher's socket.

    Args:
        sock: not blocking.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.stats: Final = FetcherStats(self.flush)
        self._sock = sock
        self._waiting: collections.deque[bytes] = collections.deque()  # packets that there was no room for
        self._placed: dict[int, int] = {}
        self._ended: list[tuple[int, bool, Failure | None]] = []
        self._blocked = trio.Event()

    def placed(self, number: int, count: int) -> None:
        """So many bytes of a Get are good. Told with the next flush."""
        self._placed[number] = count

    def ended(self, number: int, *, complete: bool, failure: Failure | None) -> None:
        """Nothing is written for a Get any more."""
        if complete:
            self._placed.pop(number, None)
        self._ended.append((number, complete, failure))
        self.flush()

    def say(self, message: Message) -> None:
        """Send what is no report."""
        self._waiting.append(encode(message))
        self.flush()

    def log(self, record: logging.LogRecord, text: str) -> None:
        """Have the engine log a record. It is left out while the engine does not read."""
        if not self._waiting:
            facts = packed(facts_of(record), NAME_CHARACTERS_MAX)
            self.say(Log(record.name, record.levelno, _cut(text), record.pathname, record.lineno, facts))

    def flush(self) -> None:
        """Tell all that there is to tell, or begin to wait for room."""
        while self._push():
            if (report := self._take()) is None:
                return
            self._waiting.append(encode(report))
        self._blocked.set()

    async def run(self) -> None:
        """Send what waits, when there is room. Until cancelled."""
        while True:
            await self._blocked.wait()
            await trio.lowlevel.wait_writable(self._sock)
            self._blocked = trio.Event()
            self.flush()

    def _take(self) -> Report | None:
        counted, said = self.stats.take()
        ended = self._ended[:_ENDED_MAX]
        placed = list(self._placed.items())[:_PLACED_MAX]
        if not (placed or ended or counted or said):
            return None
        del self._ended[: len(ended)]
        for number, _ in placed:
            del self._placed[number]
        return Report(placed, ended, counted, said)

    def _push(self) -> bool:
        """Send what waits; False if there is no room for all of it."""
        while self._waiting:
            try:
                self._sock.send(self._waiting[0])
            except BlockingIOError:
                return False
            except OSError:  # the engine is gone: who reads from it sees that too
                self._waiting.clear()
                return True
            self._waiting.popleft()
        return True


def _cut(text: str) -> str:
    """A text that is not too long: of a traceback the end tells what happened."""
    half = LOG_CHARACTERS_MAX // 2
    return text if len(text) <= LOG_CHARACTERS_MAX else f"{text[:half]} ... {text[-half:]}"
