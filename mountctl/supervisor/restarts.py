"""What comes after an engine that was lost while programs use its mount: another one, when, or none. Pure.

Applied by mount.py. A mount that is not mounted yet has all the time of backoff.py; here programs wait.
"""

from collections import deque
from collections.abc import Sequence
from enum import Enum, auto
from typing import Final

from mountctl.supervisor.endings import Ending

# So many engines that die by themselves, each before it has served well: the next one would too. The first could be
# chance, two what chance left behind; the pauses between five are long enough for a spell without memory to pass.
DEATHS_MAX: Final = 5
# Deaths that lie further back say nothing about now. Five hung engines take half of it to be noticed.
WINDOW_SECONDS: Final = 60.0
# An engine that served so long did not die of what killed the one before it. Programs that lose a tenth of a second
# every ten do not notice; they would notice if the mount were taken away.
SERVED_WELL_SECONDS: Final = 10.0
# Successors that hang like the engine before them hang on what the kernel sends them again: the third is the last.
HANGS_MAX: Final = 3
# The first successor comes at once. Then a pause, twice as long each time: programs wait for it, so seconds at most.
FIRST_PAUSE_SECONDS: Final = 0.25
LONGEST_PAUSE_SECONDS: Final = 2.0


class Next(Enum):
    """What to do."""

    TAKE_OVER = auto()  # another engine on the same session
    REPLACE = auto()  # another session: what programs wait for is failed
    GIVE_UP = auto()  # programs get errors until an operator has it tried again


class Restarts:
    """The engines of one mount that were lost lately."""

    def __init__(self) -> None:
        self._deaths: deque[tuple[float, Ending]] = deque()
        self._tries = 0  # without success since an engine served

    def after(self, ending: Ending, served: float, now: float) -> tuple[Next, float]:
        """What to do after an engine has ended, and how many seconds to wait before.

        Args:
            ending: why.
            served: for how many seconds it has served; 0 if it never did.
            now: seconds on a clock that does not jump.
        """
        if served >= SERVED_WELL_SECONDS:
            self._deaths.clear()
        while self._deaths and self._deaths[0][0] < now - WINDOW_SECONDS:
            self._deaths.popleft()
        if ending in (Ending.CRASHED, Ending.HUNG):
            self._deaths.append((now, ending))
        self._tries = 0 if served else self._tries + 1
        if len(self._deaths) >= DEATHS_MAX:
            return Next.GIVE_UP, 0.0
        pause = self._pause(max(len(self._deaths) - 1, self._tries))
        if ending is Ending.HUNG and self._hangs() == HANGS_MAX:
            return Next.REPLACE, pause
        return Next.TAKE_OVER, pause

    @property
    def deaths(self) -> int:
        """How many engines have died by themselves in the window."""
        return len(self._deaths)

    def _hangs(self) -> int:
        return sum(ending is Ending.HUNG for _, ending in self._deaths)

    @staticmethod
    def _pause(times: int) -> float:
        return 0.0 if times <= 0 else min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** (times - 1))


def given_up(name: str, reason: str, served_before: Sequence[str]) -> str:
    """Why there will be no other engine, in a sentence.

    Args:
        name: the mount's.
        reason: why the last one ended.
        served_before: what the one before it was serving.
    """
    told = f"{DEATHS_MAX} engines died within {WINDOW_SECONDS:.0f} s; the last: {reason}"
    if served_before:
        told += f"; the one before it died while it served {', '.join(served_before)}"
    return f"{told} (`mountctl restart {name}` tries again)"
