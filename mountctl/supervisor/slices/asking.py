"""Asks systemd for slices and scopes, by its own programs: systemctl, and busctl for what systemctl has no word for.

Control groups are systemd's alone to write to. Part of ours could be delegated to us (Delegate=), but then systemd 252
could not start the next supervisor beside engines that live: a group with controllers may have no process of its own,
and DelegateSubgroup= came with 254. Nothing here is waited for by a mount.
"""

import subprocess
from collections.abc import Sequence
from pathlib import Path
from shutil import which
from typing import Final

import trio

from mountctl.supervisor.slices.units import Property

# systemd answers within milliseconds; beyond this it is stuck, and is asked again later.
_ASK_SECONDS_MAX: Final = 5.0
_BUSCTL: Final = "busctl"
_MANAGER: Final = ("org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager")
_REASON_CHARACTERS_MAX: Final = 300


class Refused(Exception):
    """systemd has not done it; the message says why."""


class Silent(Refused):
    """systemd does not answer."""


def no_systemd() -> str | None:
    """Why systemd can't be asked here; None if it can. In a container another's systemd may be seen, which is not."""
    try:
        first = Path("/proc/1/comm").read_text().strip()
    except OSError:
        first = ""
    if first != "systemd" or not Path("/run/systemd/system").is_dir():
        return "no systemd runs here, which would see to it"
    return None if which(_BUSCTL) else f"there is no {_BUSCTL}, which is part of systemd"


async def set_limits(unit: str, limits: Sequence[str]) -> None:
    """Have these limits of a slice in force until the next boot, whether it is there already or not. Raises Refused."""
    await _run("systemctl", "set-property", "--runtime", "--", unit, *limits)


async def version() -> int:
    """Systemd's. Raises Refused."""
    words = (await _run("systemctl", "--version")).split()
    return int(words[1]) if words[1:] and words[1].isdecimal() else 0


async def start_scope(name: str, properties: Sequence[Property]) -> None:
    """Have a new scope; its processes are in it a moment after this. Raises Refused."""
    words = [word for each in properties for word in each]
    # A stop of its slice that is under way is not what is wanted any more: `replace`.
    arguments = (name, "replace", str(len(properties)), *words, "0")
    timeout = f"--timeout={_ASK_SECONDS_MAX:.0f}"
    await _run(
        _BUSCTL, "--quiet", timeout, "call", *_MANAGER, "StartTransientUnit", "ssa(sv)a(sa(sv))", "--", *arguments
    )


async def stop(units: Sequence[str]) -> None:
    """Have slices gone. Raises Refused."""
    await _run("systemctl", "stop", "--no-block", "--", *units)


async def _run(*command: str) -> str:
    """What it prints."""
    try:
        with trio.fail_after(_ASK_SECONDS_MAX):
            done = await trio.run_process(command, capture_stdout=True, stderr=subprocess.STDOUT, check=False)
    except trio.TooSlowError as error:
        raise Silent(f"systemd does not answer {command[0]} within {_ASK_SECONDS_MAX:.0f} s") from error
    except OSError as error:
        raise Refused(f"{command[0]} can't be run: {error.strerror}") from error
    said = done.stdout.decode(errors="replace")
    if done.returncode:
        reason = " ".join(said.split())[:_REASON_CHARACTERS_MAX]
        raise Refused(f"systemd refuses it: {reason or f'{command[0]} exits with {done.returncode}'}")
    return said
