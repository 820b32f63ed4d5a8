"""A process that the zygote forked for us: its pidfd, its link, its end. Called by zygote.py and mount.py."""

import os
import select
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trio

from engine.link import Link

# A killed process ends in milliseconds, but for one that waits in the kernel for a disk or a file system. It can do
# nothing any more, so nobody need wait for it.
_KILL_SECONDS: Final = 5.0
# Since the host was booted; field of /proc/PID/stat behind the process's name: proc_pid_stat(5).
_STARTTIME: Final = 19
_TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Exit:
    """How a process ended. `code` is None if it was killed, `signal` if it was not; both None if nobody can tell.

    `stuck`: it has not ended yet, but was killed, and is the kernel's.
    """

    code: int | None = None
    signal: int | None = None
    stuck: bool = False

    def __str__(self) -> str:
        if self.stuck:
            return "killed by SIGKILL, but stuck in the kernel"
        if self.signal is not None:
            return f"killed by {signal.Signals(self.signal).name}"
        return "ended" if self.code is None else f"exited with {self.code}"


class ForkedProcess:
    """A running child and our link to it. `close` when done, in any case.

    Args:
        pid: its process id.
        pidfd: a file descriptor of the process; owned.
        link: our end of its link; owned.
    """

    def __init__(self, pid: int, pidfd: int, link: Link) -> None:
        self.pid = pid
        self.link = link
        self._pidfd = pidfd
        self._exit: Exit | None = None

    @property
    def fds(self) -> tuple[int, int]:
        """The file descriptors of its link and of the process: whoever has them can do with it what we can."""
        return self.link.fileno(), self._pidfd

    def started(self) -> float:
        """When it was started, in seconds since the epoch; now, if it is gone."""
        try:
            fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return time.time()
        return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + int(fields[_STARTTIME]) / _TICKS_PER_SECOND

    async def wait(self) -> Exit:
        """How it ended, once it has."""
        if self._exit is None:
            await trio.lowlevel.wait_readable(self._pidfd)
            self._exit = self._reap()
        return self._exit

    @property
    def ended(self) -> bool:
        """Whether it has; nobody need wait for it to know."""
        if self._exit is None and self._pidfd >= 0:
            poll = select.poll()
            poll.register(self._pidfd, select.POLLIN)
            return bool(poll.poll(0))
        return True

    def kill(self) -> None:
        """SIGKILL. Nothing happens if it has ended."""
        if self._exit is None:
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    async def end(self, grace_seconds: float) -> Exit:
        """Wait for its end; kill it when that takes longer. Not cancelled half way; never waits for ever."""
        with trio.CancelScope(shield=True):
            with trio.move_on_after(grace_seconds):
                await self.wait()
            self.kill()
            with trio.move_on_after(_KILL_SECONDS):
                await self.wait()
        return self._exit or Exit(stuck=True)

    def close(self) -> None:
        """Close link and pidfd. A process that still runs sees its link closed."""
        self.link.close()
        if self._pidfd >= 0:
            trio.lowlevel.notify_closing(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1

    def _reap(self) -> Exit:
        try:
            result = os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED)
        except ChildProcessError:  # not our child: adopted from a supervisor before us
            return Exit()
        if result is None:
            return Exit()
        if result.si_code == os.CLD_EXITED:
            return Exit(code=result.si_status)
        return Exit(signal=result.si_status)
