"""`mountctl upgrade`: has all mounts served by the engine that is installed now. Called by cli.py."""

import sys
from pathlib import Path

from mountctl.commands.outcome import show
from mountctl.control.client import ControlClient


def upgrade(runtime_dir: Path, *, as_json: bool) -> int:
    """Print what came of each mount. Returns 0, or 1 when one stays with its old engine, or the new code does not run.

    Raises MountctlError when there is no answer.
    """
    result = ControlClient(runtime_dir).upgrade()
    for error in result.errors:
        sys.stderr.write(f"mountctl: not upgraded, nothing changed: {error}\n")
    return show(result, as_json=as_json)
