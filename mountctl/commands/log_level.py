"""`mountctl log-level NAME LEVEL`: what a mount logs while it runs. Called by supervisor_commands.py."""

import json
import sys
from pathlib import Path

from mountctl.control.client import ControlClient


def log_level(runtime_dir: Path, name: str, level: str, seconds: float | None, *, as_json: bool) -> int:
    """Change it, and print what is so then. Returns 0. Raises MountctlError."""
    found = ControlClient(runtime_dir).set_log_level(name, level, seconds)
    text = json.dumps({"mounts": found}) if as_json else "\n".join(f"{each}: {told}" for each, told in found.items())
    sys.stdout.write(f"{text}\n")
    return 0
