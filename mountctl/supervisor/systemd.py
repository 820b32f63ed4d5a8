"""What we ask of systemd: whether it restarts us or stops us. Called by daemon.py when SIGTERM has come."""

import logging
import subprocess
from pathlib import Path
from typing import Final

import trio

# systemctl answers in milliseconds; a systemd that does not must not keep us from stopping.
_ASK_SECONDS_MAX: Final = 2.0

_log = logging.getLogger(__name__)


async def is_restarting() -> bool:
    """Whether systemd's job for our unit is a restart. systemd tells a service no difference between the two."""
    unit = own_unit(Path("/proc/self/cgroup").read_text())  # noqa: ASYNC240 - a file of the kernel's memory
    if unit is None:
        return False
    try:
        with trio.fail_after(_ASK_SECONDS_MAX):
            done = await trio.run_process(
                ["systemctl", "list-jobs", "--no-legend", "--plain"], capture_stdout=True, stderr=subprocess.DEVNULL
            )
    except (trio.TooSlowError, OSError, subprocess.CalledProcessError) as error:
        _log.warning("systemd does not say whether it restarts or stops us, so we stop: %r", error)
        return False
    return is_restart_job(done.stdout.decode(), unit)


def own_unit(cgroups: str) -> str | None:
    """The service that a process belongs to, by its /proc/PID/cgroup."""
    for line in cgroups.splitlines():
        last = line.rpartition("/")[2]
        if last.endswith(".service"):
            return last
    return None


def is_restart_job(jobs: str, unit: str) -> bool:
    """Whether `systemctl list-jobs` shows a restart of this unit: lines of number, unit, type, state."""
    return any(fields[1:3] == [unit, "restart"] for fields in map(str.split, jobs.splitlines()))
