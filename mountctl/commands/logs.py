"""`mountctl logs NAME`: a mount's log, wherever it is. Called by supervisor_commands.py.

The supervisor says where it goes: a file (`log-directory`), the journal, or its own standard error. The first two are
read by the programs that there are for it; of the third the supervisor has the last lines.
"""

import contextlib
import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final

from mountctl import terminal
from mountctl.control.client import ControlClient
from mountctl.errors import MountctlError
from mountctl.status_table import printable

# Of the journal: of a service with hundreds of mounts this is hours.
_LOOKED_AT_MAX: Final = 200_000
_JOURNALCTL: Final = "journalctl"
_LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_OF_PRIORITY: Final = {"7": "DEBUG", "6": "INFO", "4": "WARNING", "3": "ERROR", "2": "CRITICAL"}


class LogUnreadable(MountctlError):
    """A mount's log can't be read; the text says why."""


def logs(runtime_dir: Path, name: str, *, count: int, follow: bool, as_json: bool) -> int:
    """Print the last lines of a mount's log, oldest first; with `follow` go on. Returns 0.

    Raises MountctlError: no supervisor, no such mount, a log that can't be read.
    """
    terminal.end_orderly()
    client = ControlClient(runtime_dir)
    [mount] = client.status([name])["mounts"]
    log: Mapping[str, Any] = mount.get("log", {})
    where, path, unit = log.get("to"), log.get("path"), log.get("unit")
    if where == "file" and path:
        _say(str(path))
        lines = _of_file(path, count, follow=follow)
    elif where == "journal" and shutil.which(_JOURNALCTL):
        # A mount in the background (fstab) is no unit's; background.py gives it this name.
        matches = [f"--unit={unit}"] if unit else ["--identifier=mountctl"]
        if unit and (of_engines := mount.get("slice")):
            matches.append(f"--unit={of_engines['name']}")
        _say(f"the journal: {shlex.join([_JOURNALCTL, *matches])}")
        lines = _of_journal(matches, name, count, follow=follow)
    else:
        _say(_about_stderr(where, path))
        lines = _of_supervisor(client.logs(name, count, follow=follow))
    for line in lines:
        shown = json.dumps({"mount": name, "line": line}, ensure_ascii=False) if as_json else printable(line)
        terminal.write_now(f"{shown}\n")
    return 0


def _say(where: str) -> None:
    sys.stderr.write(f"mountctl: from {where}\n")


def _about_stderr(where: str | None, path: str | None) -> str:
    if where == "nowhere":
        return "the supervisor, of what it says itself: the mount has no-log"
    goes = f", {path}" if path else ""
    return f"the supervisor, which has the last lines only: all of them go to its standard error{goes}"


def _of_supervisor(told: Iterator[dict[str, Any] | None]) -> Iterator[str]:
    for each in told:
        if each is None:
            terminal.look_for_reader()
        else:
            yield each["line"]


def _of_file(path: str, count: int, *, follow: bool) -> Iterator[str]:
    """By tail(1), which goes on when the file is rotated."""
    return _lines(["tail", f"--lines={count}", *(["--follow=name", "--retry"] if follow else []), "--", path])


def _of_journal(matches: list[str], name: str, count: int, *, follow: bool) -> Iterator[str]:
    """The lines of this mount among those of the service: they have its name as a field, or at their beginning."""
    command = [_JOURNALCTL, *matches, "--output=json", "--no-pager", "--quiet", "--all"]
    newest = [json.loads(line) for line in islice(_lines([*command, "--reverse", "--lines=1"]), 1)]
    latest = islice(_lines([*command, "--reverse"]), _LOOKED_AT_MAX)
    found = list(islice(_of_mount(map(json.loads, latest), name), count)) if count else []
    yield from reversed(found)
    if follow:
        after = f"--after-cursor={newest[0]['__CURSOR']}" if newest else "--lines=0"
        yield from _of_mount(map(json.loads, _lines([*command, "--follow", after])), name)


def _of_mount(entries: Iterator[dict[str, Any]], name: str) -> Iterator[str]:
    for entry in entries:
        message = entry.get("MESSAGE")
        if isinstance(message, list):  # journald's form of what is no UTF-8
            message = bytes(message).decode(errors="backslashreplace")
        if (told := _told_of(name, message or "", entry)) is None:
            continue
        at = datetime.fromtimestamp(int(entry["__REALTIME_TIMESTAMP"]) / 1e6, UTC)
        yield f"{at.strftime('%Y-%m-%dT%H:%M:%SZ')} {told}"


def _told_of(name: str, message: str, entry: Mapping[str, Any]) -> str | None:
    """An entry as a line; None if it is not this mount's. It may be in any form of engine/log_format.py."""
    if entry.get("MOUNTCTL_MOUNT") == name:
        return f"{_OF_PRIORITY.get(str(entry.get('PRIORITY')), 'INFO')} {message}"
    if message.startswith("{"):
        with contextlib.suppress(ValueError):
            found = json.loads(message)
            if found.get("mount") == name:
                return f"{str(found.get('level')).upper()} {name}: {found.get('message')}"
    level, _, rest = message.partition(" ")
    return message if level in _LEVELS and rest.startswith(f"{name}: ") else None


def _lines(command: list[str]) -> Iterator[str]:
    """What a program prints, as it comes. It is ended when no more is wanted. Raises LogUnreadable."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            for line in process.stdout:
                yield line.decode(errors="backslashreplace").rstrip("\n")
            if code := process.wait():
                said = process.stderr.read().decode(errors="backslashreplace").strip()
                raise LogUnreadable(said.replace("\n", "; ") or f"{command[0]} ended with {code}")
        finally:
            process.kill()
