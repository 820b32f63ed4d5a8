"""One engine as the supervisor sees it: its process, the letters to it, what it says. Called by mount.py.

Knows how to talk, not what an answer means for the mount: whoever converses is told each message. Ends with the link:
an engine that closes it, or whose process dies, is gone.
"""

import contextlib
import logging
import os
import signal
import time
from collections.abc import Awaitable, Callable
from typing import Final

import trio

from engine.facts import about
from engine.journald import connected
from engine.link import FDS_MAX, Beat, HandOver, LinkClosed, Message, Prepared, Stop, TakeOver, Unavailable
from engine.log_output import is_for_journal
from engine.logged import Form, Level, LogFile, LogForm, LogLevel
from engine.message_ids import ENGINE_CHANGED, LOG_FILE, NOT_UNDERSTOOD
from engine.restores import AskRestore, RestoreTaken, RestoreTold
from engine.spec import MountSpec
from engine.uploads import TellUploads
from mountctl.supervisor import log_file
from mountctl.supervisor.adoption import kinds_of
from mountctl.supervisor.endings import Ending
from mountctl.supervisor.process import Exit, ForkedProcess
from mountctl.supervisor.restores import Restores
from mountctl.supervisor.volumes.causes import of_unavailable
from mountctl.volume import Cause

# Messages on their way to an engine that is slow to read; each is small, and newer keys replace older ones.
_OUTBOX_MAX: Final = 16

# What an engine may still need to answer when its mount goes: a range in flight.
STOP_TIMEOUT_SECONDS: Final = 5.0

# An engine that is killed is gone, and its link with it, in milliseconds; longer only if it is stuck in the kernel.
_LAST_WORDS_SECONDS: Final = 1.0

_log = logging.getLogger(__name__)

Hearer = Callable[[Message, list[int]], Awaitable[None]]


class EndOfConversation(Exception):
    """Raised by who hears an engine: there is no use in it any more. The message says why."""


class Engine:
    """A running engine. `end` and `close` it when done, in any case.

    Args:
        process: it; owned.
        spec: of the mount that it serves.
        generation: of its session, by which what it is reached by is kept.
        adopted: a supervisor before this one has started it.
    """

    def __init__(self, process: ForkedProcess, spec: MountSpec, *, generation: int = 0, adopted: bool = False) -> None:
        self.adopted: Final = adopted
        self.started: Final = process.started() if adopted else time.time()
        self.version: str | None = None  # of its code; None before it is ready
        self.reason: str | None = None  # why it can't serve, by its own word or by ours
        self.cause: Cause | None = None  # why it can't serve, by its own word
        self.killed_for: str | None = None
        self.ending: Ending | None = None  # what its end will have been, where that is known before
        self.restores: Final = Restores()
        self._generation: Final = generation
        self._process = process
        self._spec = spec
        self._letters, self._outbox = trio.open_memory_channel[tuple[Message, tuple[int, ...]]](_OUTBOX_MAX)

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    @property
    def ended(self) -> bool:
        """Whether its process has."""
        return self._process.ended

    @property
    def generation(self) -> int:
        """Which of its session's engines it is."""
        return self._generation

    @property
    def kept(self) -> dict[str, int]:
        """What a supervisor after this one needs to adopt it, by kind."""
        return dict(zip(self.kinds, self._process.fds, strict=True))

    @property
    def kinds(self) -> tuple[str, str]:
        """What its `kept` are called."""
        return kinds_of(self._generation)

    def post(self, message: Message, fds: tuple[int, ...] = ()) -> bool:
        """Have a message sent, after those that were posted before. The `fds` must stay open until it is.

        One to an engine that does not read its link is left out, and the log says so. Returns whether it was not.
        """
        try:
            self._letters.send_nowait((message, fds))
        except trio.WouldBlock:
            self._left_out(message)
            return False
        return True

    def reopen_log(self) -> None:
        """Have it log to its file, opened anew. Nothing happens if it has none."""
        if self._spec.log_directory is not None:
            self.post(LogFile(form=self._spec.log_format or "text"))

    def change_live(self, spec: MountSpec, form: Form | None) -> None:
        """Have it take what of these options it takes while it serves. `form`: of what goes to standard error."""
        before, self._spec = self._spec, spec
        self.set_log_level(spec.log_level)
        if (spec.log_directory, spec.log_format) != (before.log_directory, before.log_format):
            self.reopen_log()
            self.set_log_form(form)

    def set_log_form(self, form: Form | None) -> None:
        """Have it log to standard error in this form. Nothing happens if it has a file."""
        if self._spec.log_directory is None:
            self.post(LogForm(form=form))

    def set_log_level(self, level: Level) -> None:
        """Have it log what is of this level, or above it."""
        self.post(LogLevel(debug=level == "debug", level=level))

    def greet_adopted(self, level: Level, form: Form | None) -> None:
        """Post what one must have that a supervisor before this one has started, beside what all must have."""
        self.post(Beat())  # tells that it serves
        self.post(TellUploads())  # what it told the supervisor before may not have been written down
        self.set_log_level(level)  # which an operator may have told that one
        self.set_log_form(form)

    async def converse(self, hear: Hearer) -> None:
        """Send what is posted and pass on what it says, until it is gone, or `hear` raises EndOfConversation."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._write)
            try:
                await self._read(hear)
            except LinkClosed:
                pass
            except EndOfConversation as end:
                self.ending = self.ending or Ending.REFUSED
                self.reason = self.reason or str(end)
            finally:
                self.restores.engine_is_gone()
            nursery.cancel_scope.cancel()

    async def prepared(self, hear: Hearer) -> bool:
        """The same for one that waits for its session, until it is prepared. False if it is gone, or can't."""
        prepared = False

        async def listen(message: Message, fds: list[int]) -> None:
            nonlocal prepared
            if isinstance(message, Prepared):
                prepared = True
                scope.cancel()
            else:
                await hear(message, fds)

        with trio.CancelScope() as scope:
            await self.converse(listen)
        return prepared

    def tell_to_hand_over(self, grace_seconds: float | None) -> None:
        """Ask it to hand over its session, and to end: it says HandedOver, perhaps with descriptors.

        Args:
            grace_seconds: how long it may go on answering; None: until all is answered.
        """
        self.ending = Ending.PLANNED
        self._process.link.accept(FDS_MAX)
        self._send_now(HandOver(grace_seconds=grace_seconds))

    def tell_to_take_over(self, left: tuple[int, ...], *, resend: bool) -> None:
        """Give it the session, with what the engine before has left; those descriptors may be closed then."""
        self._send_now(TakeOver(resend=resend), left)

    def give_up(self, reason: str, ending: Ending = Ending.CRASHED) -> None:
        """Kill it; `converse` ends."""
        self.ending = ending
        self.killed_for = reason
        self.reason = self.reason or f"the engine {'hung' if ending is Ending.HUNG else 'was killed'}: {reason}"
        self._process.kill()

    def tell_to_stop(self) -> None:
        """Ask it to answer what it has read, and to end."""
        self.ending = self.ending or Ending.PLANNED
        self._send_now(Stop())

    async def end(self, grace_seconds: float, hear: Hearer | None = None) -> Exit:
        """Wait for its end; kill it when that takes longer. Then let go of it. Not cancelled half way.

        Args:
            grace_seconds: what it gets to end by itself.
            hear: is told what it says until then.
        """
        try:
            with trio.CancelScope(shield=True):
                async with trio.open_nursery() as nursery:
                    if hear is not None:
                        nursery.start_soon(self._hear_out, hear, grace_seconds + _LAST_WORDS_SECONDS)
                    ended = await self._process.end(grace_seconds)
            if self.ending is Ending.PLANNED and ended.signal not in (None, signal.SIGKILL):
                _log.error(
                    "%s: engine %d was asked to end, and was %s",
                    self._spec.name,
                    self.pid,
                    ended,
                    extra=about(ENGINE_CHANGED),
                )
            return ended
        finally:
            self._process.close()

    def leave(self) -> None:
        """Let go of it as it is, for a supervisor that comes: it goes on as long as what is kept of it is kept."""
        self._process.close()

    def _send_now(self, message: Message, fds: tuple[int, ...] = ()) -> None:
        """Before what is posted and not sent yet."""
        try:
            if not self._process.link.send_nowait(message, fds):
                self._left_out(message)
        except LinkClosed:
            _log.debug("%s: the engine was gone already", self._spec.name)

    def _left_out(self, message: Message) -> None:
        text = "%s: the engine does not read its link; left out: %s"
        _log.warning(text, self._spec.name, message.type, extra=about(NOT_UNDERSTOOD))

    async def _hear_out(self, hear: Hearer, seconds: float) -> None:
        """What it says until its link is closed: by its end, unless it is stuck."""
        with trio.move_on_after(seconds), contextlib.suppress(LinkClosed):
            await self._read(hear)

    async def _read(self, hear: Hearer) -> None:
        while True:
            message, fds = await self._process.link.receive()
            if isinstance(message, Unavailable):
                self.ending = self.ending or Ending.REFUSED
                self.reason = self.reason or message.reason
                self.cause = of_unavailable(message)
            elif isinstance(message, AskRestore | RestoreTaken | RestoreTold):
                self.restores.heard(message)
            else:
                await hear(message, fds)

    async def _write(self) -> None:
        try:
            async for message, fds in self._outbox:
                if isinstance(message, LogFile):
                    await self._send_log(message)
                elif isinstance(message, LogForm):
                    await self._send_form(message)
                else:
                    await self._process.link.send(message, fds)
        except LinkClosed:
            return  # the reader sees it too, and ends the conversation

    async def _send_log(self, message: LogFile) -> None:
        if self._spec.log_directory is None:
            return  # it has changed since
        try:
            file = await log_file.opened(self._spec.log_directory, self._spec.name)
        except log_file.LogFileUnusable as error:
            _log.warning("%s: %s; its engine logs as before", self._spec.name, error, extra=about(LOG_FILE))
            return
        with file:
            await self._process.link.send(message, (file.fileno(),))

    async def _send_form(self, message: LogForm) -> None:
        if self._spec.log_directory is not None:
            return  # it has changed since
        with contextlib.ExitStack() as until_sent:
            fds: tuple[int, ...] = ()
            if is_for_journal(message.form):
                with contextlib.suppress(OSError):  # the supervisor's own log says that there is none
                    fds = (connected(),)
                    until_sent.callback(os.close, fds[0])
            await self._process.link.send(message, fds)
