"""What a log record is about, beside its text: for the fields of the journal and the keys of JSON.

Whoever logs says so by `extra=about(...)`; log_format.py and flood.py read it. Never holds a secret: a key of S3 is
none, and what S3 and we say of an error is told without any.
"""

import logging
from dataclasses import dataclass, fields
from typing import Any, Final

from engine.errors import S3Error
from engine.message_ids import INTERNAL_ERROR, KINDS, Kind

_ATTRIBUTE: Final = "facts"
# How deep the error of S3 may be beneath the one that a program sees.
_CAUSES_MAX: Final = 5


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known; empty: it is not, or has no place here.

    Args:
        kind: of message.
        verb: a program's request: lookup, read, ...
        key: in S3, as it is.
        errno: its name, which the program sees.
        s3_code: of the answer.
        status: of HTTP; 0: none.
        request_id: S3's.
        host_id: S3's `x-amz-id-2`.
        attempts: how often S3 was asked; 0: unknown.
        repeats: how many such records this one stands for; 0: it stands for itself.
    """

    kind: Kind | None = None
    verb: str = ""
    key: str = ""
    errno: str = ""
    s3_code: str = ""
    status: int = 0
    request_id: str = ""
    host_id: str = ""
    attempts: int = 0
    repeats: int = 0


NOTHING: Final = Facts()
_UNFORESEEN: Final = Facts(INTERNAL_ERROR)

_NAMES: Final = tuple(each.name for each in fields(Facts) if each.name != "kind")
_BY_ID: Final = {kind.id: kind for kind in KINDS.values()}


def about(
    kind: Kind, *, verb: str = "", key: str = "", errno: str = "", error: BaseException | None = None
) -> dict[str, Facts]:
    """For `extra=` of a call to log. `error`: what S3 said is taken from it, or from what it was caused by."""
    said = _of_s3(error)
    if said is None:
        return {_ATTRIBUTE: Facts(kind, verb, key, errno)}
    return {
        _ATTRIBUTE: Facts(
            kind,
            verb,
            key or said.key,
            errno,
            said.code,
            said.status,
            said.request_id,
            said.host_id,
            said.attempts,
        )
    }


def facts_of(record: logging.LogRecord) -> Facts:
    """What this record is about."""
    found: Any = getattr(record, _ATTRIBUTE, None)
    if isinstance(found, Facts):
        return found
    # Who logs a traceback, a library of ours included, has met what was not foreseen.
    return _UNFORESEEN if record.exc_info and record.exc_info[1] is not None else NOTHING


def packed(facts: Facts, characters_max: int) -> dict[str, Any]:
    """For a message to another process of this version. A key is as long as S3 lets it be, all else is cut."""
    found = {name: value for name in _NAMES if (value := getattr(facts, name))}
    found |= {name: value[:characters_max] for name, value in found.items() if isinstance(value, str) and name != "key"}
    return found if facts.kind is None else found | {"kind": facts.kind.id}


def unpacked(found: dict[str, Any]) -> Facts:
    """What another process has packed."""
    return Facts(**found | {"kind": _BY_ID.get(found.get("kind", ""))})


def attach(record: logging.LogRecord, facts: Facts) -> logging.LogRecord:
    """The same record, which is about this."""
    setattr(record, _ATTRIBUTE, facts)
    return record


def _of_s3(error: BaseException | None) -> S3Error | None:
    for _ in range(_CAUSES_MAX):
        if error is None or isinstance(error, S3Error):
            return error
        error = error.__cause__ or error.__context__
    return None
