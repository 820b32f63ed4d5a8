"""The `mount` command of the command line, and mount(8)'s helper. Registered and called by parser.py.

The bodies are in mountctl/commands, imported when called: their options come from MountSpec, which other commands need
not import.
"""

import inspect
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mountctl.command_line import Settings, command
from mountctl.guard import guarded
from mountctl.places import ONE_MOUNT_RUNTIME_DIR, RUNTIME_DIR_VARIABLE

if TYPE_CHECKING:
    from mountctl.commands.fstab import Call


def register(*, in_full: bool) -> None:
    """Add the command to the program; with its options only `in_full`."""
    own: list[inspect.Parameter] = []
    if in_full:
        from mountctl.commands.mount import parameters

        own = parameters()
    command(mount, own)


def mount(settings: Settings, **options: Any) -> int:
    """Mount one bucket, or a prefix of it, in the foreground, without a configuration file."""
    from mountctl.commands import mount as body

    if (fstab := options.pop("fstab")) is not None:
        return _mount_as_fstab(settings, fstab, options)
    spec = body.spec_from(**options)
    return body.mount(spec, settings.runtime_dir_of(spec.name), settings.state_dir)


def help_mount(arguments: Sequence[str]) -> int:
    """Be mount(8)'s helper: `mount.mountctl SOURCE DIR [-sfnv] [-o OPTIONS]`. Returns mount(8)'s exit code."""
    from mountctl.commands import fstab

    place = os.environ.get(RUNTIME_DIR_VARIABLE)
    settings = Settings().with_options(Path(place) if place else None, None, None)
    return fstab.exit_code(guarded(lambda: _fstab(settings, fstab.take_apart(arguments))))


def _mount_as_fstab(settings: Settings, text: str, options: dict[str, Any]) -> int:
    """`mountctl mount SOURCE DIR -o OPTIONS`: all is in the option string, and exit codes are mount(8)'s."""
    from mountctl.commands import fstab

    def body() -> int:
        call = fstab.Call(options.pop("source"), options.pop("directory"), text)
        if others := [name for name, value in options.items() if value not in (None, False)]:
            option = f"--{others[0].replace('_', '-')}"
            raise fstab.WrongCall(f"-o: not together with {option}: put it into the option string")
        return _fstab(settings, call)

    return fstab.exit_code(guarded(body))


def _fstab(settings: Settings, call: "Call") -> int:
    from mountctl.commands import fstab

    own = None if settings.runtime_dir_given else ONE_MOUNT_RUNTIME_DIR
    return fstab.mount(call, settings.runtime_dir, settings.state_dir, own)
