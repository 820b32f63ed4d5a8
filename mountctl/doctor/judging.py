"""All findings from all facts: which rules are asked about what. No I/O."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from mountctl.doctor import host, mounts, network, running, service
from mountctl.doctor.facts import HostFacts
from mountctl.doctor.findings import Check, Finding, check
from mountctl.doctor.probing import Facts
from mountctl.errors import ControlDenied, SupervisorNotRunning, shown_path

MISSED: Final = check(
    "not-asked",
    "warning",
    "what does not answer in time may be what is wrong",
    "see whether a file system hangs (NFS, a mount without an engine), or the machine is too busy",
)

_TROUBLES: Final[dict[type, Check]] = {ControlDenied: running.DENIED, SupervisorNotRunning: running.SUPERVISOR}


def judge(facts: Facts, config: Path, names: Sequence[str], version: str, now: datetime) -> Iterator[Finding]:
    """Everything."""
    specs = list(facts.mounts.values())
    for what, reason in facts.missed.items():
        yield MISSED.found(f"{what}: {reason}")
    if facts.host is not None:
        yield from host.judge(facts.host, specs)
    if facts.service is not None:
        yield from service.judge(facts.service, facts.host or HostFacts(), specs)
    told = f"{shown_path(config)}: {len(specs)} mount{'' if len(specs) == 1 else 's'}, no errors"
    yield from mounts.of_configuration(facts.problems, facts.warnings, told)
    for reach in facts.reaches:
        yield from network.judge(reach)
    for answer in facts.answers:
        yield from mounts.of_answer(answer, facts.mounts[answer.name])
    yield from _running(facts, names, version, now)


def _running(facts: Facts, names: Sequence[str], version: str, now: datetime) -> Iterator[Finding]:
    trouble = facts.status_trouble
    if trouble is not None:
        yield _TROUBLES.get(type(trouble), running.SILENT).found(str(trouble))
    if facts.status:
        declared = names or list(facts.mounts)
        yield from running.of_status(facts.status, declared, version, now, all_mounts=not names)
        yield from running.of_events(facts.events, [mount["name"] for mount in facts.status["mounts"]], now)
    states = {mount["name"]: mount["state"] for mount in facts.status.get("mounts", ())}
    yield from running.of_paths(facts.paths, states)
