"""`mountctl import`: print a configuration for what other programs mount, a plan to switch over, or switch one over.

Called by import_command.py. Printing changes nothing on the host, and reads keys only to write them where it is told.
"""

import json
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import typer

from mountctl.config.read import drop_in_directory
from mountctl.control.client import ControlClient
from mountctl.errors import MountctlError
from mountctl.guard import tell
from mountctl.importing import keys, switch, writing
from mountctl.importing.collect import Imported, collect
from mountctl.importing.draft import Draft
from mountctl.importing.host import Host
from mountctl.importing.previous import previous

# Of the JSON's form. Keys are added freely; one that is renamed or removed makes it another.
SCHEMA: Final = 1
_HOST: Final = Host()


class NothingToSwitch(MountctlError):
    """No mount of this name was found."""


@dataclass(frozen=True)
class Asked:
    """What is to be imported.

    Args:
        sources: as collect() takes them.
        commands: command lines.
        credentials: the file that keys are written to, if they are.
    """

    sources: Sequence[str] = ()
    commands: Sequence[str] = ()
    credentials: Path | None = None
    host: Host = field(default=_HOST)

    def called(self) -> list[str]:
        """The command that asks for it."""
        words = ["mountctl", "import", *self.sources]
        for command in self.commands:
            words += ["--command", command]
        return words if self.credentials is None else [*words, "--write-credentials", str(self.credentials)]

    def found(self) -> Imported:
        """It. Raises MountctlError."""
        return collect(self.sources, self.commands, self.host, self.credentials)


def show(asked: Asked, *, as_json: bool) -> int:
    """Print the configuration; write the credentials first, if there is a file for them. Returns the exit code: 0."""
    imported = asked.found()
    _write_keys(imported, asked)
    if as_json:
        typer.echo(json.dumps(_json(imported), indent=2, ensure_ascii=False))
    else:
        typer.echo(writing.document(imported), nl=False)
    for each in imported.unusable:
        tell(f"mountctl: not imported: {each.origin}: {each.reason}")
    return 0


def plan(asked: Asked, config: Path, *, as_json: bool) -> int:
    """Print what is to be done to switch over, mount by mount. Returns the exit code: 0."""
    imported = asked.found()
    steps = {name: list(_steps(name, draft, config, asked.host)) for name, draft in imported.drafts.items()}
    if as_json:
        mounts = [
            {"name": name, "from": draft.found.origin, "mountpoint": draft.keys["mountpoint"], "steps": steps[name]}
            for name, draft in imported.drafts.items()
        ]
        told = {"schema": SCHEMA, "mounts": mounts, "not_imported": _not_imported(imported)}
        typer.echo(json.dumps(told, indent=2, ensure_ascii=False))
        return 0
    for name, draft in imported.drafts.items():
        typer.echo(f"{name}: {draft.keys['mountpoint']}, from {draft.found.origin} ({draft.found.program})")
        for number, step in enumerate(steps[name], start=1):
            typer.echo(f"  {number}. {step}")
        typer.echo(f"  All of it, and back again if it fails: {shlex.join([*asked.called(), '--switch', name])}\n")
    for each in imported.unusable:
        tell(f"mountctl: not imported: {each.origin}: {each.reason}")
    return 0


def switch_over(asked: Asked, config: Path, runtime_dir: Path, name: str, *, yes: bool, seconds: float) -> int:
    """Switch one mount over. Returns the exit code: 0, or 1 if somebody said no. Raises MountctlError."""
    if os.geteuid() != 0:
        raise NothingToSwitch("switching over needs root: run it with sudo")
    imported = asked.found()
    if name not in imported.drafts:
        there = ", ".join(imported.drafts) or "none"
        raise NothingToSwitch(f"no mount {name} was found; there is: {there}")
    _write_keys(imported, asked, name)
    made = switch.plan(name, imported.drafts[name], config, asked.host)
    _must_be_free(made)
    _must_be_let_in(made, runtime_dir)
    for line in _about(made):
        tell(line)
    if not yes and not _agrees(name):
        return 1
    _must_be_free(made)  # somebody may have come while we asked
    switch.carry_out(made, ControlClient(runtime_dir), tell, seconds)
    return 0


def _must_be_free(made: switch.Plan) -> None:
    if users := switch.users(made.spec.mountpoint):
        raise switch.CannotSwitch(
            f"{made.spec.mountpoint} is in use by {', '.join(users)}: end them first; nothing is changed"
        )
    if files := switch.not_uploaded(made.draft):
        raise switch.CannotSwitch(
            f"rclone has not uploaded {len(files)} files yet ({files[0]}): wait for it; nothing is changed"
        )


def _must_be_let_in(made: switch.Plan, runtime_dir: Path) -> None:
    """As `check --online`: what S3 would refuse the new mount. Raises CannotSwitch."""
    from mountctl.commands import online

    (answer,) = online.ask([made.spec], online.environment(runtime_dir))
    if refused := [step for step in answer.steps if step.ok is False]:
        told = "; ".join(f"{step.name}: {step.told}" for step in refused)
        raise switch.CannotSwitch(f"S3 would not let {made.name} do what it needs: {told}; nothing is changed")


def _about(made: switch.Plan) -> Iterator[str]:
    yield f"{made.name}: {made.spec.source} at {made.spec.mountpoint}, from {made.draft.found.origin}"
    for note in made.draft.notes:
        yield f"  {note.kind}: {note.option}: {note.text}"
    if made.inherited:
        yield f"  note: from [defaults] it has also: {', '.join(key.replace('_', '-') for key in made.inherited)}"
    for step in made.old.steps():
        yield f"  will do: {step}"
    yield f"  will write: {made.drop_in}"


def _agrees(name: str) -> bool:
    if not sys.stdin.isatty():
        raise switch.CannotSwitch("nobody is there to ask: give --yes; nothing is changed")
    return typer.confirm(f"Switch {name} over?", err=True)


def _steps(name: str, draft: Draft, config: Path, host: Host) -> Iterator[str]:
    drop_in = drop_in_directory(config) / f"{name}.toml"
    written, place = drop_in.with_name(f".{drop_in.name}"), shlex.quote(draft.keys["mountpoint"])
    for note in draft.notes:
        if note.kind.asks:
            yield f"read: {note.option}: {note.text}"
    yield f"write [mount.{name}] (`mountctl import` prints it) into {written}, and `mountctl check`"
    yield f"end what uses {place} (`fuser -vm {place}`)"
    yield from previous(draft.found, host).steps()
    yield shlex.join(["mv", str(written), str(drop_in)])
    yield f"mountctl reload --only {name}"
    yield f"mountctl wait {name} --timeout 60 && ls {place}"


def _write_keys(imported: Imported, asked: Asked, only: str | None = None) -> None:
    if asked.credentials is None or not imported.profiles:
        return
    wanted = imported.profiles
    if only is not None:
        profile = imported.drafts[only].keys.get("profile")
        wanted = {name: source for name, source in wanted.items() if name == profile}
    added = keys.write(asked.credentials, {name: source.read() for name, source in wanted.items()})
    tell(f"mountctl: {asked.credentials}: profiles added: {', '.join(added) or 'none'}")


def _not_imported(imported: Imported) -> list[dict[str, str]]:
    return [{"from": each.origin, "reason": each.reason} for each in imported.unusable]


def _json(imported: Imported) -> dict[str, object]:
    return {
        "schema": SCHEMA,
        "mounts": [
            {
                "name": name,
                "program": draft.found.program,
                "from": [draft.found.origin, *draft.found.also],
                "options": draft.keys,
                "notes": [
                    {"kind": note.kind.name.lower(), "option": note.option, "text": note.text} for note in draft.notes
                ],
                "nothing_needed": draft.unneeded,
            }
            for name, draft in imported.drafts.items()
        ],
        "not_imported": _not_imported(imported),
        "toml": writing.document(imported),
    }
