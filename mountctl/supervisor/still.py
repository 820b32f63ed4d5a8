"""Which reasons of a mount that stays as it is are news: each kind of them once in a while. Used by mount.py."""

import re
from typing import Final

import trio

# Trouble that comes and goes in two ways by turns is two events a minute, not two a heartbeat.
REPEAT_SECONDS: Final = 60.0
# Of reasons that are never the same, such as a server's words with a time in them; in that while.
REASONS_MAX: Final = 10

_NUMBER: Final = re.compile(r"[0-9]+")


class Reasons:
    """Those that were given lately. Two that differ in numbers only are one."""

    def __init__(self) -> None:
        self._told: dict[str, float] = {}

    def begin(self, reason: str | None) -> None:
        """The mount has come into a state, which was told with this reason."""
        self._told = {} if reason is None else {_kind(reason): trio.current_time()}

    def is_news(self, reason: str) -> bool:
        """Whether to tell this one now; then it is told."""
        now = trio.current_time()
        self._told = {kind: at for kind, at in self._told.items() if now - at < REPEAT_SECONDS}
        if _kind(reason) in self._told or len(self._told) >= REASONS_MAX:
            return False
        self._told[_kind(reason)] = now
        return True


def _kind(reason: str) -> str:
    return _NUMBER.sub("0", reason)
