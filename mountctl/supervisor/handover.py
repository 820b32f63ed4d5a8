"""A planned change of engines on one session: a successor gets ready beside the old engine, then takes its place.

Begun by mount.py, whose task meanwhile talks with the engine that serves and tells this object how it goes. Until
`switch` nothing has changed, and the old engine simply goes on; after it there is no way back to the old engine.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Final

import trio

from engine.link import Access, AccessFailed, Message
from engine.spec import MountSpec
from mountctl.errors import MountctlError
from mountctl.supervisor.endings import Ending
from mountctl.supervisor.engine import Engine
from mountctl.supervisor.process import Exit
from mountctl.supervisor.zygote import ForkError

# For credentials (IMDS, STS) and a LIST: as an engine gets to come up (watch.START_TIMEOUT_SECONDS).
PREPARE_SECONDS_MAX: Final = 45.0
# What the old engine may go on answering before it leaves the rest to the kernel, which gives it to the successor:
# most answers of S3 come within it, and programs that wait for other things wait that long.
GRACE_SECONDS: Final = 1.0
# Without a kernel that resends, all must be answered: longer than a request to S3 is tried (about a minute).
ANSWER_SECONDS_MAX: Final = 90.0
# What an engine may need to gather what it leaves, after its grace.
_GATHER_SECONDS_MAX: Final = 5.0

_log = logging.getLogger(__name__)


def grace_seconds(*, resends: bool) -> float | None:
    """How long an engine that hands over may go on answering; None: until all is answered.

    `resends`: the kernel gives to the successor what it leaves unanswered.
    """
    return GRACE_SECONDS if resends else None


def seconds_max(*, resends: bool) -> float:
    """How long it may take in all."""
    return (GRACE_SECONDS if resends else ANSWER_SECONDS_MAX) + _GATHER_SECONDS_MAX


class HandoverFailed(MountctlError):
    """The mount could not be given to another engine; the message says why, and who serves it now."""

    exit_code = 1


class Handover:
    """One change of engines.

    Args:
        old: the engine that serves.
        spec: of the mount as the successor is to serve it.
        end: ends a successor at once; returns how it ended.
        resends: the kernel gives to the successor what the old engine leaves unanswered.
    """

    def __init__(
        self, old: Engine, spec: MountSpec, end: Callable[[Engine], Awaitable[Exit]], *, resends: bool
    ) -> None:
        self.old: Final = old
        self.spec: Final = spec
        self._resends: Final = resends
        self._end: Final = end
        self.successor: Engine | None = None
        self.access: Access | AccessFailed | None = None  # the last word for its options, where they are others
        self.switching = False  # the old engine was told to hand over: the next one is the successor
        self._old_gone = trio.Event()
        self._done = trio.Event()
        self._failure: str | None = None

    async def prepare(
        self, fork: Callable[[], Awaitable[Engine]], greet: Callable[[Engine], None], hear: Callable[[Message], None]
    ) -> None:
        """Have a successor come up, and wait until all that it lacks is the session.

        Args:
            fork: makes it.
            greet: posts what an engine must have.
            hear: is told what it says.

        Raises HandoverFailed; then there is no successor.
        """

        async def listen(message: Message, _fds: list[int]) -> None:
            hear(message)

        try:
            successor = self.successor = await fork()
        except (ForkError, OSError) as error:
            raise HandoverFailed(f"no successor came up, its engine goes on: {error}") from error
        prepared = False
        try:
            greet(successor)
            with trio.move_on_after(PREPARE_SECONDS_MAX) as patience:
                prepared = await successor.prepared(listen)
        finally:
            if not prepared:
                self.successor = None
                end = await self._end(successor)
        if not prepared:
            late = f"it was not ready within {PREPARE_SECONDS_MAX:.0f} s" if patience.cancelled_caught else f"it {end}"
            raise HandoverFailed(f"no successor came up, its engine goes on: {successor.reason or late}")

    async def switch(self) -> None:
        """Have the old engine hand over; returns when the successor serves. Raises HandoverFailed."""
        assert self.successor is not None, "it is prepared"
        if self.successor.ended:
            raise HandoverFailed("the successor ended while it waited, its engine goes on")
        self.switching = True
        self.old.tell_to_hand_over(grace_seconds(resends=self._resends))
        with trio.move_on_after(seconds_max(resends=self._resends)):
            await self._old_gone.wait()
        if not self._old_gone.is_set():
            self.old.give_up("it did not hand over in time", Ending.PLANNED)
        await self._done.wait()
        if self._failure is not None:
            raise HandoverFailed(self._failure)

    async def call_off(self) -> None:
        """End a successor that will not be needed. Nothing happens once it is to serve."""
        if self.successor is not None and not self.switching:
            successor, self.successor = self.successor, None
            await self._end(successor)

    def old_is_gone(self) -> None:
        """The old engine has ended."""
        self._old_gone.set()

    def succeeded(self) -> None:
        """The successor serves."""
        self._done.set()

    def failed(self, reason: str) -> None:
        """The successor ended before it served. Nothing happens if it had."""
        if not self._done.is_set():
            self._failure = f"the successor ended when it took over: {reason}"
            self._old_gone.set()
            self._done.set()
