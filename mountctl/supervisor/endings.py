"""What an engine's end was: asked for, an outsider's doing, or its own. Pure but for one counter of the kernel's.

Called by mount.py when an engine is gone; restarts.py decides by it what comes next.
"""

import signal
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import Final, NamedTuple, Self

from mountctl.supervisor.process import Exit
from mountctl.volume import Cause

# "oom_kill N": processes that the kernel has killed for want of memory, in whatever cgroup, since it was booted.
_VMSTAT: Final = Path("/proc/vmstat")
_OOM_COUNTER: Final = "oom_kill"


class Ending(Enum):
    """Why an engine is gone."""

    PLANNED = auto()  # we asked it to end
    REFUSED = auto()  # it said why it can't serve; that is no crash, and another may be able to
    OUTSIDE = auto()  # somebody sent SIGKILL: says nothing about the engine
    CRASHED = auto()  # by itself: a signal, an exit code, no memory
    HUNG = auto()  # we killed it, as it did nothing any more


class Toll(NamedTuple):
    """What want of memory has cost, counted since the host was booted, or between two moments.

    Args:
        kills: processes that the kernel has killed for it.
        full: times that the mount wanted more than it may have (`memory-max`).
    """

    kills: int
    full: int

    def since(self, before: Self) -> "Toll":
        """What came since then."""
        return Toll(self.kills - before.kills, self.full - before.full)


@dataclass(frozen=True, slots=True)
class Gone:
    """The last engine's end.

    Args:
        reason: why, in a sentence.
        ending: what kind of end it was.
        served: for how many seconds it had served.
        unanswered: what it had read from the kernel may not be answered.
        stuck: it was killed, and is in the kernel still.
        cause: why it can't serve, if it said so.
    """

    reason: str
    ending: Ending
    served: float
    unanswered: bool
    stuck: bool = False
    cause: Cause | None = None


def of(exit_: Exit, known: Ending | None, memory: Toll) -> Ending:
    """What this end was.

    Args:
        exit_: how the process ended.
        known: what we did to it or it said before.
        memory: what want of it has cost while it lived.
    """
    if known is not None:
        return known
    if exit_.signal == signal.SIGKILL and memory.kills <= 0:
        return Ending.OUTSIDE
    return Ending.CRASHED


def told(exit_: Exit, killed_for: str | None, memory: Toll) -> str:
    """The end as `status` shows it. `killed_for`: why we killed it, if we did."""
    if killed_for is not None:
        return f"killed: {killed_for}" + ("" if exit_.signal else f" ({exit_})")
    unknown = exit_ == Exit()  # of one that a supervisor before us has started nobody tells it
    if (exit_.signal == signal.SIGKILL or unknown) and memory.kills > 0 and memory.full > 0:
        return f"{exit_}, as the mount needed more memory than its slice may have (memory-max)"
    if exit_.signal == signal.SIGKILL and memory.kills > 0:
        return f"{exit_}, while the kernel was killing processes for want of memory"
    return str(exit_)


def oom_kills() -> int:
    """How many processes the kernel has killed for want of memory; 0 if it does not count them (before Linux 4.13)."""
    for line in _VMSTAT.read_text().splitlines():
        name, _, count = line.partition(" ")
        if name == _OOM_COUNTER:
            return int(count)
    return 0
