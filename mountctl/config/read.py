"""Bytes of configuration files: which files there are, what they hold, and why one can't be read.

Called by config/load.py. The only place in config that touches files. Never judges what a file says: it ends with
tables of TOML, or with the reason and the place why there are none.
"""

import ast
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import tomli

from engine.spec import PATH_BYTES_MAX
from mountctl.config.words import dotted

# A thousand mounts take 100 KiB. More is the wrong file (a log, a disk image). The worst hostile input of this size
# that was found, an array of half a million integers, took five seconds on a busy core to be refused with its line.
FILE_BYTES_MAX: Final = 1024 * 1024

# Bounds what a reload can take; people have a handful. Above it the directory is not what its name says.
DROP_INS_MAX: Final = 256

# A path is the longest that an option's value can be: PATH_MAX, and a newline at the end.
REFERENCED_BYTES_MAX: Final = PATH_BYTES_MAX + 1

# Ours have three. The parser's time is the square of a key's parts, so a line of 400 would stop a reload for a minute.
KEY_PARTS_MAX: Final = 16

# Python's limit (sys.int_info.default_max_str_digits), above which int() refuses with a plain ValueError.
INTEGER_DIGITS_MAX: Final = 4300

_KEY_PART = r"""(?:[A-Za-z0-9_-]++|"(?:[^"\\\n]|\\.)*+"|'[^'\n]*+')"""
_LONG_KEY: Final = re.compile(
    rf"^[ \t]*+\[{{0,2}}[ \t]*+{_KEY_PART}(?:[ \t]*+\.[ \t]*+{_KEY_PART}){{{KEY_PARTS_MAX},}}+", re.MULTILINE
)
_LONG_INTEGER: Final = re.compile(rf"[0-9](?:_?+[0-9]){{{INTEGER_DIGITS_MAX},}}+")
_PLACE: Final = re.compile(r" \((?:at line (\d+), column (\d+)|at end of document)\)$")
_DECLARED_TWICE: Final = re.compile(r"^Cannot declare (\(.*\)) twice$")
_BYTE_ORDER_MARK: Final = "\ufeff"

_OUR_WORDS: Final = {
    "Cannot overwrite a value": "this key is set twice in its table: keep one",
    "Unterminated string": "a string has no closing quote",
    "Invalid value": "not a value of TOML: strings need quotes, and true and false are in lower case",
    "Invalid statement": "neither KEY = VALUE nor [TABLE]",
    "Expected '=' after a key in a key/value pair": "a key needs '=' and a value behind it",
}


@dataclass(frozen=True)
class Document:
    """A file that is TOML: its bytes, which positions are told from, and its tables."""

    path: Path
    source: bytes
    tables: dict[str, Any]


class Unreadable(Exception):
    """A file can't be used at all. `line` and `column` count from 1, None where the whole file is meant."""

    def __init__(self, reason: str, line: int | None = None, column: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.line = line
        self.column = column


def drop_in_directory(path: Path) -> Path:
    """Where a configuration file's drop-ins are: /etc/x.toml has /etc/x.d."""
    return path.parent / (path.name.removesuffix(".toml") + ".d")


def drop_ins(directory: Path) -> list[Path]:
    """The drop-ins of a directory in the order in which they count; empty without directory. Raises Unreadable."""
    try:
        # Hidden files are editors' locks and half-written copies.
        names = [entry for entry in os.listdir(directory) if entry.endswith(".toml") and not entry.startswith(".")]
    except FileNotFoundError:
        return []
    except NotADirectoryError as error:
        raise Unreadable("not a directory: drop-ins are *.toml files in a directory of this name") from error
    except (OSError, ValueError) as error:
        raise Unreadable(_why(error)) from error
    if len(names) > DROP_INS_MAX:
        raise Unreadable(f"{len(names)} drop-ins are more than {DROP_INS_MAX}: join them into fewer files")
    return [directory / name for name in sorted(names)]


def read(path: Path) -> Document:
    """Read a file and parse it. Raises Unreadable with all that is known of the place."""
    source = _bytes(path)
    return Document(path, source, parse(source))


def parse(source: bytes) -> dict[str, Any]:
    """The tables in a file's bytes. Raises Unreadable for whatever is not UTF-8 or not TOML."""
    text = _text(source)
    if match := _LONG_KEY.search(text):
        raise Unreadable(f"a key has more than {KEY_PARTS_MAX} parts", *_line_and_column(text, match.start()))
    try:
        return tomli.loads(text)
    except tomli.TOMLDecodeError as error:
        raise _not_toml(str(error), text) from error
    except RecursionError as error:
        raise Unreadable("nested deeper than any configuration needs: options are plain values") from error
    except ValueError as error:
        match = _LONG_INTEGER.search(text)
        place = _line_and_column(text, match.start()) if match else ()
        raise Unreadable("not TOML: a number is too large", *place) from error


def referenced(path: Path) -> str:
    """What a value that names this file stands for: its text without the newline at the end. Raises Unreadable."""
    try:
        source = _content(path, REFERENCED_BYTES_MAX)
    except FileNotFoundError as error:
        raise Unreadable("no such file: write it, or name another") from error
    except (OSError, ValueError) as error:
        raise Unreadable(_why(error)) from error
    if len(source) > REFERENCED_BYTES_MAX:
        raise Unreadable(f"larger than {REFERENCED_BYTES_MAX} bytes, which no option's value is: is it the right file?")
    try:
        return source.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError as error:
        raise Unreadable("not UTF-8: values are text") from error


def _bytes(path: Path) -> bytes:
    """A configuration file's content."""
    try:
        source = _content(path, FILE_BYTES_MAX)
    except (OSError, ValueError) as error:
        raise Unreadable(_why(error)) from error
    if len(source) > FILE_BYTES_MAX:
        raise Unreadable(
            f"larger than {FILE_BYTES_MAX} bytes (1 MiB), which no configuration needs: is it the right file?"
        )
    return source


def _content(path: Path, bytes_max: int) -> bytes:
    """A regular file's content, and one byte more than the limit if it is longer. Raises OSError, Unreadable."""
    with open(path, "rb", opener=_open_at_once) as file:
        mode = os.fstat(file.fileno()).st_mode
        if not stat.S_ISREG(mode):
            raise Unreadable("not a regular file: a configuration is a file that can be read again and again")
        return file.read(bytes_max + 1)


def _open_at_once(name: str, flags: int) -> int:
    # Opening a FIFO would wait for somebody to write.
    return os.open(name, flags | os.O_NONBLOCK)


def _why(error: OSError | ValueError) -> str:
    """Why a path can't be opened, and how to mend it."""
    match error:
        case FileNotFoundError():
            return "no such file: write it, or name another with --config"
        case PermissionError():
            return "permission denied: run as root, or let this user read it"
        case IsADirectoryError():
            return "a directory, not a file: name the file in it"
        case OSError():
            return f"can't be read: {error.strerror or error}"
        case _:
            return "no file can have this name"


def _text(source: bytes) -> str:
    try:
        text = source.decode()
    except UnicodeDecodeError as error:
        before = source[: error.start]
        line = before.count(b"\n") + 1
        column = len(before[before.rfind(b"\n") + 1 :].decode()) + 1
        reason = f"not UTF-8: byte 0x{source[error.start]:02x} at offset {error.start}; save the file as UTF-8"
        raise Unreadable(reason, line, column) from error
    if text.startswith(_BYTE_ORDER_MARK):
        raise Unreadable("starts with a byte order mark: save the file as UTF-8 without it", 1, 1)
    return text


def _not_toml(message: str, text: str) -> Unreadable:
    """The parser's message as ours, with its place. It tells the place in words only."""
    match = _PLACE.search(message)
    told = message[: match.start()] if match else message
    if match and match[1]:
        line, column = int(match[1]), int(match[2])
    else:
        line, column = _line_and_column(text, len(text))
    if twice := _DECLARED_TWICE.match(told):
        # The parser shows the key as a Python tuple.
        name = dotted(ast.literal_eval(twice[1]))
        return Unreadable(f"not TOML: table [{name}] is declared twice: keep one header", line, column)
    return Unreadable(f"not TOML: {_OUR_WORDS.get(told, told[:1].lower() + told[1:])}", line, column)


def _line_and_column(text: str, index: int) -> tuple[int, int]:
    return text.count("\n", 0, index) + 1, index - text.rfind("\n", 0, index)
