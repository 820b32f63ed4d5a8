"""`mountctl config show [NAME...] [--origin] [--json]`: the mounts as they are meant, after defaults, templates,
references and drop-ins; and where each value is from.

Called by file_commands.py. Reads files only. What it prints is TOML that means the same mounts; a value that looks
secret is shown as it is written if that is a reference, and else not at all.
"""

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import typer

from mountctl.config.load import examine
from mountctl.config.origins import Option, Origin, Origins
from mountctl.config.tables import MOUNT
from mountctl.config.words import HIDDEN, did_you_mean, dotted
from mountctl.errors import ConfigError, UnknownMount

# Of the JSON's form. Keys are added freely; one that is renamed or removed makes it another.
SCHEMA: Final = 1


def show(config: Path, names: Sequence[str] = (), *, origin: bool = False, as_json: bool = False) -> int:
    """Print mounts, all of them or those that are named. Returns 0.

    Args:
        config: the file.
        names: the mounts.
        origin: tell where each value is from, and what is built in, too. JSON always has it.
        as_json: print one JSON object instead of TOML.

    Raises ConfigError, UnknownMount.
    """
    examined = examine(config)
    if examined.problems:
        raise ConfigError(examined.problems)
    mounts = examined.config.mounts
    for name in names:
        if name not in mounts:
            raise UnknownMount(f"no mount {name} in {config}{did_you_mean(name, tuple(mounts))}")
    origins = Origins(examined)
    shown = {name: list(origins.of(name)) for name in (names or mounts)}
    if as_json:
        typer.echo(json.dumps(_json(shown), indent=2, ensure_ascii=False))
    else:
        typer.echo("\n".join("\n".join(_table(name, options, origin=origin)) for name, options in shown.items()))
    return 0


def _table(name: str, options: Sequence[Option], *, origin: bool) -> Iterator[str]:
    yield f"[{dotted((MOUNT, name))}]"
    lines = []
    for option in options:
        if option.origin.kind == "built-in" and (not origin or option.value in (None, [])):
            continue
        lines.append((f"{option.key} = {_value(option)}", _from(option.origin)))
    width = max(len(line) for line, _ in lines)
    for line, where in lines:
        yield f"{line:<{width}}  # {where}" if origin else line
    yield ""


def _value(option: Option) -> str:
    """The value as TOML that means it; one that looks secret as it is written, if that is a reference."""
    if option.value == HIDDEN and option.origin.written is not None:
        return _toml(option.origin.written)
    return _toml(option.value).replace("${", "$${")


def _toml(value: Any) -> str:
    """A value of an option as TOML. JSON's strings are TOML's as well, but for DEL, which TOML wants escaped."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _from(origin: Origin) -> str:
    if origin.file is None:
        return "built-in"
    table = {"mount": "", "defaults": ", defaults", "template": f", template {origin.template}"}[origin.kind]
    written = "" if origin.written is None else f", {_toml(origin.written)}"
    return f"{_name(origin.file)}:{origin.line}:{origin.column}{table}{written}"


def _json(shown: dict[str, list[Option]]) -> dict[str, object]:
    mounts = {
        name: {option.key: {"value": option.value, "origin": _origin(option.origin)} for option in options}
        for name, options in shown.items()
    }
    return {"schema": SCHEMA, "mounts": mounts}


def _origin(origin: Origin) -> dict[str, object]:
    if origin.file is None:
        return {"kind": origin.kind}
    told: dict[str, object] = {
        "kind": origin.kind,
        "file": _name(origin.file),
        "line": origin.line,
        "column": origin.column,
    }
    if origin.template is not None:
        told["template"] = origin.template
    if origin.written is not None:
        told["written"] = origin.written
    return told


def _name(file: Path) -> str:
    """A file's name on one line, whatever is in it."""
    name = os.fsencode(file).decode(errors="backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)
