"""A configuration file of imported mounts: TOML with comments, the same for the same input. Pure."""

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any, Final

from engine.spec import MountSpec
from mountctl.config.words import dotted, fields, one_line
from mountctl.importing.collect import Imported
from mountctl.importing.draft import Draft, Kind

_ORDER: Final = tuple(fields(MountSpec))
# Of no mount's business but its own.
_OWN: Final = frozenset({"bucket", "prefix", "mountpoint", "profile"})
_WIDTH: Final = 118


def document(imported: Imported) -> str:
    """The file's text."""
    shared = _shared(imported)
    lines = list(_head(imported))
    if shared:
        lines += ["", "[defaults]", *_settings(shared)]
    for name, draft in imported.drafts.items():
        own = {key: value for key, value in draft.keys.items() if key not in shared}
        lines += ["", *table(name, draft, own)]
    for each in imported.unusable:
        lines += ["", *_comment(f"NOT IMPORTED: {each.origin}: {each.reason}")]
    return "\n".join(lines).strip("\n") + "\n"


def table(name: str, draft: Draft, keys: Mapping[str, Any] | None = None) -> Iterator[str]:
    """One mount's lines, with what is to be said of it above.

    Args:
        name: the mount's.
        draft: it.
        keys: those that stand in its table, if not all.
    """
    also = f"; also {', '.join(draft.found.also)}" if draft.found.also else ""
    yield from _comment(f"From {draft.found.origin}, {draft.found.program}{also}.")
    for note in draft.notes:
        yield from _comment(f"{note.kind}: {note.option}: {note.text}")
    if draft.unneeded:
        yield from _comment(f"Nothing needed for: {', '.join(draft.unneeded)}.")
    yield f"[{dotted(('mount', name))}]"
    yield from _settings(draft.keys if keys is None else keys)


def _head(imported: Imported) -> Iterator[str]:
    count = sum(note.kind.asks for draft in imported.drafts.values() for note in draft.notes)
    yield "# Made by `mountctl import`. What programs see of a file system: docs/concepts/semantics.md."
    if count:
        yield f"# Comments that want to be read: {count}, with {Kind.NO_EQUAL} (no option is its equal) or {Kind.TO_DO}"
    if any(draft.found.program != "mount-s3" for draft in imported.drafts.values()):
        yield from _comment(
            "Files are written from their start to their end, and appear when they are closed; nothing is appended to, "
            "changed in place; no link, mode or owner is kept; mv copies. Without metadata-ttl every open() asks S3."
        )


def _shared(imported: Imported) -> dict[str, Any]:
    """What all mounts have alike."""
    if len(imported.drafts) < 2:
        return {}
    first, *others = [draft.keys for draft in imported.drafts.values()]
    return {
        key: value
        for key, value in first.items()
        if key not in _OWN and all(key in each and each[key] == value for each in others)
    }


def _settings(keys: Mapping[str, Any]) -> Iterator[str]:
    for key in sorted(keys, key=_ORDER.index):
        yield f"{key} = {_value(keys[key])}"


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_value(each)}" for key, each in value.items()) + " }"
    escaped = str(value).replace("\\", "\\\\").replace('"', '\\"').replace("${", "$${")
    return '"' + "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in escaped) + '"'


def _comment(text: str) -> Iterator[str]:
    for line in textwrap.wrap(one_line(text), _WIDTH, break_long_words=False, break_on_hyphens=False):
        yield f"# {line}"
