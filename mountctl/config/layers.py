"""Whose value counts for a mount: its own, else that of the templates it uses (the last first), else the default's.

Called by config/values.py, and by `mountctl config show`, which tells where each value is from. Pure. What none of
them has is built in: MountSpec's own default.
"""

from typing import Final

from mountctl.config.findings import Findings
from mountctl.config.tables import MOUNT, USE, NamedTable, Table, Tables
from mountctl.config.words import HIDDEN, did_you_mean, found, shown

# A guess compares with each; people have a handful of templates.
_GUESSED_FROM_MAX: Final = 100


def effective(tables: Tables, mount: NamedTable) -> Table:
    """What counts for a mount, by key."""
    table = dict(tables.defaults)
    for name in used(mount):
        if name in tables.templates:
            table.update(tables.templates[name].settings)
    table.update({key: setting for key, setting in mount.settings.items() if key != USE})
    return table


def used(mount: NamedTable) -> tuple[str, ...]:
    """The templates that a mount names, in order; those that are no names left out."""
    setting = mount.settings.get(USE)
    if setting is None or not setting.usable:
        return ()
    names = setting.value if isinstance(setting.value, list) else [setting.value]
    return tuple(name for name in names if isinstance(name, str))


def judge_uses(tables: Tables, findings: Findings) -> None:
    """Every `use` must name templates that are there."""
    known = tuple(tables.templates)[:_GUESSED_FROM_MAX]
    for name, mount in tables.mounts.items():
        setting = mount.settings.get(USE)
        if setting is None or not setting.usable:
            continue
        names = setting.value if isinstance(setting.value, list) else [setting.value]
        for each in names:
            if not isinstance(each, str):
                reason = f"must be a template's name, or an array of them, not {found(each)}"
            elif each in tables.templates:
                continue
            else:
                plain = each.isalnum() and not setting.secret
                guess = did_you_mean(each, known) or f": write [template.{each if plain else 'NAME'}]"
                reason = f"no template {HIDDEN if setting.secret else shown(each)}{guess}"
            findings.at_key(setting.document, (MOUNT, name, USE), reason)
