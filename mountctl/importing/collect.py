"""What `mountctl import` is asked to look at, found, put together and named: one `Imported` for all of it."""

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Final

from mountctl.errors import MountctlError
from mountctl.importing import fstab_lines, processes, units
from mountctl.importing.command_lines import typed
from mountctl.importing.draft import Draft, Refused
from mountctl.importing.found import Found, FstabLine, Unit, Unusable
from mountctl.importing.host import Host
from mountctl.importing.keys import Keys, KeySource
from mountctl.importing.translate import name_for, translate

STDIN: Final = "-"
LIVE: Final = "live"
_INPUT_BYTES_MAX: Final = 1024 * 1024


class NoSource(MountctlError):
    """A source can't be read."""


@dataclass(frozen=True)
class Imported:
    """All mounts that were found.

    Args:
        drafts: by their names, in the order in which they were found.
        unusable: what can't be a mount of ours, and why.
        profiles: the name of a profile for each source of keys.
    """

    drafts: dict[str, Draft] = field(default_factory=dict)
    unusable: tuple[Unusable, ...] = ()
    profiles: dict[str, KeySource] = field(default_factory=dict)

    def keys(self) -> dict[str, Keys]:
        """The keys of all profiles. Raises NoKeys."""
        return {name: source.read() for name, source in self.profiles.items()}


def collect(sources: Sequence[str], commands: Sequence[str], host: Host, credentials: Path | None = None) -> Imported:
    """All mounts of some sources.

    Args:
        sources: paths of fstabs, units or directories of them, names of units, `-` for stdin, `live` for
            live processes; none, and no commands: all that this host has.
        commands: command lines.
        host: where to look.
        credentials: a file that profiles of their keys are (to be) in; None: root's own.

    Raises NoSource.
    """
    everything = not sources and not commands
    found = list(_of_host(host)) if everything else [each for source in sources for each in _of_source(source, host)]
    for number, text in enumerate(commands, start=1):
        origin = "the command line" if len(commands) == 1 else f"command line {number}"
        found.append(typed(text, host, origin) or Unusable(origin, "is of none of the programs that are known here"))
    return _put_together(found, host, credentials)


def _of_host(host: Host) -> Iterator[Found | Unusable]:
    if host.fstab.exists():
        yield from _of_file(host.fstab, host)
    yield from units.of_host(host)
    yield from processes.of_host(host)


def _of_source(source: str, host: Host) -> Iterator[Found | Unusable]:
    path = Path(source)
    if source == STDIN:
        yield from of_text(sys.stdin.read(_INPUT_BYTES_MAX), Path("stdin"), host)
    elif source == LIVE:
        yield from processes.of_host(host)
    elif "/" not in source and path.suffix in units.SUFFIXES and not path.exists():
        yield from units.named(source, host)
    elif path.is_dir():
        yield from units.of_host(replace(host, units=(path,)))
    else:
        yield from _of_file(path, host)


def _of_file(path: Path, host: Host) -> Iterator[Found | Unusable]:
    if path.suffix in units.SUFFIXES:
        yield from units.of_file(path.absolute(), host)
        return
    try:
        with path.open("rb") as file:
            text = file.read(_INPUT_BYTES_MAX).decode(errors="surrogateescape")
    except OSError as error:
        raise NoSource(f"cannot read {os.fsdecode(path)}: {error.strerror}") from error
    yield from of_text(text, path.absolute(), host)


def of_text(text: str, path: Path, host: Host) -> Iterator[Found | Unusable]:
    """The mounts of a text: a unit's, or lines of fstab and command lines, one behind the other."""
    if any(line.strip() in ("[Service]", "[Mount]") for line in text.split("\n")):
        yield from units.parse(text, Unit(path.name, path), host)
        return
    joined = text.replace("\\\n", "  ")
    for number, line in enumerate(joined.split("\n"), start=1):
        found = fstab_lines.mount_of(line, FstabLine(path, number, line)) or typed(line, host, f"{path}:{number}")
        if found is not None:
            yield found


def _put_together(found: Iterable[Found | Unusable], host: Host, credentials: Path | None) -> Imported:
    unusable = [each for each in found if isinstance(each, Unusable)]
    made = Imported()
    places: dict[PurePosixPath, str] = {}
    for each in _merged([each for each in found if isinstance(each, Found)]):
        try:
            draft = translate(each, host)
            place = PurePosixPath(draft.keys["mountpoint"])
            _must_be_free(place, places)
        except Refused as refusal:
            unusable.append(Unusable(each.origin, str(refusal)))
            continue
        name = name_for(draft, made.drafts.keys())
        places[place] = name
        made.drafts[name] = draft
        if draft.key_source is not None:
            _use_profile(name, draft, made.profiles, credentials)
    return replace(made, unusable=tuple(unusable))


def _merged(found: Sequence[Found]) -> list[Found]:
    """One of each mountpoint: what declares it, with where else it was seen. Different ones stay, to be refused."""
    kept: dict[tuple[str, str, str], Found] = {}
    for each in found:
        key = (each.program, each.mountpoint.rstrip("/"), each.source.rstrip("/:"))
        if key in kept:
            kept[key] = replace(kept[key], also=(*kept[key].also, each.origin))
        else:
            kept[key] = each
    return list(kept.values())


def _must_be_free(place: PurePosixPath, places: dict[PurePosixPath, str]) -> None:
    for there, name in places.items():
        if there == place:
            raise Refused(f"{place} is the mountpoint of {name} already: each needs its own")
        if there in place.parents or place in there.parents:
            raise Refused(f"{place} and {there}, the mountpoint of {name}, lie in each other: mounts can't be nested")


def _use_profile(name: str, draft: Draft, profiles: dict[str, KeySource], credentials: Path | None) -> None:
    """Have a mount use a profile, which is to be made of its keys; those of one source have one."""
    source = draft.key_source
    assert source is not None
    profile = next((each for each, there in profiles.items() if there == source), name)
    profiles[profile] = source
    draft.keys["profile"] = profile
    if credentials is not None:
        variables = draft.keys.get("environment", {}) | {"AWS_SHARED_CREDENTIALS_FILE": str(credentials)}
        draft.keys["environment"] = dict(sorted(variables.items()))
    else:
        draft.to_do(
            "credentials",
            f"its keys are in {source.told}, and belong into a profile {profile} of /root/.aws/credentials. "
            "`mountctl import --write-credentials PATH` writes them into a file, and its name here.",
        )
