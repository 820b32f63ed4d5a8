"""`mountctl restore PATH...`: have S3 restore archived objects, say how many first, and wait for them if asked.

Called by restore_command.py. A path is looked up among the mountpoints by its text: the mount is not touched, as it may
hang. The mount's engine asks S3, with the mount's own keys.
"""

import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import typer

from engine.restores import KEYS_MAX, AskRestore, RestoreTold, Tier
from mountctl.control.client import ControlClient
from mountctl.errors import MountctlError, SupervisorSilent
from mountctl.guard import tell
from mountctl.status_table import size
from mountctl.supervisor.under_way import disjoint

EXIT_FAILED: Final = 1
# A look costs a request for each path, or for each thousand objects; the quickest tier takes a minute.
_LOOK_SECONDS_MIN, _LOOK_SECONDS_MAX = 2.0, 60.0
# `--wait` outlives an engine that is replaced, a reload, and a supervisor that is upgraded: each takes seconds.
_AWAY_SECONDS_MAX: Final = 600.0
_NOT_KNOWN: Final = "; what S3 was asked for by then is not known: ask again, nothing is asked for or paid twice"


class NoMount(MountctlError):
    """A path is in none of the mounts."""


class NotRestored(MountctlError):
    """More would be restored than the limits allow, or S3 refuses; the text says which."""


@dataclass(frozen=True)
class Wanted:
    """What is asked for.

    Args:
        paths: files, or directories with `recursive`.
        recursive: all below them.
        tier: how fast, which is what it costs.
        days: how long copies are kept.
        objects_max: how many at most.
        bytes_max: how much at most; None: any.
    """

    paths: Sequence[str]
    recursive: bool = False
    tier: Tier = "Standard"
    days: int = 7
    objects_max: int = 1000
    bytes_max: int | None = None


def restore(runtime_dir: Path, wanted: Wanted, *, wait: bool, as_json: bool) -> int:
    """Count, then ask. Returns the exit code: 1 if not all was taken on. Raises MountctlError."""
    client = ControlClient(runtime_dir)
    requests = _requests(client, wanted)
    counted = _all(client, requests)
    _must_fit(counted, wanted)
    tell(f"mountctl: {_objects(counted.archived)} ({size(counted.archived_bytes)}) to be restored, tier {wanted.tier}")
    done, unanswered = _begin(client, requests) if counted.archived else (counted, 0)
    if wait and not done.failed and not unanswered:
        done = _wait(client, requests, done)
    _print(done, as_json=as_json, unanswered=unanswered)
    return EXIT_FAILED if done.failed or unanswered else 0


def status(runtime_dir: Path, wanted: Wanted, *, as_json: bool) -> int:
    """Show what S3 says of paths, or of all mounts what their engines know. Returns the exit code: 0."""
    client = ControlClient(runtime_dir)
    if wanted.paths:
        _print(_all(client, _looks(_requests(client, wanted))), as_json=as_json)
        return 0
    mounts = {mount["name"]: mount.get("restores", {}) for mount in client.status()["mounts"]}
    if as_json:
        typer.echo(json.dumps({"schema": 1, "mounts": mounts}, indent=2))
        return 0
    for name, known in mounts.items():
        if count := known.get("under_way"):
            typer.echo(f"{name}: {_objects(count)} under way, the next expected by {known.get('next_expected')}")
    return 0


def _requests(client: ControlClient, wanted: Wanted) -> list[tuple[str, AskRestore]]:
    """Requests by mounts, each of some paths."""
    mounts = client.status()["mounts"]
    by_mount: dict[str, list[str]] = {}
    for path in wanted.paths:
        name, below = place(path, mounts)
        by_mount.setdefault(name, []).append(below)
    return [
        (
            name,
            AskRestore(
                paths=some,
                recursive=wanted.recursive,
                tier=wanted.tier,
                days=wanted.days,
                objects_max=wanted.objects_max,
                bytes_max=wanted.bytes_max,
            ),
        )
        for name, paths in by_mount.items()
        for some in _in_pieces(disjoint(paths, recursive=wanted.recursive))
    ]


def _looks(requests: Sequence[tuple[str, AskRestore]]) -> list[tuple[str, AskRestore]]:
    """The same, as questions that no limit is about."""
    return [(name, asked.model_copy(update={"limited": False})) for name, asked in requests]


def _in_pieces(paths: list[str]) -> list[tuple[str, ...]]:
    return [tuple(paths[start : start + KEYS_MAX]) for start in range(0, len(paths), KEYS_MAX)]


def place(path: str, mounts: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """The mount that a path is in, and the path below its mountpoint. By the text alone. Raises NoMount."""
    whole = os.path.abspath(path)
    for mount in sorted(mounts, key=lambda each: -len(each["mountpoint"])):
        there = mount["mountpoint"]
        if whole == there or whole.startswith(f"{there}/"):
            return mount["name"], whole[len(there) :].strip("/")
    raise NoMount(
        f"{whole} is in no mount of this supervisor's (links are not followed: give the path below a mountpoint)"
    )


def _all(client: ControlClient, requests: Sequence[tuple[str, AskRestore]]) -> RestoreTold:
    """What S3 says of all that is asked about, as one. Raises NotRestored for what could not even be counted."""
    return _sum([_one(client, name, asked.model_copy(update={"begin": False})) for name, asked in requests])


def _begin(client: ControlClient, requests: Sequence[tuple[str, AskRestore]]) -> tuple[RestoreTold, int]:
    """Have all of it restored: what was answered as one, and how many paths have no answer, which is told why.

    One without an answer does not keep the others from being asked for.
    """
    answers, unanswered = [], 0
    for name, asked in requests:
        try:
            answers.append(_one(client, name, asked))
        except MountctlError as error:
            unanswered += len(asked.paths)
            also = _NOT_KNOWN if isinstance(error, SupervisorSilent) else ""
            tell(f"mountctl: {', '.join(path or '/' for path in asked.paths)}: {error}{also}")
    return _sum(answers), unanswered


def _one(client: ControlClient, name: str, asked: AskRestore) -> RestoreTold:
    """Raises NotRestored if nothing could be found out, let alone asked for."""
    told = client.restore(name, asked)
    if told.failure and not told.asked and not told.under_way and not told.archived:
        raise NotRestored(f"{name}: {told.failure}")
    return told


def _sum(answers: Sequence[RestoreTold]) -> RestoreTold:
    keys = ("archived", "archived_bytes", "under_way", "readable", "asked", "failed")
    total = {key: sum(getattr(told, key) for told in answers) for key in keys}
    return RestoreTold(failure=next((told.failure for told in answers if told.failure), ""), **total)


def _must_fit(counted: RestoreTold, wanted: Wanted) -> None:
    """The limits are of all paths together. Raises NotRestored."""
    if counted.archived > wanted.objects_max:
        raise NotRestored(
            f"{_objects(counted.archived)} would be restored: more than --max-objects {wanted.objects_max}"
        )
    if wanted.bytes_max is not None and counted.archived_bytes > wanted.bytes_max:
        raise NotRestored(f"{size(counted.archived_bytes)} would be restored: more than --max-bytes {wanted.bytes_max}")


def _wait(client: ControlClient, requests: Sequence[tuple[str, AskRestore]], done: RestoreTold) -> RestoreTold:
    """Until S3 restores nothing more of it. Raises MountctlError when nobody can be asked for long."""
    pause, heard = _LOOK_SECONDS_MIN, time.monotonic()
    # What is deleted meanwhile is no longer waited for.
    looks = [(name, asked.model_copy(update={"missing_ok": True})) for name, asked in _looks(requests)]
    while done.under_way:
        time.sleep(pause)
        pause = min(2 * pause, _LOOK_SECONDS_MAX)
        try:
            now = _all(client, looks)
        except MountctlError:
            if time.monotonic() - heard > _AWAY_SECONDS_MAX:
                raise
            continue
        heard = time.monotonic()
        done = done.model_copy(update={"under_way": now.under_way, "readable": now.readable})
    return done


def _print(done: RestoreTold, *, as_json: bool, unanswered: int = 0) -> None:
    if as_json:
        data = done.model_dump(exclude={"type", "number", "paths"}) | {"unanswered_paths": unanswered}
        typer.echo(json.dumps({"schema": 1, **data}, indent=2))
        return
    typer.echo(
        f"asked for {done.asked}, under way {done.under_way}, readable {done.readable}, "
        f"archived {done.archived - done.asked}"
        + (f", failed {done.failed}: {done.failure}" if done.failed else "")
        + (f", without an answer {unanswered} paths" if unanswered else "")
    )


def _objects(count: int) -> str:
    return f"{count} object" if count == 1 else f"{count} objects"
