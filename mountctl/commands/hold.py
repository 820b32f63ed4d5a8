"""`mountctl stop` and `start`: an operator's hold on mounts, with what is waited for meanwhile. Called by cli.py."""

import concurrent.futures
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from mountctl.commands.outcome import show
from mountctl.control.client import ControlClient
from mountctl.errors import MountctlError

# How often a person is told what is waited for.
_TELL_SECONDS: Final = 2.0


def stop(runtime_dir: Path, names: Sequence[str], seconds: float, *, as_json: bool) -> int:
    """Print what became of each mount, and meanwhile who holds it up. Returns 0, or 1 when something was cut off.

    Raises MountctlError.
    """
    client = ControlClient(runtime_dir)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        asked = pool.submit(client.stop, names, seconds)
        while not concurrent.futures.wait([asked], _TELL_SECONDS).done:
            for line in _waiting(client, names):
                sys.stderr.write(f"mountctl: {line}\n")
        result = asked.result()
    return show(result, as_json=as_json)


def start(runtime_dir: Path, names: Sequence[str], *, as_json: bool) -> int:
    """Print what became of each mount. Returns 0, or 1 when one is not ready. Raises MountctlError."""
    result = ControlClient(runtime_dir).start(names)
    return show(result, as_json=as_json)


def _waiting(client: ControlClient, names: Sequence[str]) -> list[str]:
    """What is waited for, a sentence a mount; nothing of those that have just gone."""
    told = []
    for name in names:
        try:
            (mount,) = client.status([name])["mounts"]
            if uploads := mount.get("stats", {}).get("uploads", 0):
                users = ", ".join(client.users(name)) or "nobody that can be seen"
                told.append(f"{name}: waiting for {uploads} files that are being written; open in: {users}")
        except (MountctlError, ValueError):
            continue
    return told
