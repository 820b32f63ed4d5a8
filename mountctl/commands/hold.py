"""`mountctl stop` and `start`: an operator's hold on mounts, with what is waited for meanwhile. Called by cli.py."""

import concurrent.futures
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from mountctl.commands.outcome import show
from mountctl.control.client import ControlClient
from mountctl.control.protocol import RestartResult
from mountctl.errors import MountctlError
from mountctl.guard import tell

# How often a person is told what is waited for.
_TELL_SECONDS: Final = 2.0


def stop(runtime_dir: Path, names: Sequence[str], seconds: float, *, as_json: bool) -> int:
    """Print what became of each mount, and meanwhile who holds it up. Returns 0, or 1 when something was cut off.

    Raises MountctlError.
    """
    client = ControlClient(runtime_dir)
    asked = _ask(client, names, seconds)
    try:
        while not concurrent.futures.wait([asked], _TELL_SECONDS).done:
            for line in _waiting(client, names):
                tell(f"mountctl: {line}")
    except KeyboardInterrupt:
        tell("mountctl: no longer waiting; the supervisor goes on, and `mountctl start` mounts again")
        raise
    return show(asked.result(), as_json=as_json)


def start(runtime_dir: Path, names: Sequence[str], *, as_json: bool) -> int:
    """Print what became of each mount. Returns 0, or 1 when one is not ready. Raises MountctlError."""
    result = ControlClient(runtime_dir).start(names)
    return show(result, as_json=as_json)


def _ask(client: ControlClient, names: Sequence[str], seconds: float) -> concurrent.futures.Future[RestartResult]:
    """Have them stopped, in a thread that nobody waits for at the end: whoever interrupts the command is done."""
    asked: concurrent.futures.Future[RestartResult] = concurrent.futures.Future()

    def ask() -> None:
        try:
            asked.set_result(client.stop(names, seconds))
        except BaseException as error:  # noqa: BLE001 - raised again by who waits
            asked.set_exception(error)

    threading.Thread(target=ask, daemon=True).start()
    return asked


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
