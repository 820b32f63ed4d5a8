"""The entrance of config: a path in, a Config out, or every error in it at once.

Called by the supervisor's start and reload, `mountctl check`, `plan` and `config show`. Reads the file, its drop-ins
and what they refer to, and asks the host for the control group; touches nothing else, and never changes anything.
"""

import grp
from dataclasses import dataclass
from pathlib import Path

from mountctl.config import layers, tables, values
from mountctl.config.findings import Findings, TooMany
from mountctl.config.model import Config, CsiSpec, Shared, SupervisorSpec
from mountctl.config.read import Document, Unreadable, drop_in_directory, drop_ins, read
from mountctl.config.references import References
from mountctl.config.tables import SUPERVISOR, Tables
from mountctl.config.words import shown
from mountctl.errors import ConfigError, Problem

__all__ = ["Config", "CsiSpec", "Examined", "Shared", "SupervisorSpec", "examine", "load"]


@dataclass(frozen=True)
class Examined:
    """All that is known of a configuration, right or wrong.

    Args:
        config: what it means, without the mounts that have errors.
        tables: its settings, each with where it is from, references replaced.
        documents: the files that are TOML, in order.
        problems: every error, by file and line.
    """

    config: Config
    tables: Tables
    documents: tuple[Document, ...]
    problems: tuple[Problem, ...]


def load(path: Path) -> Config:
    """Read, merge and validate a configuration file and its drop-ins.

    Raises ConfigError, which holds every problem that was found, by file and line.
    """
    examined = examine(path)
    if examined.problems:
        raise ConfigError(examined.problems)
    return examined.config


def examine(path: Path) -> Examined:
    """The same, for those who want to know more, and of wrong files too. Raises nothing."""
    findings = Findings()
    files = [path]
    documents: list[Document] = []
    merged, references = Tables(), References()
    supervisor, csi, shared, mounts = SupervisorSpec(), CsiSpec(), Shared(), {}
    try:
        files += _drop_ins(path, findings)
        documents = _read_all(files, findings)
        complete = len(findings) == 0
        merged = references.resolve(tables.merge(documents, findings), findings)
        supervisor = values.supervisor(merged.supervisor, findings)
        csi = values.csi(merged.csi, findings)
        _must_have_group(supervisor, merged, findings)
        layers.judge_uses(merged, findings)
        mounts = values.mounts(merged, findings, complete=complete)
        shared = values.shared(merged)
    except TooMany:
        pass  # nothing is lost: what was found is told below, and that there is more
    config = Config(
        path=path,
        files=tuple(files),
        supervisor=supervisor,
        mounts=mounts,
        referenced=tuple(references.files),
        csi=csi,
        shared=shared,
    )
    return Examined(config, merged, tuple(documents), tuple(findings.problems(files)) if len(findings) else ())


def _drop_ins(path: Path, findings: Findings) -> list[Path]:
    directory = drop_in_directory(path)
    try:
        return drop_ins(directory)
    except Unreadable as error:
        findings.at_file(directory, error.reason)
        return []


def _read_all(files: list[Path], findings: Findings) -> list[Document]:
    """Those files that are TOML, in order."""
    documents = []
    for file in files:
        try:
            documents.append(read(file))
        except Unreadable as error:
            findings.at_file(file, error.reason, error.line, error.column)
    return documents


def _must_have_group(supervisor: SupervisorSpec, merged: Tables, findings: Findings) -> None:
    """A group that is not there would leave the control socket to root alone, and nobody would be told."""
    group = supervisor.control_group
    if group is None:
        return
    try:
        grp.getgrnam(group)
    except (KeyError, ValueError):  # ValueError: a name with a NUL
        setting = merged.supervisor["control-group"]
        name = "of this name" if setting.secret else shown(group)
        reason = f"this host has no group {name}: create it, or remove the key"
        findings.at_key(setting.document, (SUPERVISOR, "control-group"), reason)
