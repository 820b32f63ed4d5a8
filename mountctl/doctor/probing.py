"""Gathers the facts, each by a process of its own with a time limit; one that hangs is left to the kernel.

Called by commands/doctor.py. What is not learned in time is named in `Facts.missed`. Needs no supervisor.
"""

import json
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import trio
from pydantic import ValidationError

from engine.answers import Answer, Reach
from engine.spec import MountSpec
from mountctl.control.client import ControlClient
from mountctl.doctor.facts import HostFacts, PathFacts, ServiceFacts
from mountctl.doctor.processes import ProbeFailed, environment_of, inquire, run
from mountctl.errors import MountctlError, Problem
from mountctl.supervisor import mountinfo, stale
from mountctl.supervisor.session import FSTYPE

# What reads the host's files; a busy machine starts an interpreter in seconds.
HOST_SECONDS_MAX: Final = 20.0
# What asks S3: credentials may take 30 s, and each question 5 s (engine/inquiry.py); of many mounts eight go at once.
S3_SECONDS_MAX: Final = 90.0
# All mountpoints together; one is given up after some seconds (supervisor/stale.py).
PATHS_SECONDS_MAX: Final = 30.0
# A supervisor answers from memory.
STATUS_SECONDS_MAX: Final = 5.0
# stat(1) processes at once.
_PATHS_AT_ONCE: Final = 16

HOST: Final = "the host"
CONFIGURATION: Final = "the configuration"
REACH: Final = "the ways to S3"
PERMISSIONS: Final = "what S3 lets mounts do"
PATHS: Final = "the mountpoints"


@dataclass
class Facts:
    """Everything that was learned.

    `declared`: the names of all mounts of the file; `mounts`: those that are asked about; `missed`: what could not be
    learned, and why.
    """

    host: HostFacts | None = None
    service: ServiceFacts | None = None
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    declared: tuple[str, ...] = ()
    mounts: dict[str, MountSpec] = field(default_factory=dict)
    reaches: list[Reach] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    status: dict[str, Any] = field(default_factory=dict)
    status_trouble: MountctlError | None = None
    events: list[dict[str, Any]] = field(default_factory=list)
    paths: list[PathFacts] = field(default_factory=list)
    missed: dict[str, str] = field(default_factory=dict)


def gather(config: Path, runtime: Path, state: Path, names: Sequence[str]) -> Facts:
    """All facts about these mounts, or all of them. Takes bounded time whatever hangs."""
    facts = Facts()
    _together([partial(_host, facts, runtime, state), partial(_status, facts, runtime)])
    environment = environment_of(facts.service.pid if facts.service else None).variables
    _configuration(facts, config, names, environment)
    specs = list(facts.mounts.values())
    _together(
        [
            partial(_reaches, facts, specs, environment),
            partial(_answers, facts, specs, environment),
            partial(_paths, facts, specs),
        ]
    )
    return facts


def _together(jobs: Sequence[Callable[[], None]]) -> None:
    """Each has a time limit of its own, so this ends; and none keeps the program from ending."""
    threads = [threading.Thread(target=job, daemon=True) for job in jobs]
    for thread in threads:
        thread.start()
    limit = time.monotonic() + S3_SECONDS_MAX + HOST_SECONDS_MAX
    for thread in threads:
        thread.join(max(0.0, limit - time.monotonic()))


def _host(facts: Facts, runtime: Path, state: Path) -> None:
    try:
        lines = run("mountctl.doctor.host_probe", [str(runtime), str(state)], "", HOST_SECONDS_MAX, os.environ)
        facts.host = HostFacts.model_validate_json(lines[0])
        facts.service = ServiceFacts.model_validate_json(lines[1])
    except (ProbeFailed, ValidationError, IndexError) as error:
        facts.missed[HOST] = str(error)


def _configuration(facts: Facts, config: Path, names: Sequence[str], environment: Mapping[str, str]) -> None:
    try:
        [line] = run("mountctl.doctor.config_probe", [os.fspath(config)], "", HOST_SECONDS_MAX, environment)
        told = json.loads(line)
        mounts = [MountSpec.model_validate_json(json.dumps(each)) for each in told["mounts"]]
    except (ProbeFailed, ValueError, KeyError) as error:
        facts.missed[CONFIGURATION] = str(error)
        return
    facts.problems, facts.warnings = (
        tuple(Problem(Path(each[0]), *each[1:]) for each in told[kind]) for kind in ("problems", "warnings")
    )
    facts.declared = tuple(spec.name for spec in mounts)
    facts.mounts = {spec.name: spec for spec in mounts if not names or spec.name in names}


def _status(facts: Facts, runtime: Path) -> None:
    client = ControlClient(runtime)
    try:
        facts.status = client.status(seconds=STATUS_SECONDS_MAX)
        facts.events = [event for event in client.events() if event is not None and "missed" not in event]
    except MountctlError as error:
        facts.status_trouble = error


def _reaches(facts: Facts, specs: Sequence[MountSpec], environment: Mapping[str, str]) -> None:
    facts.reaches, trouble = inquire("engine.reach", Reach, specs, S3_SECONDS_MAX, environment)
    if trouble:
        facts.missed[REACH] = trouble


def _answers(facts: Facts, specs: Sequence[MountSpec], environment: Mapping[str, str]) -> None:
    facts.answers, trouble = inquire("engine.inquiry", Answer, specs, S3_SECONDS_MAX, environment)
    if trouble:
        facts.missed[PERMISSIONS] = trouble


def _paths(facts: Facts, specs: Sequence[MountSpec]) -> None:
    trio.run(_look, facts, specs)
    if len(facts.paths) < len(specs):
        facts.missed[PATHS] = f"not all answered within {PATHS_SECONDS_MAX:.0f} s"


async def _look(facts: Facts, specs: Sequence[MountSpec]) -> None:
    limit = trio.CapacityLimiter(_PATHS_AT_ONCE)
    with trio.move_on_after(PATHS_SECONDS_MAX):
        async with trio.open_nursery() as nursery:
            for spec in specs:
                nursery.start_soon(_path, facts, spec, limit)


async def _path(facts: Facts, spec: MountSpec, limit: trio.CapacityLimiter) -> None:
    async with limit:
        answer = await stale.probe(spec.mountpoint)
    place = spec.mountpoint
    if answer is stale.Answer.ANSWERS:
        place = os.path.realpath(place)  # noqa: ASYNC240 - it has just answered. The kernel knows no links.
    ours = [each for each in mountinfo.entries() if each.mountpoint == place and each.fstype == FSTYPE]
    top = mountinfo.at(place)
    above = next((found for each in ours if (found := mountinfo.covering(each)) is not None), None)
    facts.paths.append(
        PathFacts(
            mount=spec.name,
            path=spec.mountpoint,
            answer=answer.name.lower(),
            mounted=top is not None and top.fstype == FSTYPE,
            covered_by=None if above is None or above.fstype == FSTYPE else above.told,
        )
    )
