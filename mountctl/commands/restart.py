"""`mountctl restart NAME...`: has new engines serve mounts, shows what came of it. Called by cli.py."""

import sys
from collections.abc import Sequence
from pathlib import Path

from mountctl.control.client import ControlClient


def restart(runtime_dir: Path, names: Sequence[str]) -> int:
    """Print what became of each mount. Returns 0, or 1 when one is not ready. Raises MountctlError."""
    result = ControlClient(runtime_dir).restart(names)
    for name, done in result.mounts.items():
        sys.stdout.write(f"{name}: {done}\n")
    return 1 if result.troubled else 0
