"""Tables to what they mean: every value validated, every mount put together, and mounts compared with each other.

Called by config/load.py. Pure: never looks at the file system, at the host or at S3.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from engine.spec import MountSpec
from mountctl.config.findings import Findings
from mountctl.config.layers import effective, used
from mountctl.config.model import CsiSpec, Shared, SupervisorSpec
from mountctl.config.read import Document
from mountctl.config.tables import CSI, DEFAULTS, MOUNT, SUPERVISOR, TEMPLATE, USE, NamedTable, Table, Tables
from mountctl.config.words import HIDDEN, dotted, fields, reason, wanted

# Stand in for what a mount must have, so that the rest of a table can be judged without it.
_STAND_INS: Final = {"name": "name", "bucket": "bucket", "mountpoint": "/mountpoint"}
# And in a table for many, for what each of them may say otherwise: goes with every limit of memory.
_LEAST: Final = {"memory-target": 16}


_Model = TypeVar("_Model", bound=BaseModel)


@dataclass(frozen=True)
class Fault:
    """A key that is wrong (or missing); an empty key if several don't go together."""

    key: str
    reason: str
    missing: bool = False


def supervisor(table: Table, findings: Findings) -> SupervisorSpec:
    """The `[supervisor]` table. The defaults where it has findings."""
    return _of_its_own(SUPERVISOR, SupervisorSpec, table, findings) or SupervisorSpec()


def csi(table: Table, findings: Findings) -> CsiSpec:
    """The `[csi]` table. The defaults where it has findings."""
    return _of_its_own(CSI, CsiSpec, table, findings) or CsiSpec()


def shared(tables: Tables) -> Shared:
    """What mounts that no file declares have of these. To be used of tables without findings only."""
    return Shared(
        defaults=_plain(tables.defaults),
        templates={name: _plain(template.settings) for name, template in tables.templates.items()},
    )


def _of_its_own(name: str, model: type[_Model], table: Table, findings: Findings) -> _Model | None:
    """A table that is no mount's; None where it has findings."""
    spec, faults = judge(model, _plain(table))
    for fault in faults:
        _tell((name,), table, _first_document(table), _discreet(fault, table, model), findings)
    return spec


def mounts(tables: Tables, findings: Findings, *, complete: bool) -> dict[str, MountSpec]:
    """All mounts. Those with findings are left out.

    Args:
        tables: all files together.
        findings: gets what is wrong.
        complete: whether all files could be read; if not, a missing key may be in one of the others.
    """
    judged: dict[tuple[str, ...], _Shared] = {(DEFAULTS,): _shared((DEFAULTS,), tables.defaults, findings)}
    for name, template in tables.templates.items():
        judged[TEMPLATE, name] = _shared((TEMPLATE, name), template.settings, findings)

    specs = {}
    for name, table in tables.mounts.items():
        names = used(table)
        above = [judged[path] for path in [(DEFAULTS,), *((TEMPLATE, each) for each in names)] if path in judged]
        wrong = {path for each in above for path in each.wrong}
        told = {sentence for each in above for sentence in each.conflicts}
        whole = effective(tables, table)
        right = {key: setting for key, setting in whole.items() if setting.usable and setting.path not in wrong}
        spec, mount_faults = judge(MountSpec, {"name": name} | _plain(right))
        if spec is not None and len(right) == len(whole):
            specs[name] = spec
        for fault in mount_faults:
            # What is wrong in a table for many was told where it stands, once; so were a reference with nothing behind
            # it and a template that is not there.
            elsewhere = fault.key in whole or not complete or not all(each in tables.templates for each in names)
            if (fault.missing and elsewhere) or fault.reason in told:
                continue
            _tell_mount(name, table, whole, _discreet(fault, whole, MountSpec), findings)
    _compare(tables.mounts, findings)
    return specs


@dataclass(frozen=True)
class _Shared:
    """What is wrong in a table that several mounts inherit from: the keys, by their paths, and conflicts of several."""

    wrong: frozenset[tuple[str, ...]]
    conflicts: frozenset[str]


def _shared(base: tuple[str, ...], table: Table, findings: Findings) -> _Shared:
    """Judge a table for several mounts by itself: what is wrong in it is told once, where it stands."""
    _, faults = judge(MountSpec, _STAND_INS | _LEAST | _plain(table))
    for fault in faults:
        _tell(base, table, _first_document(table), _discreet(fault, table, MountSpec), findings)
    return _Shared(
        wrong=frozenset((*base, fault.key) for fault in faults if fault.key),
        conflicts=frozenset(fault.reason for fault in faults if not fault.key),
    )


def _tell_mount(name: str, table: NamedTable, whole: Table, fault: Fault, findings: Findings) -> None:
    """A fault in a mount; one that only a template of it brings along is told where that is named."""
    key = fault.key or _named_first(fault.reason, table.settings) or _named_first(fault.reason, whole)
    if key not in table.settings and key in whole and whole[key].path[0] == TEMPLATE:
        findings.at_key(table.settings[USE].document, (MOUNT, name, USE), fault.reason)
    else:
        _tell((MOUNT, name), table.settings, table.document, fault, findings)


def _discreet(fault: Fault, table: Table, model: type[BaseModel]) -> Fault:
    """The fault without the value that it may show, if that looks secret."""
    setting = table.get(fault.key)
    if setting is None or not setting.secret:
        return fault
    return replace(fault, reason=f"must be {wanted(fields(model)[fault.key])}, and right for this option {HIDDEN}")


def _tell(base: tuple[str, ...], table: Table, header: Document, fault: Fault, findings: Findings) -> None:
    """A fault at its key, or at the table's header if the key is missing or is the table's own name."""
    key = fault.key or _named_first(fault.reason, table)
    path = base if key in ("", "name") else (*base, key)
    findings.at_key(table[key].document if key in table else header, path, fault.reason)


def _first_document(table: Table) -> Document:
    """The first file that has anything in a table; asked only of tables that hold what is wrong."""
    return next(iter(table.values())).document


def judge(model: type[_Model], values: Mapping[str, Any]) -> tuple[_Model | None, list[Fault]]:
    """A model of values, or everything that is wrong with them."""
    try:
        return model.model_validate(values), []
    except ValidationError as error:
        faults = _faults(model, error)
    bad = {fault.key for fault in faults}
    if "" not in bad:
        # Rules for several keys ran only if each key is right by itself: ask again about those that are.
        right = {key: value for key, value in values.items() if key not in bad}
        try:
            model.model_validate((_STAND_INS if model is MountSpec else {}) | right)
        except ValidationError as error:
            faults += _faults(model, error)
    return None, faults


def _faults(model: type[BaseModel], error: ValidationError) -> list[Fault]:
    """Each key's first error: the others of a union say the same in other words."""
    known = fields(model)
    faults: dict[str, Fault] = {}
    for detail in error.errors(include_url=False):
        key = str(detail["loc"][0]) if detail["loc"] else ""
        told = reason(detail, key, known[key]) if key else str(detail["ctx"]["error"])
        faults.setdefault(key, Fault(key, told, missing=detail["type"] == "missing"))
    return list(faults.values())


def _named_first(sentence: str, table: Mapping[str, object]) -> str:
    """The key of a table that a sentence about several names first; empty if it names none of them."""
    return next((word for word in re.findall(r"[a-z]+(?:-[a-z]+)*", sentence) if word in table), "")


def _compare(tables: Mapping[str, NamedTable], findings: Findings) -> None:
    """No two mounts at one place, and none below another: the lower would vanish with, or behind, the upper."""
    places = {name: place for name, table in tables.items() if (place := _place(table)) is not None}
    first: dict[PurePosixPath, str] = {}
    for name, place in places.items():
        if place in first:
            _tell_clash(name, f"the mountpoint of {_mount(first[place])} as well: each needs its own", tables, findings)
        else:
            first[place] = name
    for name, place in places.items():
        if (above := next((first[parent] for parent in place.parents if parent in first), None)) is not None:
            where = HIDDEN if tables[above].settings["mountpoint"].secret else f"({places[above]})"
            sentence = f"inside the mountpoint of {_mount(above)} {where}: mounts can't be nested"
            _tell_clash(name, sentence, tables, findings)


def _tell_clash(name: str, sentence: str, tables: Mapping[str, NamedTable], findings: Findings) -> None:
    findings.at_key(tables[name].settings["mountpoint"].document, (MOUNT, name, "mountpoint"), sentence)


def _place(table: NamedTable) -> PurePosixPath | None:
    """Where a mount is, in its normal form; None if that is wrong already."""
    setting = table.settings.get("mountpoint")
    if setting is None or not setting.usable:
        return None
    spec, _ = judge(MountSpec, _STAND_INS | {"mountpoint": setting.value})
    return PurePosixPath(spec.mountpoint) if spec else None


def _mount(name: str) -> str:
    return dotted((MOUNT, name))


def _plain(table: Table) -> dict[str, Any]:
    return {key: setting.value for key, setting in table.items() if setting.usable}
