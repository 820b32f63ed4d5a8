"""`mountctl upgrade`: has all mounts served by the engine that is installed now. Called by cli.py."""

import json
import sys
from pathlib import Path

from mountctl.commands.outcome import show
from mountctl.control.client import ControlClient
from mountctl.control.protocol import ReloadResult
from mountctl.errors import MountctlError
from mountctl.status_table import printable


def upgrade(runtime_dir: Path, *, as_json: bool) -> int:
    """Print what came of each mount. Returns 0, or 1 when one stays with its old engine, or the new code does not run.

    Raises MountctlError when there is no answer.
    """
    result = _ask(runtime_dir)
    for error in result.errors:
        sys.stderr.write(f"mountctl: not upgraded, nothing changed: {error}\n")
    return show(result, as_json=as_json)


def upgrade_others(runtime_dir: Path, *, as_json: bool) -> int:
    """The same for all other supervisors on this host that run this installation, one after the other.

    Args:
        runtime_dir: of the one that is left out.
        as_json: an object with what came of each, by its runtime directory.

    Returns 0, or 1 when a mount of any stays with its old engine.
    """
    from mountctl.commands import supervisors

    results = {str(place): _told(place) for place in supervisors.runtime_dirs() if place != runtime_dir.resolve()}
    if as_json:
        told = {place: result.model_dump() for place, result in results.items()}
        sys.stdout.write(f"{json.dumps(told, indent=2, ensure_ascii=False)}\n")
    for place, result in results.items():
        for error in result.errors:
            sys.stderr.write(f"mountctl: {printable(place)}: not upgraded, nothing changed: {error}\n")
        for name, done in result.mounts.items() if not as_json else ():
            sys.stdout.write(f"{printable(f'{place}: {name}: {done}')}\n")
    return 1 if any(not result.ok or result.troubled for result in results.values()) else 0


def _told(runtime_dir: Path) -> ReloadResult:
    try:
        return _ask(runtime_dir)
    except MountctlError as error:
        return ReloadResult(ok=False, errors=[str(error)])


def _ask(runtime_dir: Path) -> ReloadResult:
    client = ControlClient(runtime_dir)
    client.status()  # an upgrade may take an hour: one that hangs is known by this in seconds
    return client.upgrade()
