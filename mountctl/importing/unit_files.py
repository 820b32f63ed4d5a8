"""systemd's unit files as text: sections, continued lines, quotes, specifiers. Pure; what a mount is, units.py knows.

As systemd.syntax(7), systemd.exec(5) and systemd.unit(5) have it, as far as units of mounts use it.
"""

import re
from collections.abc import Iterator
from typing import Final

_SPECIFIER: Final = re.compile(r"%([a-zA-Z%])")
_VARIABLE: Final = re.compile(r"\$(?:\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*)|(\$))")
_ESCAPES: Final = {"n": "\n", "t": "\t", "s": " ", "\\": "\\", '"': '"', "'": "'", "r": "\r"}
# In front of a program: not its name.
PREFIXES: Final = "-@:+!|"

Settings = dict[tuple[str, str], list[str]]


def settings(text: str) -> Settings:
    """All values by section and key, in their order; an empty one forgets those before it."""
    found: Settings = {}
    section = ""
    for line in _lines(text):
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1]
            continue
        key, is_setting, value = line.partition("=")
        if not is_setting:
            continue
        values = found.setdefault((section, key.strip()), [])
        if value.strip():
            values.append(value.strip())
        else:
            values.clear()
    return found


def _lines(text: str) -> Iterator[str]:
    """Lines without comments, those that end in a backslash joined to the next."""
    whole = ""
    for raw in text.split("\n"):
        line = raw.strip()
        if line.startswith(("#", ";")):
            continue  # also between the parts of one line
        if line.endswith("\\"):
            whole += line[:-1] + " "
            continue
        if whole + line:
            yield (whole + line).strip()
        whole = ""
    if whole.strip():
        yield whole.strip()


def specified(text: str, name: str, user: str, home: str) -> str:
    """A value with its specifiers replaced, of the unit of this name.

    Raises LookupError for one that depends on the host (%H, %m, ...).
    """
    stem, _, _ = name.rpartition(".")
    prefix, _, instance = stem.partition("@")
    known = {
        "i": instance,
        "I": unescape(instance),
        "f": "/" + unescape(instance or prefix).lstrip("/"),
        "p": prefix,
        "P": unescape(prefix),
        "j": prefix.rpartition("-")[2],
        "J": unescape(prefix.rpartition("-")[2]),
        "n": name,
        "N": stem,
        "u": user,
        "h": home,
        "t": "/run",
        "S": "/var/lib",
        "C": "/var/cache",
        "L": "/var/log",
        "E": "/etc",
        "T": "/tmp",  # noqa: S108 - what systemd says
        "V": "/var/tmp",  # noqa: S108
        "%": "%",
    }
    return _SPECIFIER.sub(lambda found: known[found[1]], text)


def unescape(text: str) -> str:
    r"""As `systemd-escape --unescape`: `-` is `/`, `\x2d` a dash."""
    plain = text.replace("-", "/")
    return re.sub(
        r"(?:\\x[0-9a-fA-F]{2})+",
        lambda found: bytes.fromhex(found[0].replace("\\x", "")).decode(errors="replace"),
        plain,
    )


def words(text: str) -> list[str]:
    """A command line's words. Raises ValueError if a quote is not closed."""
    found: list[str] = []
    word: str | None = None
    quote = ""
    position = 0
    while position < len(text):
        character = text[position]
        position += 1
        if character == "\\" and position < len(text):
            escape = text[position]
            position += 1
            if escape == "x" and re.fullmatch("[0-9a-fA-F]{2}", text[position : position + 2]):
                word = (word or "") + chr(int(text[position : position + 2], 16))
                position += 2
            else:
                word = (word or "") + _ESCAPES.get(escape, "\\" + escape)
        elif quote:
            if character == quote:
                quote = ""
            else:
                word = (word or "") + character
        elif character in "\"'":
            quote, word = character, word or ""
        elif character.isspace():
            if word is not None:
                found.append(word)
            word = None
        else:
            word = (word or "") + character
    if quote:
        raise ValueError("a quote is not closed")
    return found if word is None else [*found, word]


def expanded(given: list[str], environment: dict[str, str]) -> list[str]:
    """Words with variables replaced: `$NAME` alone is split at blanks, `${NAME}` is not."""
    found: list[str] = []
    for word in given:
        alone = re.fullmatch(r"\$([A-Za-z_][A-Za-z0-9_]*)", word)
        if alone is not None:
            found += environment.get(alone[1], "").split()
        else:
            found.append(_VARIABLE.sub(lambda each: _value(each, environment), word))
    return found


def _value(found: re.Match[str], environment: dict[str, str]) -> str:
    if found[3]:
        return "$"
    return environment.get(found[1], "") if found[1] else found[0]


def environment_file(text: str) -> dict[str, str]:
    """Variables of an EnvironmentFile."""
    found = {}
    for line in _lines(text):
        name, is_setting, value = line.partition("=")
        name = name.strip().removeprefix("export ").strip()
        if is_setting and re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            try:
                found[name] = " ".join(words(value))
            except ValueError:
                found[name] = value.strip()
    return found
