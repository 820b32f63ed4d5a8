"""Units of systemd that mount S3 by one of the programs: `.mount` units, and services that run one.

Reads unit files, their drop-ins and the files of variables that they name; asks no systemd.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from mountctl.importing import fstab_lines, unit_files
from mountctl.importing.command_lines import mount_of, take_apart
from mountctl.importing.found import Found, Unit, Unusable, User
from mountctl.importing.host import Host
from mountctl.importing.programs import NAMES, of_type

SUFFIXES: Final = (".mount", ".service")
_FILE_BYTES_MAX: Final = 256 * 1024
_HOME: Final = "/root"


def of_host(host: Host) -> Iterator[Found | Unusable]:
    """The mounts of all units of a host, by their names."""
    names: set[str] = set()
    for directory in host.units:
        try:
            entries = sorted(directory.iterdir())
        except OSError:
            continue
        for path in entries:
            if path.suffix in SUFFIXES and path.name not in names and not path.is_dir():
                names.add(path.name)
                yield from of_file(path, host)
    yield from _instances(host)


def _instances(host: Host) -> Iterator[Found | Unusable]:
    """Those of templates that are enabled: links in the targets' directories."""
    seen: set[str] = set()
    for directory in host.units:
        for link in sorted(directory.glob("*.wants/*@*.service")) + sorted(directory.glob("*.requires/*@*.service")):
            if link.name not in seen and not link.name.startswith("@") and not link.stem.endswith("@"):
                seen.add(link.name)
                yield from named(link.name, host)


def named(name: str, host: Host) -> Iterator[Found | Unusable]:
    """The mounts of the unit of this name, an instance of a template perhaps."""
    template = name.partition("@")[0] + "@." + name.rpartition(".")[2] if "@" in name else name
    for directory in host.units:
        for file in (directory / name, directory / template):
            if host.is_file(str(file)):
                yield from of_file(file, host, name)
                return
    yield Unusable(name, "no unit of this name is in " + ", ".join(map(str, host.units)))


def of_file(path: Path, host: Host, name: str | None = None) -> Iterator[Found | Unusable]:
    """The mounts of a unit's file.

    Args:
        path: the file.
        host: whose users and files its settings mean.
        name: the unit's, if not the file's: of an instance.
    """
    name = name or path.name
    text = _read(path)
    if text is None:
        return
    for directory in host.units:
        for drop_in in sorted((directory / f"{name}.d").glob("*.conf")):
            text += f"\n{_read(drop_in) or ''}"
    if any(program in text for program in NAMES):
        yield from parse(text, Unit(name, path), host)


def parse(text: str, unit: Unit, host: Host) -> Iterator[Found | Unusable]:
    """The mounts of a unit's text."""
    settings = unit_files.settings(text)
    origin = f"{unit.name} ({unit.path})" if unit.path is not None else unit.name
    try:
        if ("Mount", "What") in settings:
            yield from _of_mount(settings, unit, origin)
        else:
            yield from _of_service(settings, unit, origin, host)
    except LookupError as error:
        yield Unusable(origin, f"the specifier %{error.args[0]} is not known here: write what it means")
    except ValueError as error:
        yield Unusable(origin, str(error))


def _of_mount(settings: unit_files.Settings, unit: Unit, origin: str) -> Iterator[Found | Unusable]:
    def last(key: str) -> str:
        values = settings.get(("Mount", key), [])
        return unit_files.specified(values[-1], unit.name, "root", _HOME) if values else ""

    program, source = fstab_lines.whose(of_type(last("Type")), last("What"))
    if program is None:
        return
    options = fstab_lines.words(program, last("Options"))
    yield Found(program, source, last("Where"), tuple(options), origin, way=unit)


def _of_service(settings: unit_files.Settings, unit: Unit, origin: str, host: Host) -> Iterator[Found | Unusable]:
    if unit.name.partition(".")[0].endswith("@"):
        if _is_ours(settings):
            yield Unusable(
                origin, f"a template: name its instances, as in `mountctl import {unit.name.replace('@', '@INSTANCE')}`"
            )
        return
    user = _user(settings, host)
    names = ("root", _HOME) if user is None else (user.name, user.home or _HOME)
    environment = _environment(settings, unit, names, host)
    for line in settings.get(("Service", "ExecStart"), []):
        plain = unit_files.specified(line.lstrip(unit_files.PREFIXES), unit.name, *names)
        found = take_apart(unit_files.expanded(unit_files.words(plain), environment))
        if found is not None:
            whole = type(found)(found.program, found.arguments, {**environment, **found.environment})
            runs_as = host.user(found.user) if found.user else user
            yield mount_of(whole, origin, way=unit, user=None if runs_as is None or runs_as.uid == 0 else runs_as)


def _is_ours(settings: unit_files.Settings) -> bool:
    return any(
        take_apart(line.lstrip(unit_files.PREFIXES).split()) is not None
        for line in settings.get(("Service", "ExecStart"), [])
    )


def _user(settings: unit_files.Settings, host: Host) -> User | None:
    told = settings.get(("Service", "User"), [])
    if not told or told[-1] in ("root", "0"):
        return None
    user = host.user(told[-1])
    group = settings.get(("Service", "Group"), [])
    if group and group[-1].isdigit():
        return User(user.name, user.uid, int(group[-1]), user.home)
    return user


def _environment(settings: unit_files.Settings, unit: Unit, names: tuple[str, str], host: Host) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in settings.get(("Service", "Environment"), []):
        for word in unit_files.words(unit_files.specified(line, unit.name, *names)):
            name, is_setting, value = word.partition("=")
            if is_setting:
                found[name] = value
    for line in settings.get(("Service", "EnvironmentFile"), []):
        file = unit_files.specified(line.removeprefix("-"), unit.name, *names)
        text = _read(Path(file)) if host.is_file(file) else None
        found |= unit_files.environment_file(text or "")
    return found


def _read(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return file.read(_FILE_BYTES_MAX).decode(errors="surrogateescape")
    except OSError:
        return None
