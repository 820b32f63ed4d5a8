"""The engine's side of one fetcher: asks it, hears its reports, and knows when it can't be relied on any more.

Made by fetchers.py. Whatever happens to a fetcher, no read of a program fails for it: a GET that it does not bring to
its end is the caller's to go on with. And no memory is used again while a fetcher may still write to it: a GET is over
when its fetcher says so, or is dead.
"""

import logging
import socket
from collections.abc import Callable
from typing import Final, Protocol

import trio

from engine.facts import about, attach, unpacked
from engine.fetch import counts
from engine.fetch.messages import (
    PACKET_BYTES_MAX,
    Cancel,
    Failure,
    Get,
    Keep,
    Log,
    LogFrom,
    Message,
    Ping,
    Rejected,
    Report,
    Use,
    decode,
    encode,
    error_of,
)
from engine.logged import Level
from engine.message_ids import FETCHER_GONE
from engine.stats import EngineStats

_log = logging.getLogger(__name__)

# Packets read before other tasks run: each takes some 10 us.
_READ_MAX: Final = 32


class Process(Protocol):
    """A fetcher's process."""

    @property
    def sock(self) -> socket.socket:
        """To it."""
        ...

    async def end(self) -> None:
        """Kill it, and wait until nothing of it writes to the arena."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class _Getting:
    """A GET on its way."""

    __slots__ = ("_progress", "_total", "ended", "failure", "lost", "placed")

    def __init__(self, total: int, progress: Callable[[int], None]) -> None:
        self._total = total
        self._progress = progress
        self.placed = 0  # bytes that are good
        self.failure: Failure | None = None
        self.ended = trio.Event()

    def reach(self, placed: int) -> None:
        """So many bytes are good."""
        if placed > self.placed:
            self.placed = placed
            self._progress(placed)

    def end(self, *, complete: bool = False, failure: Failure | None = None) -> None:
        """Nothing more is written."""
        if complete:
            self.reach(self._total)
        self.failure = failure
        self.ended.set()


class Remote:
    """One fetcher. `serve` is to run all the while that it is used.

    Args:
        process: it; owned.
        stats: what it counts is added here.
        rejected: S3 refuses the keys that it was told last.
    """

    def __init__(self, process: Process, stats: EngineStats, rejected: Callable[[], None]) -> None:
        process.sock.setblocking(False)
        self.alive = True
        self.outstanding = 0  # bytes asked for and not placed yet
        self._process = process
        self._sock = process.sock
        self._stats = stats
        self._rejected = rejected
        self._uses = 0
        self._number = 0
        self._getting: dict[int, _Getting] = {}
        self._packet = memoryview(bytearray(PACKET_BYTES_MAX))
        self._asked = False  # by the last `check`
        self._heard = False  # anything since then
        self._used = False
        self._trouble: str | None = None

    def use(self, access: str) -> None:
        """Have it use this Access, as JSON."""
        self._uses += 1
        self._tell(Use(access))

    def keep(self) -> None:
        """Tell it that there are no other keys for now."""
        self._tell(Keep())

    def set_log_level(self, level: Level) -> None:
        """Have it log what is of this level, or above it."""
        self._tell(LogFrom(level))

    async def get(
        self, key: str, *, offset: int, places: list[tuple[int, int]], if_match: str, progress: Callable[[int], None]
    ) -> int:
        """Have bytes of an object put into these places of the arena; as ObjectClient.get_object.

        Returns how many bytes are good: fewer than asked for if the fetcher could not go on. Raises S3Error.
        """
        total = sum(length for _, length in places)
        self._number += 1
        number, getting = self._number, _Getting(total, progress)
        if not (self.alive and self._post(Get(number, key, if_match, offset, places))):
            return 0
        self._used = True
        self.outstanding += total
        self._getting[number] = getting
        try:
            await getting.ended.wait()
        except trio.Cancelled:
            self._tell(Cancel(number))
            with trio.CancelScope(shield=True):
                await getting.ended.wait()
            raise
        finally:
            del self._getting[number]
            self.outstanding -= total
        if getting.failure is not None:
            raise error_of(getting.failure, key)
        return getting.placed

    def take_used(self) -> bool:
        """Whether anything was asked of it since the last call."""
        used, self._used = self._used or bool(self._getting), False
        return used

    async def serve(self) -> None:
        """Hear it until it is gone or this is cancelled; then it is ended, and what it was asked for is the askers'."""
        try:
            while await self._read():
                pass
            self._trouble = self._trouble or "it has died"
        finally:
            self.alive = False
            try:
                with trio.CancelScope(shield=True):
                    await self._process.end()
                trio.lowlevel.notify_closing(self._sock)
                self._process.close()
            finally:  # or an error of ours would leave their readers waiting for ever
                for getting in self._getting.values():
                    getting.end()
        told = "a fetcher is gone: %s; what it was fetching is fetched by others"
        _log.warning(told, self._trouble, extra=about(FETCHER_GONE))

    def check(self) -> None:
        """To be called every few seconds: one that has not said a word since the last call, though asked, is stuck."""
        if self._asked and not self._heard:
            self._give_up("it does not answer")
            return
        self._asked, self._heard = bool(self._getting), False
        if self._asked:
            self._tell(Ping())

    def _give_up(self, trouble: str) -> None:
        """Nothing can be had of it: have `serve` end."""
        self._trouble = self._trouble or trouble
        self.alive = False
        self._sock.shutdown(socket.SHUT_RDWR)

    def _tell(self, message: Message) -> None:
        """Send what it must hear. One that does not read is stuck: it has room for hundreds."""
        if self.alive and not self._post(message):
            self._give_up("it does not read")

    def _post(self, message: Message) -> bool:
        """Send a message, if there is room for it."""
        try:
            self._sock.send(encode(message))
        except BlockingIOError:
            return False
        except OSError:
            pass  # it is gone: `serve` sees that too
        return True

    async def _read(self) -> bool:
        """Hear what there is to hear; False if it is gone."""
        await trio.lowlevel.wait_readable(self._sock)
        for _ in range(_READ_MAX):
            try:
                count = self._sock.recv_into(self._packet)
            except BlockingIOError:
                return True
            except OSError:
                return False
            if not count:
                return False
            self._heard = True
            self._hear(decode(bytes(self._packet[:count])))
        return True

    def _hear(self, message: Message) -> None:
        match message:
            case Report():
                self._take(message)
            case Rejected():
                if message.use == self._uses:
                    self._rejected()
            case Log():
                _log_for(message)
            case _:
                raise AssertionError(f"not for an engine: {message}")

    def _take(self, report: Report) -> None:
        for number, placed in report.placed:
            if getting := self._getting.get(number):
                getting.reach(placed)
        for number, complete, failure in report.ended:
            if getting := self._getting.get(number):
                getting.end(complete=complete, failure=failure)
        counts.add(self._stats, report.counted, report.said, use=self._uses)


def _log_for(message: Log) -> None:
    """A fetcher's record is one of this process, from the same place in the code: a flood is told by that."""
    logger = logging.getLogger(message.logger)
    if logger.isEnabledFor(message.level):
        told = (message.logger, message.level, message.path, message.line, "%s", (message.text,), None)
        logger.handle(attach(logging.LogRecord(*told), unpacked(message.facts)))
