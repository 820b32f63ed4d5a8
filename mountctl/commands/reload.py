"""`mountctl reload` and `confirm`: has the supervisor read its file again, shows what came of it. Called by cli.py."""

import sys
from collections.abc import Sequence
from pathlib import Path

from mountctl.commands.outcome import show
from mountctl.control.client import ControlClient


def reload(
    runtime_dir: Path, *, yes: bool, atomic: bool, only: Sequence[str], confirm: float | None, as_json: bool
) -> int:
    """Print what was done to each mount. Returns 0, or 1 when it was refused or a mount did not come up.

    Raises MountctlError when there is no answer.
    """
    result = ControlClient(runtime_dir).reload(yes=yes, atomic=atomic, only=only, confirm=confirm)
    for error in result.errors:
        what = "not reloaded" if result.mounts else "reload refused, nothing changed"
        sys.stderr.write(f"mountctl: {what}: {error}\n")
    if result.ok and confirm is not None:
        sys.stderr.write(f"mountctl: in force for {confirm:g} s: `mountctl confirm` keeps it\n")
    return show(result, as_json=as_json)


def confirm(runtime_dir: Path, *, as_json: bool) -> int:
    """Keep what is on trial. Returns 0; raises MountctlError when there is nothing, or no answer."""
    ControlClient(runtime_dir).confirm()
    if as_json:
        sys.stdout.write('{"confirmed": true}\n')
    return 0
