"""Looks after one engine from its fork to its end, and kills it when it is hung. Run by mount.py beside the link.

The rule is hangs.py's. Everything looked at answers at once, whatever the engine does: /proc, the session's own file
descriptor, fusectl. Never touches the mount.
"""

import logging
import math
import os
import time
from pathlib import Path
from typing import Final

import trio

from engine.facts import about
from engine.link import Heartbeat
from engine.message_ids import ENGINE_HUNG
from mountctl.supervisor import fusectl
from mountctl.supervisor.endings import Ending
from mountctl.supervisor.engine import Engine
from mountctl.supervisor.hangs import LOOK_SECONDS, Sight, Vigil
from mountctl.supervisor.session import Session

# Credentials (IMDS, STS) and a first LIST with its retries; what takes longer is reported and tried again.
START_TIMEOUT_SECONDS: Final = 45.0

_TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")
# Fields of /proc/PID/stat behind the process's name, which may hold anything: proc_pid_stat(5).
_STATE, _UTIME, _STIME = 0, 11, 12

_log = logging.getLogger(__name__)


class Watch:
    """The watch over one engine.

    Args:
        engine: it.
        session: what it serves.
    """

    def __init__(self, engine: Engine, session: Session) -> None:
        self._engine = engine
        self._session = session
        self._vigil = Vigil(time.monotonic(), time.clock_gettime(time.CLOCK_BOOTTIME))
        self._ready = False
        self._limit = trio.current_time() + START_TIMEOUT_SECONDS

    def heard(self, heartbeat: Heartbeat) -> None:
        """Its heart has beaten."""
        stats = heartbeat.stats
        self._vigil.heard(answering=stats.answering, taken=sum(stats.fuse_requests.values()))

    def prepared(self) -> None:
        """It waits for us: not its fault, however long."""
        self._limit = math.inf

    def ready(self) -> None:
        """It serves from now on."""
        self._ready = True

    async def run(self) -> None:
        """Until cancelled, or until it has killed the engine."""
        while True:
            await trio.sleep(LOOK_SECONDS)
            if (reason := self._look()) is not None:
                name = self._session.spec.name
                _log.error("%s: the engine hangs and is killed: %s", name, reason, extra=about(ENGINE_HUNG))
                self._engine.give_up(reason, Ending.HUNG)
                return
            # One that takes a mount over may have to wait for credentials; it is well as long as its heart beats.
            if not self._ready and not self._session.attached and trio.current_time() > self._limit:
                self._engine.give_up(f"it did not become ready within {START_TIMEOUT_SECONDS:.0f} s")
                return

    def _look(self) -> str | None:
        try:
            stat = Path(f"/proc/{self._engine.pid}/stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return None  # it has just ended, and its link says so
        fields = stat.rpartition(")")[2].split()
        self._vigil.serves(yes=self._ready and self._engine.ending is None)
        return self._vigil.look(
            Sight(
                now=time.monotonic(),
                boot=time.clock_gettime(time.CLOCK_BOOTTIME),
                state=fields[_STATE],
                cpu=(int(fields[_UTIME]) + int(fields[_STIME])) / _TICKS_PER_SECOND,
                unread=self._session.unread(),
                waiting=fusectl.waiting(self._session.minor) or 0,
            )
        )
