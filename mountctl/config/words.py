"""What errors say: types in TOML's words, values shortened for a message, and guesses at what was meant.

Called by the rest of config and by the generator of the reference. Pure. Never lets pydantic's wording through.
"""

import difflib
import re
from collections.abc import Iterable, Mapping
from datetime import date, datetime, time
from functools import lru_cache
from typing import Any, Final, Literal, get_args, get_origin

from annotated_types import Ge, Le
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from engine.spec import Mode, Ttl, Variables
from mountctl.config.secrets import looks_secret

# A message is one line of a terminal or two; the rest of a long value tells nothing.
SHOWN_CHARS_MAX: Final = 60
REASON_CHARS_MAX: Final = 400
# Guessing compares every pair of characters; no option is half as long as this.
GUESSED_CHARS_MAX: Final = 48
# A guess is kept for each misspelt key; a file rarely has two.
GUESSES_KEPT: Final = 256
# difflib's own bound is 0.6, at which `region` is proposed for `version`.
LIKENESS_MIN: Final = 0.7

# Instead of a value that looks secret.
HIDDEN: Final = "(hidden: it looks secret)"

# What marks a field as octal, as a time to live, or as a table of variables: the validator that its type brings along.
_OCTAL: Final = get_args(Mode)[1]
_SECONDS: Final = get_args(Ttl)[1]
_VARIABLES: Final = get_args(Variables)[1]

_BARE_KEY: Final = re.compile(rf"[A-Za-z0-9_-]{{1,{SHOWN_CHARS_MAX}}}")
# bool is an int and datetime is a date to Python: the narrower comes first.
_TYPES: Final = (
    (bool, "a boolean"),
    (int, "an integer"),
    (float, "a float"),
    (str, "a string"),
    (list, "an array"),
    (dict, "a table"),
    (datetime, "a date-time"),
    (date, "a date"),
    (time, "a time"),
)


def found(value: object) -> str:
    """A value as it was found, with its type: `the integer 5`, `a table`."""
    name = next((name for kind, name in _TYPES if isinstance(value, kind)), "a value")
    if isinstance(value, (list, dict)):
        return name
    return f"the {name.split(' ', 1)[1]} {shown(value)}"


def shown(value: object) -> str:
    """A scalar as TOML writes it, on one line, shortened; what looks secret is not shown."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return HIDDEN if looks_secret(value) else _quoted(value)
    # Printing an integer of thousands of digits is refused by Python itself.
    if isinstance(value, int) and abs(value) >= 10**SHOWN_CHARS_MAX:
        return f"of {len(hex(abs(value))) - 2} hexadecimal digits"
    return str(value)


def dotted(path: Iterable[str]) -> str:
    """A key as it is written in TOML: parts that are not bare are quoted."""
    return ".".join(part if _BARE_KEY.fullmatch(part) else _quoted(part) for part in path)


def one_line(reason: str) -> str:
    """A reason that stays one line of bounded length, whatever was quoted in it."""
    line = "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in reason[: REASON_CHARS_MAX + 1]
    )
    return line if len(line) <= REASON_CHARS_MAX else line[: REASON_CHARS_MAX - 3] + "..."


def wanted(field: FieldInfo) -> str:
    """What a key's value must be, as a noun with its article."""
    types = parts(field)
    if _OCTAL in types:
        return 'an octal number such as "0755"'
    if _SECONDS in types:
        return '"minimal", "indefinite" or a number of seconds'
    if bool in types:
        return "true or false"
    if _VARIABLES in types:
        return "a table of strings"
    choices = [choice for part in types if get_origin(part) is Literal for choice in get_args(part)]
    if choices or int in types:
        *others, last = [*map(_quoted, choices), *(["an integer"] if int in types else [])]
        return f"{', '.join(others)} or {last}" if others else last
    if any(get_origin(part) is tuple for part in types):
        return "an array of strings"
    return "a number, 0 or more" if float in types else "a string"


def takes_truth(field: FieldInfo) -> bool:
    """Whether a key's value is true or false."""
    return bool in parts(field)


def takes_mode(field: FieldInfo) -> bool:
    """Whether a key's value is a mode, in octal."""
    return _OCTAL in parts(field)


def takes_seconds(field: FieldInfo) -> bool:
    """Whether a key's value is a time to live."""
    return _SECONDS in parts(field)


def takes_variables(field: FieldInfo) -> bool:
    """Whether a key's value is a table of variables."""
    return _VARIABLES in parts(field)


def takes_number(field: FieldInfo) -> bool:
    """Whether a key's value can be a decimal number. The digits of a mode are octal."""
    types = parts(field)
    return int in types and _OCTAL not in types


def takes_price(field: FieldInfo) -> bool:
    """Whether a key's value is a number, not below 0, that need not be whole."""
    return float in parts(field)


def limits(field: FieldInfo) -> tuple[int, int] | None:
    """The smallest and the largest integer that a key may have; None if it has no such limits."""
    types = parts(field)
    low = next((part.ge for part in types if isinstance(part, Ge)), None)
    high = next((part.le for part in types if isinstance(part, Le)), None)
    return (low, high) if isinstance(low, int) and isinstance(high, int) else None


def reason(error: Mapping[str, Any], key: str, field: FieldInfo) -> str:
    """One of pydantic's errors about one key, in our words."""
    between = limits(field)
    match error["type"]:
        case "missing":
            return f"missing: this mount needs a {key}"
        case "value_error":
            told = str(error["ctx"]["error"])
            # The validators name the key, as they may stand alone; here it stands in front already.
            return told.removeprefix(f"{key} ") if told.startswith(f"{key} must ") else told
        case "string_too_short":
            return "must not be empty: remove the key, or give it a value"
        case "greater_than_equal" | "less_than_equal" if between:
            return f"must be between {between[0]} and {between[1]}, not {shown(error['input'])}"
        case _:
            return f"must be {wanted(field)}, not {found(error['input'])}"


def fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """A model's fields by the keys of TOML."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


@lru_cache(maxsize=GUESSES_KEPT)
def did_you_mean(key: str, known: tuple[str, ...]) -> str:
    """`: did you mean "region"?`, or nothing where no known key is like it."""
    if len(key) > GUESSED_CHARS_MAX:
        return ""
    plain = key.lower().replace("_", "-")
    close = difflib.get_close_matches(plain, known, n=1, cutoff=LIKENESS_MIN)
    return f": did you mean {close[0]}?" if close else ""


def parts(field: FieldInfo) -> list[Any]:
    """A field's types and constraints, flat: those of `X | None` and `Annotated` included."""
    flat: list[Any] = []
    queue: list[Any] = [field.annotation, *field.metadata]
    while queue:
        part = queue.pop(0)
        flat.append(part)
        queue.extend([*getattr(part, "__args__", ()), *getattr(part, "__metadata__", ())])
    return flat


def _quoted(text: str) -> str:
    short = text if len(text) <= SHOWN_CHARS_MAX else text[: SHOWN_CHARS_MAX - 3] + "..."
    escaped = short.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in escaped) + '"'
