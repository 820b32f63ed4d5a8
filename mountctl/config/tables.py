"""Documents to tables: which tables and keys may be there, and what drop-ins make of them together.

Called by config/load.py between reading and validating. Pure. Looks at keys only; what a value must be is the business
of config/values.py. Every file is judged by itself, so that an override can't hide an unknown key.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from engine.spec import MountSpec
from mountctl.config.findings import Findings
from mountctl.config.model import UNSUPPORTED_MOUNT_OPTIONS, UNSUPPORTED_SUPERVISOR_OPTIONS, CsiSpec, SupervisorSpec
from mountctl.config.read import Document
from mountctl.config.words import did_you_mean, dotted, fields, found

SUPERVISOR: Final = "supervisor"
CSI: Final = "csi"
DEFAULTS: Final = "defaults"
TEMPLATE: Final = "template"
MOUNT: Final = "mount"
# The key of a mount that names templates. (`profile` is an option of a mount: the AWS profile.)
USE: Final = "use"

_TABLES: Final = (SUPERVISOR, CSI, DEFAULTS, TEMPLATE, MOUNT)
# Options that are tables themselves; of several files or templates the last one's is taken, whole.
_TABLE_OPTIONS: Final = ("environment",)
# Tables of tables: each of those has a name.
_NAMED: Final = (TEMPLATE, MOUNT)
_SUPERVISOR_KEYS: Final = tuple(fields(SupervisorSpec))
_CSI_KEYS: Final = tuple(fields(CsiSpec))
_MOUNT_KEYS: Final = tuple(key for key in fields(MountSpec) if key != "name")
_SHARED_KEYS: Final = tuple(key for key in _MOUNT_KEYS if key != "mountpoint")
_NAME_IS_THE_TABLES: Final = {"name": "a mount's name is that of its table, [mount.NAME]: remove it"}
_ONE_MOUNTS_ONLY: Final = {
    "name": "not a default: a mount's name is that of its table, [mount.NAME]",
    "mountpoint": "not a default: every mount has its own, in its [mount.NAME] table",
    USE: "not here: a mount names its templates itself, in its [mount.NAME] table",
}
_SECRETS_KEPT_ELSEWHERE: Final = (
    "credentials don't belong in this file, which many may read: put them into root's ~/.aws/credentials, "
    "and name their profile with the option profile"
)
# As the AWS tools, s3fs and rclone call them; whoever brings them along is told where they go.
_SECRETS: Final = dict.fromkeys(
    [
        "access-key-id",
        "aws-access-key-id",
        "aws-secret-access-key",
        "aws-session-token",
        "secret-access-key",
        "session-token",
        "access-key",
        "secret-key",
        "access_key_id",
        "aws_access_key_id",
        "aws_secret_access_key",
        "aws_session_token",
        "secret_access_key",
        "session_token",
    ],
    _SECRETS_KEPT_ELSEWHERE,
)


@dataclass(frozen=True)
class Setting:
    """A value and where it comes from: the last file that has the key.

    Args:
        value: as it counts.
        document: the file.
        path: the key in it.
        written: as it stands there, if that has references in it.
        secret: must not be shown.
        usable: False where a reference has nothing behind it, which was told.
    """

    value: Any
    document: Document
    path: tuple[str, ...] = ()
    written: Any = None
    secret: bool = False
    usable: bool = True


Table = dict[str, Setting]


@dataclass(frozen=True)
class NamedTable:
    """A mount's or a template's table; `document` is the first file that has it."""

    document: Document
    settings: Table = field(default_factory=dict)


@dataclass(frozen=True)
class Tables:
    """All files together, before anything is known about values."""

    supervisor: Table = field(default_factory=dict)
    csi: Table = field(default_factory=dict)
    defaults: Table = field(default_factory=dict)
    templates: dict[str, NamedTable] = field(default_factory=dict)
    mounts: dict[str, NamedTable] = field(default_factory=dict)


@dataclass(frozen=True)
class _Allowed:
    """The keys of a table: those that may be there, and those that have a sentence of their own."""

    keys: tuple[str, ...]
    refused: Mapping[str, str]


_ALLOWED: Final = {
    SUPERVISOR: _Allowed(_SUPERVISOR_KEYS, UNSUPPORTED_SUPERVISOR_OPTIONS),
    CSI: _Allowed(_CSI_KEYS, {}),
    DEFAULTS: _Allowed(_SHARED_KEYS, UNSUPPORTED_MOUNT_OPTIONS | _ONE_MOUNTS_ONLY | _SECRETS),
    TEMPLATE: _Allowed(_SHARED_KEYS, UNSUPPORTED_MOUNT_OPTIONS | _ONE_MOUNTS_ONLY | _SECRETS),
    MOUNT: _Allowed((*_MOUNT_KEYS, USE), UNSUPPORTED_MOUNT_OPTIONS | _NAME_IS_THE_TABLES | _SECRETS),
}


def merge(documents: Iterable[Document], findings: Findings) -> Tables:
    """Put the files together, table by table; later keys win. What is not a table or a key of ours is a finding."""
    tables = Tables()
    for document in documents:
        for name, value in document.tables.items():
            if name not in _TABLES:
                findings.at_key(document, [name], _unknown_table(name, value))
            elif not isinstance(value, dict):
                findings.at_key(document, [name], f"must be a table, not {found(value)}: write {_header(name)}")
            elif name in _NAMED:
                _merge_named(document, name, value, tables.mounts if name == MOUNT else tables.templates, findings)
            else:
                into = {SUPERVISOR: tables.supervisor, CSI: tables.csi}.get(name, tables.defaults)
                into.update(_known(document, (name,), value, findings))
    return tables


def _merge_named(
    document: Document, kind: str, tables: Mapping[str, Any], into: dict[str, NamedTable], findings: Findings
) -> None:
    for name, value in tables.items():
        if not isinstance(value, dict):
            hint = f"options go below {_header(kind)}" if name in _MOUNT_KEYS else f"write {_header(kind)}"
            findings.at_key(document, (kind, name), f"must be a table, not {found(value)}: {hint}")
            continue
        known = list(_known(document, (kind, name), value, findings))
        if value and not known and all(isinstance(inner, dict) for inner in value.values()):
            continue  # half a name with a dot, and told as that: it is not a mount that lacks everything
        into.setdefault(name, NamedTable(document)).settings.update(known)


def _known(
    document: Document, path: tuple[str, ...], table: Mapping[str, Any], findings: Findings
) -> Iterator[tuple[str, Setting]]:
    """The keys of a table that we know, each as a setting; the others are findings."""
    allowed = _ALLOWED[path[0]]
    for key, value in table.items():
        if path[0] in _NAMED and isinstance(value, dict) and key not in _TABLE_OPTIONS:
            whole = dotted((path[0], f"{path[1]}.{key}"))
            sentence = f"unknown table: a {path[0]}'s name with a dot needs quotes: [{whole}]"
            findings.at_key(document, (*path, key), sentence)
        elif key in allowed.keys:
            yield key, Setting(value, document, (*path, key))
        else:
            sentence = allowed.refused.get(key, f"unknown key{did_you_mean(key, allowed.keys)}")
            findings.at_key(document, (*path, key), sentence)


def unknown_option(key: str) -> str | None:
    """Why a key is none that a volume may have, which is what a template may have; None if it is one."""
    allowed = _ALLOWED[TEMPLATE]
    if key in allowed.keys:
        return None
    return allowed.refused.get(key, f"unknown option{did_you_mean(key, allowed.keys)}")


def _unknown_table(name: str, value: object) -> str:
    if name in (*_MOUNT_KEYS, *UNSUPPORTED_MOUNT_OPTIONS) and not isinstance(value, dict):
        return "no table is open here: put it below [mount.NAME] or [defaults]"
    if name.lower() in ("profile", "profiles"):
        return f"unknown table: what mounts share goes below {_header(TEMPLATE)} (`use` names it)"
    guess = did_you_mean(name, _TABLES)
    if guess:
        return f"unknown table: did you mean {_header(guess.removeprefix(': did you mean ').removesuffix('?'))}?"
    known = ", ".join(_header(table) for table in _TABLES)
    return f"unknown {'table' if isinstance(value, dict) else 'key'}: a configuration has the tables {known}"


def _header(table: str) -> str:
    return f"[{table}.NAME]" if table in _NAMED else f"[{table}]"
