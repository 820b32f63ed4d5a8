"""`mountctl reload`: has the supervisor read its file again, shows what came of it. Called by cli.py."""

import sys
from pathlib import Path

from mountctl.control.client import ControlClient


def reload(runtime_dir: Path) -> int:
    """Print what was done to each mount. Returns 0, or 1 when it was refused or a mount did not come up.

    Raises MountctlError when there is no answer.
    """
    result = ControlClient(runtime_dir).reload()
    for name, done in result.mounts.items():
        sys.stdout.write(f"{name}: {done}\n")
    for error in result.errors:
        sys.stderr.write(f"mountctl: reload refused, nothing changed: {error}\n")
    return 0 if result.ok and not result.troubled else 1
