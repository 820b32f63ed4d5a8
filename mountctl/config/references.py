"""References in values: `${env:NAME}` is an environment variable of this process, `${file:PATH}` a file's text.

Called by config/load.py between merging and validating. Looks only at settings that count, so that a drop-in can
replace a reference. Never shows what a reference stands for where that looks secret.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from engine.spec import PATH_BYTES_MAX, MountSpec
from mountctl.config.findings import Findings
from mountctl.config.model import CsiSpec, SupervisorSpec
from mountctl.config.read import Unreadable, referenced
from mountctl.config.secrets import looks_secret, name_looks_secret
from mountctl.config.tables import NamedTable, Setting, Table, Tables
from mountctl.config.words import fields, shown, takes_number, takes_truth

ENVIRONMENT: Final = "env"
FILE: Final = "file"

# In one value; a name has two or three. With the limit below it bounds what a small file can make of memory.
REFERENCES_MAX: Final = 16
# What a reference or a whole value stands for; no option's value is longer than a path.
CHARACTERS_MAX: Final = PATH_BYTES_MAX

# `$${` first: it stands for `${` itself.
_REFERENCE: Final = re.compile(r"\$\$\{|\$\{([^{}]*)(\}?)")
_VARIABLE: Final = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*$")
_WHOLE_NUMBER: Final = re.compile(r"^-?[0-9]{1,20}$")
_FORMS: Final = "write ${env:NAME} or ${file:PATH}; $${ stands for ${ itself"


class References:
    """What the references of one configuration stand for.

    Args:
        environment: the variables.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._environment = environment
        self._texts: dict[Path, str | Unreadable] = {}

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that were referred to, read or not, in order."""
        return tuple(self._texts)

    def resolve(self, tables: Tables, findings: Findings) -> Tables:
        """The tables with every reference replaced; those with nothing behind them are findings, and not usable."""

        def table(of: Table, model: type[BaseModel]) -> Table:
            known = fields(model)
            return {key: self._setting(setting, known.get(key), findings) for key, setting in of.items()}

        def named(of: Mapping[str, NamedTable]) -> dict[str, NamedTable]:
            return {name: replace(each, settings=table(each.settings, MountSpec)) for name, each in of.items()}

        return Tables(
            supervisor=table(tables.supervisor, SupervisorSpec),
            csi=table(tables.csi, CsiSpec),
            defaults=table(tables.defaults, MountSpec),
            templates=named(tables.templates),
            mounts=named(tables.mounts),
        )

    def _setting(self, setting: Setting, field: FieldInfo | None, findings: Findings) -> Setting:
        written = setting.value
        texts = list(written.values()) if isinstance(written, dict) else written
        texts = texts if isinstance(texts, list) else [texts]
        if not any(isinstance(text, str) and "${" in text for text in texts):
            return replace(setting, secret=any(isinstance(text, str) and looks_secret(text) for text in texts))
        found, secret, wrong = [], False, list[str]()
        for text in texts:
            value, is_secret = self._text(text, setting, wrong) if isinstance(text, str) else (text, False)
            found.append(value)
            secret = secret or is_secret
        for reason in wrong:
            findings.at_key(setting.document, setting.path, reason)
        return replace(
            setting, value=_as_written(written, found, field), written=written, secret=secret, usable=not wrong
        )

    def _text(self, text: str, setting: Setting, wrong: list[str]) -> tuple[str, bool]:
        """A text with its references replaced, and whether it looks secret. What can't be replaced is added."""
        secret = False
        if text.count("${") > REFERENCES_MAX:
            wrong.append(f"more than {REFERENCES_MAX} references: write a file that has all of it, and refer to that")
            return "", False

        def replacement(match: re.Match[str]) -> str:
            nonlocal secret
            if match[1] is None:
                return "${"
            if not match[2]:
                wrong.append(f"a reference that does not end: {_FORMS}")
                return ""
            secret = secret or name_looks_secret(match[1])
            try:
                return self._behind(match[0], setting)
            except _Missing as missing:
                wrong.append(missing.args[0])
                return ""

        resolved = _REFERENCE.sub(replacement, text)
        if len(resolved) > CHARACTERS_MAX:
            wrong.append(f"what this stands for is longer than {CHARACTERS_MAX} characters, which no option's value is")
            return "", secret
        return resolved, secret or looks_secret(resolved)

    def _behind(self, written: str, setting: Setting) -> str:
        """What a reference stands for. Raises _Missing."""
        kind, _, name = written.removeprefix("${").removesuffix("}").partition(":")
        if kind == ENVIRONMENT and _VARIABLE.fullmatch(name):
            value = self._environment.get(name)
            if value is None:
                raise _Missing(f"the environment has no {name}: set it for `mountctl run` (in its unit), and here")
            if not value.isascii() and "\udc80" <= max(value) <= "\udcff":
                raise _Missing(f"the environment's {name} is not UTF-8")
            if len(value) > CHARACTERS_MAX:
                raise _Missing(f"the environment's {name} is longer than {CHARACTERS_MAX} characters")
            return value
        if kind == FILE and name:
            path = setting.document.path.parent / name
            if path not in self._texts:
                try:
                    self._texts[path] = referenced(path)
                except Unreadable as error:
                    self._texts[path] = error
            text = self._texts[path]
            if isinstance(text, Unreadable):
                raise _Missing(f"file {shown(name)}: {text.reason}")
            return text
        raise _Missing(f"not a reference: {shown(written)}: {_FORMS}")


class _Missing(Exception):
    """A reference has nothing behind it; the text says why."""


def _as_written(written: Any, found: list[Any], field: FieldInfo | None) -> Any:
    """What texts stand for, as a table, an array or a value, as they were written."""
    if isinstance(written, dict):
        return dict(zip(written, found, strict=True))
    return found if isinstance(written, list) else _typed(found[0], field)


def _typed(text: Any, field: FieldInfo | None) -> Any:
    """A text as the type that its option takes, for what a reference stands for is always text."""
    if field is not None and takes_truth(field) and text in ("true", "false"):
        return text == "true"
    if field is not None and takes_number(field) and _WHOLE_NUMBER.fullmatch(text):
        return int(text)
    return text
