"""What a shell completes: the names of mounts, of the supervisor that runs or else of the file. Called by the parser.

Whoever presses TAB waits, and has no use for errors: so it is quick, silent, and knows nothing when in doubt.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from mountctl.places import CONFIG, CONFIG_VARIABLE, RUNTIME_DIR, RUNTIME_DIR_VARIABLE

# A person who waits for longer has typed the name.
SECONDS_MAX: Final = 0.5


def mount_names(ctx: Any, incomplete: str) -> list[str]:
    """The names that begin so, but for those that the command line has already.

    Args:
        ctx: the parser's, with what was typed before.
        incomplete: the word that is being typed.
    """
    try:
        given = ctx.params.get("names") or ()
        return sorted({name for name in _names(ctx) if name.startswith(incomplete)} - set(given))
    except Exception:  # noqa: BLE001 - a shell would show it in the middle of what is being typed
        return []


def _names(context: Any) -> set[str]:
    from mountctl.control.client import ControlClient
    from mountctl.errors import MountctlError

    try:
        place = _option(context, "runtime_dir") or os.environ.get(RUNTIME_DIR_VARIABLE) or RUNTIME_DIR
        return {mount["name"] for mount in ControlClient(Path(place)).status(seconds=SECONDS_MAX)["mounts"]}
    except MountctlError:
        config = Path(_option(context, "config") or os.environ.get(CONFIG_VARIABLE) or CONFIG)
        return {name for file in _files(config) for name in _declared(file)}


def _option(context: Any, name: str) -> Any:
    """What an option was given, behind the command or in front of it."""
    parent = context.parent
    return context.params.get(name) or (None if parent is None else parent.params.get(name))


def _files(config: Path) -> Iterator[Path]:
    yield config
    yield from config.with_suffix(".d").glob("[!.]*.toml")


def _declared(file: Path) -> set[str]:
    """The names of the mounts in a file, as far as it can be read."""
    import tomllib

    try:
        return set(tomllib.loads(file.read_text()).get("mount", {}))
    except (OSError, ValueError):
        return set()
