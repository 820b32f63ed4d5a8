"""`mountctl doctor --bundle PATH`: a tar.gz for a bug report, without secrets.

Called by commands/doctor.py. Every text goes through config/secrets.py's `redacted`. Gathers by processes with a time
limit, so that nothing hangs; what can't be had has its reason instead.
"""

import io
import json
import os
import platform
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import engine
from mountctl.config.secrets import name_looks_secret, redacted
from mountctl.control.client import ControlClient
from mountctl.doctor.probing import Facts
from mountctl.doctor.processes import ProbeFailed, environment_of, output
from mountctl.errors import MountctlError
from mountctl.interpreter import PYTHON
from mountctl.supervisor.session import FSTYPE

# Of each mount's log. Files of hundreds of mounts make a few MiB.
LOG_LINES: Final = 300
LOGS_MAX: Final = 50
_COMMAND_SECONDS_MAX: Final = 15.0
# All logs together; the machine may be in trouble.
_LOGS_SECONDS_MAX: Final = 120.0
# Shorter ones are words; to hide each in all texts would say more than it hides.
_SECRET_CHARACTERS_MIN: Final = 8
_IDS: Final = frozenset({"AWS_ACCESS_KEY_ID"})
_LIBRARIES: Final = ("pyfuse3", "trio", "botocore", "awscrt", "pydantic", "typer", "h11")
_PROGRAM: Final = "from mountctl.cli import main; main()"

README: Final = f"""\
What `mountctl doctor --bundle` has gathered, for a bug report. Look through it before you send it.

In it:
  doctor.json    what doctor has found
  versions.json  of mountctl, its libraries, Python, the kernel, the distribution
  status.json    states, counters, errors of all mounts
  plan.json      what a reload would do
  events.json    what has happened to mounts lately
  config.txt     `mountctl config show --origin`: names, buckets, prefixes, paths, options
  mountinfo.txt  the kernel's lines about our mounts
  logs/          the last {LOG_LINES} lines of each mount's log ({LOGS_MAX} mounts at most), where names of files may be
Not in it: keys, their ids, tokens, passwords, users in URLs, account numbers (each is "(hidden)"); the configuration
and credentials files themselves; any object's content; the environment.
"""


class BundleFailed(MountctlError):
    """The file can't be written; the text says why."""


def refuse_existing(path: Path) -> None:
    """Before anything is looked at. Raises BundleFailed."""
    if os.path.lexists(path):
        raise BundleFailed(f"{path} is there already: give another name, or remove it")


def write(path: Path, facts: Facts, findings: Mapping[str, object], config: Path, runtime: Path) -> None:
    """Make the file, for its owner only. Raises BundleFailed, also if there is one by this name."""
    refuse_existing(path)
    hidden = known_secrets(environment_of(facts.service.pid if facts.service else None).variables, os.environ)
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(fd, "wb") as raw, tarfile.open(fileobj=raw, mode="w:gz") as tar:
                for name, text in members(facts, findings, config, runtime):
                    _add(tar, name, redacted(text, hidden) if isinstance(text, str) else _json(text, hidden))
        except BaseException:
            path.unlink()  # half of it is of no use, and would be in the way of the next one
            raise
    except OSError as error:
        raise BundleFailed(f"cannot write {path}: {error.strerror or error}") from error


def members(
    facts: Facts, findings: Mapping[str, object], config: Path, runtime: Path
) -> Iterator[tuple[str, str | Mapping[str, Any] | Sequence[Any]]]:
    """Names and contents, not redacted yet."""
    client = ControlClient(runtime)
    environment = environment_of(facts.service.pid if facts.service else None).variables
    yield "README.txt", README
    yield "doctor.json", findings
    yield "versions.json", _versions()
    yield "status.json", facts.status or {"error": str(facts.status_trouble)}
    yield "plan.json", _asked(client.plan) if facts.status else {"error": str(facts.status_trouble)}
    yield "events.json", facts.events
    yield "config.txt", _command(environment, "--config", os.fspath(config), "config", "show", "--origin")
    yield "mountinfo.txt", _mountinfo()
    until = time.monotonic() + _LOGS_SECONDS_MAX
    for mount in facts.status.get("mounts", ())[:LOGS_MAX]:
        if time.monotonic() < until:
            told = ("--runtime-dir", os.fspath(runtime), "logs", mount["name"], "--lines", str(LOG_LINES))
            yield f"logs/{mount['name']}.log", _command(environment, *told)


def known_secrets(*environments: Mapping[str, str]) -> set[str]:
    """Values of variables that say by their name that they are secret, or that have a user in a URL."""
    found = set()
    for each in environments:
        for name, value in each.items():
            if name in _IDS or name_looks_secret(name):
                found.add(value)
            elif "@" in value and ("://" in value or name.lower().endswith("_proxy")):  # which may lack its http://
                found |= set(value.rpartition("://")[2].rpartition("@")[0].split(":", 1))
    return {each for each in found if len(each) >= _SECRET_CHARACTERS_MIN}


def _json(value: Any, hidden: set[str]) -> str:
    """JSON in which strings are redacted, and not numbers that look like an account's."""

    def clean(each: Any) -> Any:
        if isinstance(each, dict):
            return {redacted(str(name), hidden): clean(inner) for name, inner in each.items()}
        if isinstance(each, (list, tuple)):
            return [clean(inner) for inner in each]
        return redacted(each, hidden) if isinstance(each, str) else each

    return json.dumps(clean(value), indent=2, ensure_ascii=False)


def _add(tar: tarfile.TarFile, name: str, text: str) -> None:
    data = text.encode(errors="backslashreplace")
    info = tarfile.TarInfo(f"mountctl-doctor/{name}")
    info.size, info.mode, info.mtime = len(data), 0o600, int(time.time())
    tar.addfile(info, io.BytesIO(data))


def _versions() -> dict[str, str]:
    told = {"mountctl": engine.__version__, "python": platform.python_version(), "kernel": platform.release()}
    told["machine"] = platform.machine()
    try:
        told["system"] = platform.freedesktop_os_release().get("PRETTY_NAME", "")
    except OSError:
        told["system"] = ""
    for name in _LIBRARIES:
        try:
            told[name] = version(name)
        except PackageNotFoundError:
            told[name] = "not installed"
    return told


def _asked(ask: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return ask()
    except MountctlError as error:
        return {"error": str(error)}


def _mountinfo() -> str:
    text = Path("/proc/self/mountinfo").read_text(errors="backslashreplace")
    return "".join(f"{line}\n" for line in text.split("\n") if f" - {FSTYPE} " in line)


def _command(environment: Mapping[str, str], *arguments: str) -> str:
    """What a command of ours prints, on both."""
    try:
        _, out, err = output([*PYTHON, "-c", _PROGRAM, *arguments], _COMMAND_SECONDS_MAX, environment)
    except ProbeFailed as error:
        return f"{error}\n"
    return err + out
