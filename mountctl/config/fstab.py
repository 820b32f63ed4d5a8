"""The options of a line in fstab, as mount(8) hands them on: `ro,allow-other,metadata-ttl=60,_netdev`.

Called by commands/fstab.py. Pure. The words and escapes are Mountpoint's, so that its lines go on to work; what a value
must be is the business of engine.spec.
"""

from typing import Final

from engine.spec import MountSpec, kebab
from mountctl.config.model import UNSUPPORTED_MOUNT_OPTIONS
from mountctl.config.words import did_you_mean

# Words for mount(8), `mount -a` and systemd; nodev, nosuid and noatime are how every mount of ours is.
_NOT_OURS: Final = frozenset(
    {"auto", "noauto", "defaults", "user", "nouser", "users", "nofail", "_netdev", "nodev", "nosuid", "noatime"}
)
# Written by somebody for somebody who knows: x-systemd.automount, x-initrd.mount.
_PRIVATE: Final = "x-"
# Of the units that mountctl-generator makes.
_DECLARED: Final = "declared="
_ESCAPED: Final = frozenset(',\\"')
# The fields of MountSpec by their keys, but for what the line's other columns say.
_NAMES: Final = {kebab(name): name for name in MountSpec.model_fields if name not in ("name", "bucket", "mountpoint")}

# Options by their keys: True for a flag, a text, or several for an option that may be repeated.
Options = dict[str, str | bool | tuple[str, ...]]


class FstabError(ValueError):
    """The options can't be understood. The text is a sentence for a person."""


def options(text: str, *, sloppy: bool = False) -> Options:
    r"""What an option string asks of a mount, by the names of MountSpec's fields.

    Args:
        text: with commas between; `\,`, `\\` and `\"` stand for these characters.
        sloppy: pass words by that nobody knows, as `mount -s` asks.

    Raises FstabError.
    """
    words = [word for word in split(text) if word]
    if {"ro", "rw"} <= set(words):
        raise FstabError("ro and rw are both given: keep one")
    found: Options = {}
    for word in words:
        if word == "ro":
            found["read_only"] = True
        elif word != "rw" and word not in _NOT_OURS and not word.startswith(_PRIVATE):
            _add(found, word, sloppy=sloppy)
    return found


def declared(text: str) -> str | None:
    """The mount of the configuration file that the options name, which is to be waited for; None: they ask for one."""
    return next((word.removeprefix(_DECLARED) for word in text.split(",") if word.startswith(_DECLARED)), None)


def split(text: str) -> list[str]:
    """An option string at its commas, escapes resolved. Raises FstabError."""
    words, word, position = [], "", 0
    while position < len(text):
        character = text[position]
        if character == "\\":
            position += 1
            if position == len(text):
                raise FstabError("the options end in a backslash: write \\\\ for one")
            character = text[position]
            if character not in _ESCAPED:
                raise FstabError(f'unexpected {character!r} behind a backslash: only \\, \\\\ and \\" are escapes')
            word += character
        elif character == '"':
            raise FstabError(f'unexpected " at character {position + 1} of the options: write \\" for one')
        elif character == ",":
            words.append(word)
            word = ""
        else:
            word += character
        position += 1
    return [*words, word]


def _add(found: Options, word: str, *, sloppy: bool) -> None:
    key, has_value, value = word.partition("=")
    if key.startswith("-"):
        raise FstabError(f"{key}: options have no dashes in front here: write {key.lstrip('-')}")
    if key == "read-only":
        raise FstabError("read-only: write ro instead")
    if key in UNSUPPORTED_MOUNT_OPTIONS:
        raise FstabError(f"{key}: {UNSUPPORTED_MOUNT_OPTIONS[key]}")
    if key not in _NAMES:
        if sloppy:
            return
        raise FstabError(f"{key}: unknown option{did_you_mean(key, tuple(_NAMES))}")
    name = _NAMES[key]
    if MountSpec.model_fields[name].annotation is bool:
        if has_value:
            raise FstabError(f"{key}: takes no value")
        found[name] = True
    elif not has_value:
        raise FstabError(f"{key}: needs a value: write {key}=VALUE")
    elif isinstance(MountSpec.model_fields[name].default, tuple):
        before = found.get(name, ())
        assert isinstance(before, tuple)
        found[name] = (*before, value)
    else:
        found[name] = value
