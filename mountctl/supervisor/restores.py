"""Archived objects of a mount that S3 is asked to restore: the requests to its engine, and what is under way.

One `Restores` an engine: engine.py passes on what its engine says, daemon.py asks for the control socket. What is under
way is the engine's own knowledge, so a successor begins with nothing; S3 knows better, and is asked by
`mountctl restore --status`.
"""

import itertools
from collections.abc import Callable
from typing import Final

import trio

from engine.restores import AskRestore, RestoreMessage, RestoresUnderWay, RestoreTold
from mountctl.errors import MountctlError

# Ten thousand requests, eight at once, each up to half a second.
ANSWER_SECONDS_MAX: Final = 600.0
# An engine does them one after the other, and programs go before.
_AT_ONCE: Final = 4


class CannotRestore(MountctlError):
    """The mount's engine can't be asked, or has not answered."""


class Restores:
    """What one engine is asked to restore."""

    def __init__(self) -> None:
        self.under_way = RestoresUnderWay()
        self._numbers = itertools.count(1)
        self._waiting: dict[int, trio.Event] = {}
        self._told: dict[int, RestoreTold] = {}
        self._is_gone = False

    def heard(self, message: RestoreMessage) -> None:
        """The engine has said something of it."""
        if isinstance(message, RestoresUnderWay):
            self.under_way = message
        elif isinstance(message, RestoreTold) and message.number in self._waiting:
            self._told[message.number] = message
            self._waiting[message.number].set()

    def engine_is_gone(self) -> None:
        """Nobody answers any more."""
        self._is_gone = True
        self.under_way = RestoresUnderWay()
        for waiting in self._waiting.values():
            waiting.set()

    async def ask(self, post: Callable[[AskRestore], None], asked: AskRestore) -> RestoreTold:
        """Have the engine do it; waits for its answer. Raises CannotRestore."""
        if self._is_gone:
            raise CannotRestore("its engine has just ended: ask again when another serves the mount")
        if len(self._waiting) >= _AT_ONCE:
            raise CannotRestore(f"{_AT_ONCE} requests of this mount are at work: ask again later")
        number = next(self._numbers)
        self._waiting[number] = trio.Event()
        try:
            post(asked.model_copy(update={"number": number}))
            with trio.move_on_after(ANSWER_SECONDS_MAX):
                await self._waiting[number].wait()
        finally:
            del self._waiting[number]
        told = self._told.pop(number, None)
        if told is None:
            why = "ended before it answered" if self._is_gone else f"has not answered within {ANSWER_SECONDS_MAX:.0f} s"
            raise CannotRestore(f"its engine {why}: what was begun goes on in S3; ask again, nothing is paid twice")
        return told
