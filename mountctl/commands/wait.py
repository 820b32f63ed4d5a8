"""`mountctl wait`: returns when mounts are as somebody needs them, for scripts and units.

Called by supervisor_commands.py. Waits on a stream of the supervisor's, and for the supervisor itself while there is
none.
"""

import json
import math
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from mountctl.control.client import ControlClient
from mountctl.errors import MountctlError, Refused, SupervisorNotRunning, SupervisorSilent
from mountctl.status_table import printable

# A mount that there is not, which is no state of one.
GONE: Final = "gone"
READY: Final = "ready"
# Those of mountctl/status.py, whose models take longer to import than all of this.
STATES: Final = (
    *("starting", "ready", "degraded", "recovering", "draining", "backoff", "failed", "held", "stopped"),
    GONE,
)
# Where a mount stays until somebody does something: to wait for another state there would be in vain.
FINAL: Final = ("failed", "held")
EXIT_FINAL: Final = 4  # what `status` says of a mount that failed
EXIT_TIMEOUT: Final = 124  # timeout(1)'s
# How soon it is looked for a supervisor again that was not there. No kernel tells of a socket that begins to listen.
RETRY_SECONDS: Final = 0.2


class WaitedTooLong(MountctlError):
    """The mounts are not as they should be, and the time is over; the text says how they are."""

    exit_code = EXIT_TIMEOUT


class WaitsInVain(MountctlError):
    """A mount is in another state, where it stays until somebody does something."""

    exit_code = EXIT_FINAL


class WrongWait(MountctlError):
    """There is nothing to wait for; the text says why."""

    exit_code = 2


def wait(
    runtime_dir: Path, names: Sequence[str], states: Sequence[str], seconds: float | None, *, every: bool, as_json: bool
) -> int:
    """Wait until each of these mounts is in one of these states. Returns 0.

    Args:
        runtime_dir: the supervisor's.
        names: of the mounts.
        states: those of `status`, or GONE.
        seconds: how long; None: without an end.
        every: all mounts that there are, instead of `names`.
        as_json: print how each is then.

    Raises WaitedTooLong, WaitsInVain, UnknownMount, ControlDenied, WrongWait.
    """
    if unknown := [state for state in states if state not in STATES]:
        raise WrongWait(f"--state: {unknown[0]!r} is no state; there is: {', '.join(STATES)}")
    if every == bool(names):
        raise WrongWait("which mounts? give their names, or --all")
    until = math.inf if seconds is None else time.monotonic() + seconds
    found = _wait(ControlClient(runtime_dir), () if every else names, frozenset(states), until, seconds)
    if as_json:
        sys.stdout.write(f"{json.dumps({'mounts': found}, indent=2, ensure_ascii=False)}\n")
    return 0


def _wait(
    client: ControlClient, names: Sequence[str], states: Collection[str], until: float, seconds: float | None
) -> dict[str, str]:
    """The state of each, once all are as they should be."""
    last = "no supervisor runs"
    asked = names
    while True:
        try:
            # At least one look, however short the time is.
            for status in client.watch(() if GONE in states else asked, max(until, time.monotonic() + RETRY_SECONDS)):
                if status is None:
                    if time.monotonic() >= until:
                        break
                    continue
                found = _found(status, names)
                lacking = {name: mount for name, mount in found.items() if mount["state"] not in states}
                if not lacking:
                    return {name: mount["state"] for name, mount in found.items()}
                last = ", ".join(map(_told, lacking.values()))
                _hopeless(lacking, states)
                if time.monotonic() >= until:
                    break
        except (SupervisorNotRunning, SupervisorSilent, Refused) as error:
            last = str(error)
        if time.monotonic() + RETRY_SECONDS >= until:
            told = "" if seconds is None else f" within {seconds:g} s"
            raise WaitedTooLong(f"not {' or '.join(sorted(states))}{told}: {last}")
        time.sleep(RETRY_SECONDS)


def _found(status: Mapping[str, Any], names: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    """What the status says of these mounts, or of all: also of those that it does not have."""
    there = {mount["name"]: mount for mount in status["mounts"]}
    gone = {"state": GONE, "reason": None}
    return {name: there.get(name, {"name": name, **gone}) for name in names or there}


def _hopeless(lacking: Mapping[str, Mapping[str, Any]], states: Collection[str]) -> None:
    """Raises WaitsInVain if one of these stays as it is, which is not how it should be."""
    if READY in states and (final := [mount for mount in lacking.values() if mount["state"] in FINAL]):
        raise WaitsInVain(", ".join(map(_told, final)))


def _told(mount: Mapping[str, Any]) -> str:
    reason = mount.get("reason")
    return printable(f"{mount['name']} is {mount['state']}{f': {reason}' if reason else ''}")
