"""Switch one mount over to ours: the old one out, ours in, and back again if ours does not become ready.

Called by commands/import_.py. Everything that could be refused is asked before anything is touched: the configuration,
S3, the programs that have files open, what rclone has not uploaded yet.
"""

import json
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trio

from engine.spec import MountSpec
from mountctl.config.load import load
from mountctl.config.read import drop_in_directory
from mountctl.control.client import ControlClient
from mountctl.errors import MountctlError, UnknownMount
from mountctl.importing import writing
from mountctl.importing.draft import Draft
from mountctl.importing.found import Program
from mountctl.importing.host import Host
from mountctl.importing.previous import CannotStop, Previous, previous
from mountctl.importing.translate import spec_of
from mountctl.supervisor import mountinfo, open_files

READY_SECONDS_MAX: Final = 60.0
_IN_VAIN: Final = frozenset({"failed", "backoff", "held"})
_MADE_BY_US: Final = "# Made by `mountctl import`."


class CannotSwitch(MountctlError):
    """It was not switched over; the text says why, and how it is now."""


@dataclass(frozen=True)
class Plan:
    """What a switch of one mount does.

    Args:
        name: of the mount.
        draft: it.
        spec: as the configuration would have it.
        drop_in: the file that declares it.
        old: the mount that is there.
        inherited: options that the configuration's [defaults] add.
    """

    name: str
    draft: Draft
    spec: MountSpec
    drop_in: Path
    old: Previous
    inherited: tuple[str, ...]


def plan(name: str, draft: Draft, config: Path, host: Host) -> Plan:
    """What a switch would do. Raises ConfigError, CannotSwitch; touches nothing."""
    drop_in = drop_in_directory(config) / f"{name}.toml"
    there = load(config) if config.exists() else None
    if there is not None and name in there.mounts:
        raise CannotSwitch(f"{config} has a mount {name} already: rename or remove it there")
    if drop_in.exists():
        raise CannotSwitch(f"{drop_in} is there already: remove it")
    with tempfile.TemporaryDirectory(prefix="mountctl-import-") as directory:
        copy = Path(directory) / config.name
        copy_ins = drop_in_directory(copy)
        copy_ins.mkdir()
        if config.exists():
            shutil.copyfile(config, copy)
        else:
            copy.touch()
        for each in there.files[1:] if there is not None else ():
            shutil.copyfile(each, copy_ins / each.name)
        (copy_ins / drop_in.name).write_text(text(name, draft))
        spec = load(copy).mounts[name]
    wanted = spec_of(name, draft)
    inherited = [key for key in MountSpec.model_fields if getattr(spec, key) != getattr(wanted, key)]
    return Plan(name, draft, spec, drop_in, previous(draft.found, host), tuple(inherited))


def text(name: str, draft: Draft) -> str:
    """The drop-in's text."""
    return "\n".join([_MADE_BY_US, *writing.table(name, draft)]) + "\n"


def users(mountpoint: str) -> list[str]:
    """Programs that have the old mount open, each as `command (pid)`."""
    there = mountinfo.at(mountpoint)
    return [] if there is None else trio.run(open_files.users, there.mount_id, mountpoint)


def not_uploaded(draft: Draft) -> list[str]:
    """Files that rclone keeps on a disk and has not uploaded yet: they would be lost with its mount."""
    found = draft.found
    modes = [each.value for each in found.options if each.name == "vfs-cache-mode"]
    if found.program is not Program.RCLONE or modes in ([], ["off"]):
        return []
    told = next((each.value for each in found.options if each.name == "cache-dir" and each.value), None)
    home = found.user.home if found.user is not None and found.user.home else "/root"
    directory = Path(told or f"{home}/.cache/rclone") / "vfsMeta"
    return sorted(
        str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file() and _is_dirty(path)
    )


def _is_dirty(path: Path) -> bool:
    try:
        return bool(json.loads(path.read_bytes()).get("Dirty"))
    except (OSError, ValueError, AttributeError):
        return False


def carry_out(
    plan: Plan, client: ControlClient, tell: Callable[[str], None], seconds: float = READY_SECONDS_MAX
) -> None:
    """Switch over. The old mount is back if this raises (CannotSwitch says so, or why not).

    Args:
        plan: what to do.
        client: the supervisor that is to serve it.
        tell: gets what happens, a line each.
        seconds: how long the new mount may take to become ready.
    """
    client.status()  # raises if there is no supervisor: before anything is stopped
    tell(f"{plan.name}: stopping the old mount at {plan.spec.mountpoint}")
    plan.old.stop()
    try:
        _write(plan.drop_in, text(plan.name, plan.draft))
        tell(f"{plan.name}: {plan.drop_in} declares it now")
        _begin(plan.name, client, seconds)
    except BaseException as error:
        tell(f"{plan.name}: going back")
        back = _go_back(plan, client)
        if isinstance(error, MountctlError):
            raise CannotSwitch(f"{plan.name} did not become ready: {error}; {back}") from error
        tell(f"{plan.name}: {back}")
        raise
    tell(f"{plan.name}: ready")


def _begin(name: str, client: ControlClient, seconds: float) -> None:
    """Have the supervisor mount it; until it is ready. Raises MountctlError."""
    result = client.reload(only=[name])
    if not result.ok:
        raise CannotSwitch("; ".join(result.errors) or "the supervisor refused the reload")
    deadline = time.monotonic() + seconds
    state, reason = "missing", None
    for status in client.watch([name], deadline):
        for mount in (status or {}).get("mounts", []):
            state, reason = mount["state"], mount.get("reason")
        if state == "ready":
            return
        if state in _IN_VAIN:
            break
    raise CannotSwitch(f"it is {state}" + (f": {reason}" if reason else f" after {seconds:.0f} s"))


def _go_back(plan: Plan, client: ControlClient) -> str:
    """Ours away, the old one back. A sentence about how it is now."""
    trouble = []
    try:
        plan.drop_in.unlink(missing_ok=True)
        result = client.reload(only=[plan.name], yes=True)
        trouble += result.errors
    except UnknownMount:
        pass  # it never came to be one
    except (MountctlError, OSError) as error:
        trouble.append(str(error))
    try:
        plan.old.bring_back()
    except CannotStop as error:
        trouble.append(str(error))
    if trouble:
        return f"the old mount is NOT as it was: {'; '.join(trouble)}"
    return "the old mount is back, and nothing is changed"


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text)
        temporary.rename(path)
    except OSError as error:
        raise CannotSwitch(f"cannot write {path}: {error.strerror}") from error
