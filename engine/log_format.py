"""A log record as text, as JSON, and as fields of the journal. Pure.

Used for engines (engine/log.py) and for the supervisor. A record is one line, or, with a traceback, one line and
indented ones: whatever a key, a path or a server's words hold, they can't begin a line.
"""

import errno
import json
import logging
import os
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from engine.facts import facts_of

Split = Callable[[logging.LogRecord], tuple[str, str]]
"""Says whose record it is (a mount's name; empty: nobody's) and what it says, without that name."""

IDENTIFIER: Final = "mountctl"
_INDENT: Final = "    "
# What a server says has no bound of its own; a traceback of ours is some KiB.
_TEXT_CHARACTERS_MAX: Final = 64 * 1024
# syslog(3)
_PRIORITIES: Final = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}
_PRIORITY_OF_OTHERS: Final = 5


def of_process(name: str, *, mount: bool) -> Split:
    """For a process all of whose records are about one thing: a mount of that name, or itself."""
    if mount:
        return lambda record: (name, record.getMessage())
    return lambda record: ("", f"{name}: {record.getMessage()}")


def one_line(text: str) -> str:
    """Without what could end a line or steer a terminal: such characters are shown as escapes."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class TextFormat(logging.Formatter):
    """`[TIME ]LEVEL [MOUNT: ]TEXT`.

    Args:
        split: whose a record is.
        time: with the time, for who does not add it himself.
        named: with the mount's name.
    """

    def __init__(self, split: Split, *, time: bool, named: bool = True) -> None:
        super().__init__()
        self._split = split
        self._time = time
        self._named = named

    def format(self, record: logging.LogRecord) -> str:
        """The line, and those of a traceback."""
        mount, text = self._split(record)
        time = f"{self.formatTime(record)} " if self._time else ""
        name = f"{mount}: " if mount and self._named else ""
        return f"{time}{record.levelname} {name}{one_line(text[:_TEXT_CHARACTERS_MAX])}{_indented(record)}"


class JsonFormat(logging.Formatter):
    """One JSON object a line, in ASCII. Keys are added freely and never renamed; what is not known is left out.

    Args:
        split: whose a record is.
    """

    def __init__(self, split: Split) -> None:
        super().__init__()
        self._split = split

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        mount, text = self._split(record)
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        told: dict[str, Any] = {
            "time": time,
            "level": record.levelname.lower(),
            "mount": mount,
            "message": _message(record, text),
        }
        told |= _facts(record)
        told["pid"] = record.process or os.getpid()
        return json.dumps({name: value for name, value in told.items() if value})


def journal_fields(record: logging.LogRecord, split: Split) -> list[tuple[str, str]]:
    """The record for journald, which adds time, process and unit. Values are text, which may have any characters.

    MESSAGE begins with the mount's name, for who reads the journal without fields.
    """
    mount, text = split(record)
    line = f"{mount}: {_message(record, text)}" if mount else _message(record, text)
    facts = _facts(record)
    fields: dict[str, Any] = {
        "MESSAGE": line,
        "PRIORITY": _PRIORITIES.get(record.levelno, _PRIORITY_OF_OTHERS),
        "SYSLOG_IDENTIFIER": IDENTIFIER,
        "MESSAGE_ID": facts.pop("message_id", ""),
        "MOUNTCTL_MOUNT": mount,
        "MOUNTCTL_S3_STATUS": facts.pop("status", ""),
    }
    fields |= {f"MOUNTCTL_{name.upper()}": value for name, value in facts.items()}
    return [(name, str(value)) for name, value in fields.items() if value not in ("", 0, None)]


def _facts(record: logging.LogRecord) -> dict[str, Any]:
    facts = facts_of(record)
    return {
        "message_id": "" if facts.kind is None else facts.kind.id,
        "verb": facts.verb,
        "key": _encodable(facts.key),
        "errno": facts.errno,
        "s3_code": _encodable(facts.s3_code),
        "status": facts.status,
        "request_id": _encodable(facts.request_id),
        "host_id": _encodable(facts.host_id),
        "attempts": facts.attempts,
        "repeats": facts.repeats,
    }


def errno_name(number: int) -> str:
    """ENOENT for 2."""
    return errno.errorcode.get(number, str(number))


def _message(record: logging.LogRecord, text: str) -> str:
    return one_line(text[:_TEXT_CHARACTERS_MAX]) + _indented(record)


def _indented(record: logging.LogRecord) -> str:
    """The traceback, if there is one, behind a line."""
    if not record.exc_info:
        return ""
    lines = logging.Formatter().formatException(record.exc_info)[-_TEXT_CHARACTERS_MAX:].splitlines()
    return "".join(f"\n{_INDENT}{one_line(line)}" for line in lines)


def _encodable(text: str) -> str:
    """As UTF-8 has it: bytes of a name that are none are shown as escapes."""
    return text.encode(errors="backslashreplace").decode()
