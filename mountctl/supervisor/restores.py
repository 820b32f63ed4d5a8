"""What one engine is asked to restore of its mount's archived objects, and that its asker learns what came of it.

One `Restores` an engine: engine.py passes on what its engine says, restoring.py asks. An engine that ends, or does not
take a request, is told of at once or soon, with what S3 was asked for by then.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import trio

from engine.restores import ANSWER_SECONDS_MAX, AskRestore, RestoreMessage, RestoreTaken, RestoreTold
from mountctl.errors import MountctlError

# An engine ends by itself what takes longer than ANSWER_SECONDS_MAX; one may stand behind others of the same mount.
_PATIENCE_SECONDS: Final = ANSWER_SECONDS_MAX + 10.0
# It says at once that a request has arrived, as it says each second that it lives; one that hangs is killed soon.
TAKEN_SECONDS_MAX: Final = 10.0
# An engine does them one after the other, and programs go before.
_AT_ONCE: Final = 4


class CannotRestore(MountctlError):
    """The mount's engine can't be asked, or has not answered. `begun`: S3 may have been asked for some."""

    def __init__(self, told: str, *, begun: bool = False) -> None:
        super().__init__(told)
        self.begun: Final = begun


@dataclass
class _Waiting:
    """A request without an answer yet."""

    taken: RestoreTaken | None = None
    told: RestoreTold | None = None
    changed: trio.Event = field(default_factory=trio.Event)


class Restores:
    """What one engine is asked to restore."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._waiting: dict[int, _Waiting] = {}
        self._is_gone = False

    def heard(self, message: RestoreMessage) -> None:
        """The engine has said something of it."""
        if isinstance(message, AskRestore) or (waiting := self._waiting.get(message.number)) is None:
            return
        if isinstance(message, RestoreTaken):
            waiting.taken = message
        else:
            waiting.told = message
        waiting.changed.set()

    def engine_is_gone(self) -> None:
        """Nobody answers any more."""
        self._is_gone = True
        for waiting in self._waiting.values():
            waiting.changed.set()

    async def ask(self, post: Callable[[AskRestore], bool], asked: AskRestore) -> RestoreTold:
        """Have the engine do it; waits for its answer. Raises CannotRestore.

        Args:
            post: sends the engine a message; False if it takes none.
            asked: what is wanted.
        """
        if self._is_gone:
            raise CannotRestore("its engine has just ended, and S3 was asked for nothing: ask again")
        if len(self._waiting) >= _AT_ONCE:
            raise CannotRestore(f"{_AT_ONCE} requests of this mount are at work: ask again later")
        number = next(self._numbers)
        waiting = self._waiting[number] = _Waiting()
        try:
            if not post(asked.model_copy(update={"number": number})):
                raise CannotRestore("its engine takes no requests now, and S3 was asked for nothing: ask again later")
            with trio.move_on_after(TAKEN_SECONDS_MAX):
                await waiting.changed.wait()
            if not waiting.changed.is_set():
                raise CannotRestore(_not_taken(asked), begun=asked.begin)
            with trio.move_on_after(_PATIENCE_SECONDS):
                while waiting.told is None and not self._is_gone:
                    waiting.changed = trio.Event()
                    await waiting.changed.wait()
        finally:
            del self._waiting[number]
        if waiting.told is None:
            raise self._lost(asked, waiting.taken)
        return waiting.told

    def _lost(self, asked: AskRestore, taken: RestoreTaken | None) -> CannotRestore:
        why = "ended before it answered" if self._is_gone else f"has not answered within {_PATIENCE_SECONDS:.0f} s"
        begun = asked.begin and taken is not None and taken.archived is not None
        if taken is None or taken.archived is None or not begun:
            return CannotRestore(f"its engine {why}, and S3 was asked for nothing: ask again")
        return CannotRestore(
            f"its engine {why}: S3 was asked for at least {taken.asked} of {taken.archived} objects, and goes on with"
            " those; ask again for the others, nothing is asked for or paid twice",
            begun=True,
        )


def _not_taken(asked: AskRestore) -> str:
    told = f"its engine has not taken the request within {TAKEN_SECONDS_MAX:.0f} s (is it of an older version?"
    also = ", and whether it still asks S3 is not known: `mountctl restore --status` tells" if asked.begin else ""
    return f"{told} `mountctl upgrade` replaces it){also}"
