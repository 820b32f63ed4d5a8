"""Durations, sizes and modes as other programs write them, in our units. Pure; each raises ValueError for nonsense."""

import re
from typing import Final

from engine.spec import MiB

# Go's time.ParseDuration, and what rclone adds to it (d, w, M, y).
_SECONDS: Final = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,
    "ms": 1e-3,
    "s": 1,
    "m": 60,
    "h": 3600,
    "d": 86400,
    "w": 604800,
    "M": 2592000,
    "y": 31536000,
}
_DURATION: Final = re.compile(r"([0-9]*\.?[0-9]+)(ns|us|µs|ms|s|m|h|d|w|M|y)")
_SIZE: Final = re.compile(r"([0-9]*\.?[0-9]+)([BKMGTP]?)(i?B?)", re.IGNORECASE)
_POWERS: Final = "BKMGTP"


def seconds(text: str) -> int:
    """`1m30s`, `500ms`, `90`: whole seconds, rounded down."""
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
        return int(float(text))
    if not re.fullmatch(f"({_DURATION.pattern})+", text):
        raise ValueError(f"{text!r} is no duration")
    return int(sum(float(number) * _SECONDS[unit] for number, unit in _DURATION.findall(text)))


def size(text: str, unit: str = "K") -> int:
    """`64M`, `5Mi`, `1G`: bytes, by powers of 1024; `unit` is that of a number alone, as rclone has it."""
    found = _SIZE.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no size")
    return int(float(found[1]) * 1024 ** _POWERS.index((found[2] or unit).upper()))


def mebibytes(text: str) -> int:
    """A number of MiB, in bytes."""
    return int(text) * MiB


def octal(text: str) -> int:
    """`0022`, `022`, `0o22`: permissions."""
    mode = int(text.removeprefix("0o"), 8)
    if not 0 <= mode <= 0o7777:
        raise ValueError(f"{text!r} is no mode")
    return mode & 0o777


def go_integer(text: str) -> int:
    """As Go's flags read a mode: octal with a 0 in front, otherwise decimal."""
    base = 8 if re.fullmatch(r"0o?[0-7]+", text) else 10
    return int(text.removeprefix("0o"), base) & 0o777
