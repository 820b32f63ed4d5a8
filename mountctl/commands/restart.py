"""`mountctl restart NAME...`: has new engines serve mounts, shows what came of it. Called by cli.py."""

from collections.abc import Sequence
from pathlib import Path

from mountctl.commands.outcome import show
from mountctl.control.client import ControlClient


def restart(runtime_dir: Path, names: Sequence[str], *, as_json: bool) -> int:
    """Print what became of each mount. Returns 0, or 1 when one is not ready. Raises MountctlError."""
    result = ControlClient(runtime_dir).restart(names)
    return show(result, as_json=as_json)
