"""Where each value of a mount comes from: its own table, a template, the defaults, or what is built in.

Called by commands/config_show.py, for configurations without errors. Pure.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from engine.spec import MountSpec, kebab
from mountctl.config.layers import effective
from mountctl.config.load import Examined
from mountctl.config.positions import Positions
from mountctl.config.secrets import looks_secret
from mountctl.config.tables import DEFAULTS, TEMPLATE, Setting
from mountctl.config.words import HIDDEN


@dataclass(frozen=True)
class Origin:
    """What a value is from.

    Args:
        kind: the table, or that no table has it.
        template: its name, for a template.
        file, line, column: where the key stands; None for what is built in.
        written: the value as it stands there, if it has references in it; HIDDEN if that looks secret itself.
    """

    kind: Literal["mount", "template", "defaults", "built-in"]
    template: str | None = None
    file: Path | None = None
    line: int | None = None
    column: int | None = None
    written: Any = None


@dataclass(frozen=True)
class Option:
    """One option of a mount: its key, the value that counts (words.HIDDEN where it looks secret), and its origin."""

    key: str
    value: Any
    origin: Origin


class Origins:
    """Origins in one configuration; a file's positions are found once, when they are asked for first."""

    def __init__(self, examined: Examined) -> None:
        self._examined = examined
        self._positions: dict[Path, Positions] = {}

    def of(self, name: str) -> Iterator[Option]:
        """Every option of a mount but its name, in the order of MountSpec. The mount must be there."""
        spec = self._examined.config.mounts[name]
        settings = effective(self._examined.tables, self._examined.tables.mounts[name])
        for field in MountSpec.model_fields:
            key = kebab(field)
            if field == "name":
                continue
            setting = settings.get(key)
            if setting is None:
                yield Option(key, _plain(field, spec), Origin("built-in"))
            else:
                value = HIDDEN if setting.secret else _plain(field, spec)
                yield Option(key, value, self._origin(setting))

    def _origin(self, setting: Setting) -> Origin:
        file = setting.document.path
        if file not in self._positions:
            self._positions[file] = Positions(setting.document.source)
        line, column = self._positions[file].of(setting.path)
        at = {"file": file, "line": line, "column": column, "written": _written(setting)}
        if setting.path[0] == TEMPLATE:
            return Origin("template", template=setting.path[1], **at)
        return Origin("defaults" if setting.path[0] == DEFAULTS else "mount", **at)


def _written(setting: Setting) -> Any:
    texts = list(setting.written.values()) if isinstance(setting.written, dict) else setting.written
    texts = texts if isinstance(texts, list) else [texts]
    return HIDDEN if any(isinstance(text, str) and looks_secret(text) for text in texts) else setting.written


def _plain(field: str, spec: MountSpec) -> Any:
    """A value as TOML writes it: modes in octal."""
    value = getattr(spec, field)
    if field in ("dir_mode", "file_mode"):
        return f"{value:04o}"
    return list(value) if isinstance(value, tuple) else value
