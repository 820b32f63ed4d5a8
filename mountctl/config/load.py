"""The entrance of config: a path in, a Config out, or every error in it at once.

Called by the supervisor's start and reload, `mountctl check` and `mountctl plan`. Reads the file and its drop-ins and
asks the host for the control group; touches nothing else, and never changes anything.
"""

import grp
from pathlib import Path

from mountctl.config import tables, values
from mountctl.config.findings import Findings, TooMany
from mountctl.config.model import Config, SupervisorSpec
from mountctl.config.read import Document, Unreadable, drop_in_directory, drop_ins, read
from mountctl.config.tables import SUPERVISOR, Tables
from mountctl.config.words import shown
from mountctl.errors import ConfigError

__all__ = ["Config", "SupervisorSpec", "load"]


def load(path: Path) -> Config:
    """Read, merge and validate a configuration file and its drop-ins.

    Raises ConfigError, which holds every problem that was found, by file and line.
    """
    findings = Findings()
    files = [path]
    supervisor, mounts = SupervisorSpec(), {}
    try:
        files += _drop_ins(path, findings)
        documents = _read_all(files, findings)
        complete = len(findings) == 0
        merged = tables.merge(documents, findings)
        supervisor = values.supervisor(merged.supervisor, findings)
        _must_have_group(supervisor, merged, findings)
        mounts = values.mounts(merged, findings, complete=complete)
    except TooMany:
        pass  # nothing is lost: what was found is told below, and that there is more
    if len(findings):
        raise ConfigError(findings.problems(files))
    return Config(path=path, files=tuple(files), supervisor=supervisor, mounts=mounts)


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
        reason = f"this host has no group {shown(group)}: create it, or remove the key"
        findings.at_key(merged.supervisor["control-group"].document, (SUPERVISOR, "control-group"), reason)
