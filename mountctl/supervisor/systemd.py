"""What we ask of systemd: whether it restarts us or stops us, how much it keeps. Called by daemon.py and fdstore.py."""

import logging
import os
import subprocess
from pathlib import Path
from typing import Final

import trio

from engine.facts import about
from engine.message_ids import HOST

# systemctl answers in milliseconds; a systemd that does not must not keep us from stopping.
_ASK_SECONDS_MAX: Final = 2.0

_log = logging.getLogger(__name__)


async def is_restarting() -> bool:
    """Whether systemd's job for our unit is a restart. systemd tells a service no difference between the two."""
    unit = our_unit()
    if unit is None:
        return False
    jobs = await _ask("list-jobs", "--no-legend", "--plain")
    if jobs is None:
        _log.warning("systemd does not say whether it restarts or stops us, so we stop", extra=about(HOST))
    return jobs is not None and is_restart_job(jobs, unit)


async def fd_store_size() -> int | None:
    """How many descriptors systemd keeps for us (FileDescriptorStoreMax=); None if it does not say."""
    told = os.environ.get("FDSTORE", "")  # since systemd 254
    if not told and (unit := our_unit()) is not None:
        told = await _ask("show", "--value", "--property=FileDescriptorStoreMax", unit) or ""
    return int(told) if told.strip().isdecimal() else None


async def _ask(*arguments: str) -> str | None:
    """What systemctl prints; None if it has nothing to say in time."""
    try:
        with trio.fail_after(_ASK_SECONDS_MAX):
            done = await trio.run_process(["systemctl", *arguments], capture_stdout=True, stderr=subprocess.DEVNULL)
    except (trio.TooSlowError, OSError, subprocess.CalledProcessError) as error:
        _log.warning("systemctl %s: no answer: %r", arguments[0], error, extra=about(HOST))
        return None
    return done.stdout.decode()


def our_unit() -> str | None:
    """The service that we are; None if we are none."""
    return own_unit(Path("/proc/self/cgroup").read_text())


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
