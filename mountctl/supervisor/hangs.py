"""When an engine is hung: what is seen of it, and the rule. Pure; watch.py looks and mount.py acts.

Seen without touching the mount: heartbeats over the link, the process's state and CPU time, whether the kernel has
requests that nobody reads, how many wait for an answer. A slow or dead S3 never counts: the heart of an engine that
waits for it beats, and it says that it is answering.
"""

from dataclasses import dataclass
from typing import Final

# How often to look: five looks to a verdict, and a hundred mounts cost about a hundredth of a core.
LOOK_SECONDS: Final = 1.0
# A look that comes this late was held up (a stopped supervisor, a machine that slept or is beyond its limits): then
# the engine had no fair chance either, and all begins anew.
LATE_SECONDS: Final = 2 * LOOK_SECONDS
# Heartbeats come every second. An engine's thread does nothing that takes longer than some tens of milliseconds.
SILENT_SECONDS: Final = 5.0
# A heart that does not beat for want of CPU or memory beats when there is some: only then is patience of use.
STARVED_SECONDS: Final = 30.0
# What the last heartbeat told is believed for so long. (They come every second.)
_TOLD_SECONDS: Final = 2.5
# An engine that got as much CPU as this without a heartbeat was not starved. In seconds.
_FAIR_CPU_SECONDS: Final = 1.0
# An engine that has nothing to answer takes a request within milliseconds.
UNREAD_SECONDS: Final = 5.0
# Requests that the kernel waits for, and the engine knows nothing of. Twice as careful: two counts are compared.
LOST_SECONDS: Final = 10.0

# States of /proc/PID/stat: proc_pid_stat(5).
_STOPPED: Final = ("T", "t")
_HELD_UP: Final = ("R", "D")


@dataclass(frozen=True, slots=True)
class Sight:
    """What one look shows.

    Args:
        now: seconds of CLOCK_MONOTONIC, which stands still while the machine sleeps.
        boot: seconds of CLOCK_BOOTTIME, which does not.
        state: the process's, a letter.
        cpu: seconds of CPU that the process has had.
        unread: the kernel has a request that nobody has read.
        waiting: requests that the kernel has no answer to yet, read or not; 0 also if nobody can tell.
    """

    now: float
    boot: float
    state: str
    cpu: float
    unread: bool
    waiting: int


class Vigil:
    """One engine, watched from its fork.

    Args:
        now, boot: as in Sight.
    """

    def __init__(self, now: float, boot: float) -> None:
        self._looked = now
        self._slept = boot - now
        self._heard = True
        self._cpu = 0.0  # when its heart was heard last
        self._silent = self._unread = self._lost = 0.0  # seconds, of looks in time
        self._answering = self._taken = 0
        self._taken_before = 0
        self._serves = False

    def heard(self, *, answering: int, taken: int) -> None:
        """A heartbeat came: so many requests are being answered, so many were taken since the engine started."""
        self._heard = True
        self._answering, self._taken = answering, taken

    def serves(self, *, yes: bool) -> None:
        """Whether it is to read requests: from the moment it is ready until it is told to stop."""
        self._serves = yes

    def look(self, sight: Sight) -> str | None:
        """Why the engine is hung, in a few words; None if it is not. Call every LOOK_SECONDS."""
        passed = self._passed(sight)
        if self._heard or not passed:
            self._heard, self._silent, self._cpu = False, 0.0, sight.cpu
        else:
            self._silent += passed
        told = self._serves and self._silent < _TOLD_SECONDS
        idle = told and self._answering == 0 and self._taken == self._taken_before
        self._taken_before = self._taken
        self._unread = self._unread + passed if idle and sight.unread and passed else 0.0
        self._lost = self._lost + passed if idle and sight.waiting and passed else 0.0
        if self._silent >= self._patience(sight):
            return f"no heartbeat for {self._silent:.0f} s{_why(sight, sight.cpu - self._cpu)}"
        if self._unread >= UNREAD_SECONDS:
            return f"it has read no request for {self._unread:.0f} s"
        if self._lost >= LOST_SECONDS:
            return f"{sight.waiting} requests have waited for {self._lost:.0f} s that it does not know of"
        return None

    def _passed(self, sight: Sight) -> float:
        """Seconds since the last look; 0 if they are nothing to go by."""
        passed, slept = sight.now - self._looked, sight.boot - sight.now
        self._looked, before, self._slept = sight.now, self._slept, slept
        return passed if passed < LATE_SECONDS and slept - before < LATE_SECONDS else 0.0

    def _patience(self, sight: Sight) -> float:
        starved = sight.state in _HELD_UP and sight.cpu - self._cpu < _FAIR_CPU_SECONDS
        return STARVED_SECONDS if starved else SILENT_SECONDS


def _why(sight: Sight, cpu: float) -> str:
    if sight.state in _STOPPED:
        return ": it is stopped"
    return f": it is busy with something that has no end ({cpu:.0f} s of CPU)" if cpu >= _FAIR_CPU_SECONDS else ""
