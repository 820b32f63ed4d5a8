"""Kinds of log messages (engine/message_ids.py) as a page, and as a catalog for the journal. For docs/generate.py."""

import textwrap
from collections.abc import Iterator
from typing import Final

from engine.message_ids import KINDS, Kind

_INTRODUCTION: Final = """\
# Log messages

{generated}

What can be looked for, counted or be woken by: each kind of message has an id that stays when its text is written
better. It is `MESSAGE_ID` in the journal (`journalctl MESSAGE_ID=...`; with `--catalog` and
`systemd/mountctl.catalog` installed, journalctl explains it) and `message_id` in JSON. Every warning and every error
has one; of other lines, those that say what became of something.
How logs are read and shipped: [guides/logs.md](../guides/logs.md).
"""

_CATALOG_COLUMNS: Final = 80


def page(generated: str) -> str:
    """docs/reference/log-messages.md."""
    return "\n".join([_INTRODUCTION.format(generated=generated), *_sections()])


def catalog() -> str:
    """systemd/mountctl.catalog, as `journalctl --update-catalog` takes it."""
    head = "# Made by `python -m docs.generate` from engine/message_ids.py: change it there.\n"
    return "\n".join([head, *map(_entry, KINDS.values())])


def _sections() -> Iterator[str]:
    for name, kind in KINDS.items():
        remedy = f"\n\n{kind.remedy}" if kind.remedy else ""
        yield f"## {kind.subject}\n\n`{kind.id}` (`{name}`)\n\n{kind.meaning}{remedy}\n"


def _entry(kind: Kind) -> str:
    paragraphs = [text for text in (kind.meaning, kind.remedy) if text]
    body = "\n\n".join(textwrap.fill(text, _CATALOG_COLUMNS) for text in paragraphs)
    return f"-- {kind.id}\nSubject: {kind.subject}\nDefined-By: mountctl\n\n{body}\n"
