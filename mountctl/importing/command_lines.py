"""Command lines of the programs: of units, of live processes, and typed by somebody. Pure.

Words in front that only start another program (sudo, env, sh -c) are passed by.
"""

import os
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Final

from mountctl.importing.draft import Rules
from mountctl.importing.found import Found, Given, Process, Program, Unit, Unusable, User
from mountctl.importing.host import Host
from mountctl.importing.mount_words import split
from mountctl.importing.programs import NAMES, RULES

_ASSIGNMENT: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=.*", re.DOTALL)
# Behind a call: another one, or where its output goes.
_BEHIND: Final = re.compile(r"(?:&|&&|;|\||\|\||[0-9]?>.*)$")
# Programs that start another, with the letters of theirs that take a value.
_STARTERS: Final = {
    "sudo": "ugCp",
    "env": "uCS",
    "nohup": "",
    "exec": "a",
    "nice": "n",
    "ionice": "cn",
    "setsid": "",
    "time": "",
    "chrt": "",
}
_SHELLS: Final = frozenset({"sh", "bash", "dash"})
# -v of rclone may be repeated in one word; of mount-s3 and s3fs each letter is a flag.
_LETTERS_TAKE: Final = {
    Program.S3FS: "o",
    Program.MOUNT_S3: "lo",
    Program.RCLONE: "of",
    Program.GOOFYS: "o",
    Program.GEESEFS: "o",
}
_TYPED: Final = "the command line"


@dataclass(frozen=True)
class Command:
    """A program's call, without what stood in front of it."""

    program: Program
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    user: str | None = None


def typed(text: str, host: Host, origin: str = _TYPED) -> Found | Unusable | None:
    """The mount of a command line as somebody types it; None if it is of none of the programs."""
    try:
        words = shlex.split(text, comments=True)
    except ValueError:
        return Unusable(origin, "its quotes do not match")
    command = take_apart(list(takewhile(lambda word: not _BEHIND.match(word), words)))
    if command is None:
        return None
    user = None if command.user is None else host.user(command.user)
    return mount_of(command, origin, user=None if user is None or user.uid == 0 else user)


def is_shell(word: str) -> bool:
    """Whether a program is a shell, by its name or path."""
    return os.path.basename(word).removeprefix("-") in _SHELLS


def take_apart(words: Sequence[str]) -> Command | None:
    """The call of one of the programs in some words; None if there is none."""
    environment: dict[str, str] = {}
    user: str | None = None
    rest = list(words)
    while rest:
        name = os.path.basename(rest[0])
        if _ASSIGNMENT.fullmatch(rest[0]):
            key, _, value = rest.pop(0).partition("=")
            environment[key] = value
        elif name in _SHELLS and "-c" in rest[1:-1]:
            return _of_script(rest[rest.index("-c") + 1], environment, user)
        elif name in _STARTERS:
            rest.pop(0)
            while rest and rest[0].startswith("-"):
                letter = rest.pop(0)
                if letter[1:2] in _STARTERS[name] and len(letter) == 2 and rest:
                    value = rest.pop(0)
                    user = value if name == "sudo" and letter == "-u" else user
        elif name in NAMES:
            return _of_program(NAMES[name], rest[1:], environment, user)
        else:
            return None
    return None


def _of_script(script: str, environment: Mapping[str, str], user: str | None) -> Command | None:
    """The first call of a program in a shell's script."""
    for line in re.split(r"&&|\|\||;|\n", script):
        try:
            found = take_apart(shlex.split(line))
        except ValueError:
            continue
        if found is not None:
            return Command(found.program, found.arguments, {**environment, **found.environment}, found.user or user)
    return None


def _of_program(
    program: Program, arguments: list[str], environment: Mapping[str, str], user: str | None
) -> Command | None:
    if program is not Program.RCLONE:
        return Command(program, tuple(arguments), environment, user)
    verb = next((n for n, word in enumerate(arguments) if word in ("mount", "mount2", "cmount")), None)
    if verb is None:
        return None
    return Command(program, tuple(arguments[:verb] + arguments[verb + 1 :]), environment, user)


def mount_of(
    command: Command,
    origin: str,
    *,
    way: Unit | Process | None = None,
    user: User | None = None,
    unread: frozenset[str] = frozenset(),
) -> Found | Unusable:
    """The mount that a call makes."""
    options, places = _options(command.program, command.arguments)
    if command.program is Program.RCLONE:
        options = [*_of_rclone_environment(command.environment), *options]
    bucket = next((each.value for each in options if each.name == "bucket" and each.value), None)
    if command.program is Program.S3FS and bucket is not None and len(places) == 1:
        places = [bucket, *places]
    if len(places) != 2:
        told = "a bucket and a directory" if len(places) < 2 else f"two, not {len(places)} words beside its options"
        return Unusable(origin, f"a call of {command.program} needs {told}")
    if not places[1].startswith("/"):
        return Unusable(origin, f"the directory {places[1]} is not absolute, and nobody knows where it was called")
    return Found(
        program=command.program,
        source=places[0],
        mountpoint=places[1],
        options=tuple(options),
        origin=origin,
        way=way,
        environment=dict(command.environment),
        unread=unread,
        user=user,
    )


def _options(program: Program, arguments: Sequence[str]) -> tuple[list[Given], list[str]]:
    """Options and the words that are none."""
    rules = RULES[program]
    options: list[Given] = []
    places: list[str] = []
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        if word == "--":
            places += rest
            break
        if not word.startswith("-") or word == "-":
            places.append(word)
        elif word.startswith("--") or (
            program in (Program.GOOFYS, Program.GEESEFS) and len(word) > 2 and not word.startswith("-o")
        ):
            options += _long(word.lstrip("-"), rest, rules, 2 - len(places))
        else:
            options += _letters(program, word[1:], rest)
    return options, places


def _long(word: str, rest: list[str], rules: Rules, places: int) -> list[Given]:
    name, has_value, value = word.partition("=")
    if name in ("option", "fuse-flag", "o"):
        return split(value if has_value else rest.pop(0) if rest else "")
    if has_value:
        return [Given(name, value)]
    rule = rules.get(name)
    # Of an option that nobody knows: what follows is its value if enough words are left for bucket and directory.
    takes = rule.takes if rule is not None else _has_more(rest, places)
    if takes and rest:
        return [Given(name, rest.pop(0))]
    return [Given(name)]


def _has_more(rest: Sequence[str], places: int) -> bool:
    plain = [word for word in rest if not word.startswith("-")]
    return bool(rest) and not rest[0].startswith("-") and len(plain) > places


def _letters(program: Program, letters: str, rest: list[str]) -> list[Given]:
    """`-o words`, `-owords`, `-f`, `-vv`, `-ff`."""
    found: list[Given] = []
    while letters:
        letter, letters = letters[0], letters[1:]
        if letter not in _LETTERS_TAKE[program]:
            twice = program is Program.RCLONE and letter == "v" and letters.startswith("v")
            found.append(Given("vv" if twice else letter))
            letters = letters.lstrip("v") if twice else letters
            continue
        value = letters.removeprefix("=") or (rest.pop(0) if rest else "")
        found += split(value) if letter == "o" else [Given(letter, value)]
        break
    return found


def _of_rclone_environment(environment: Mapping[str, str]) -> list[Given]:
    """RCLONE_VFS_CACHE_MODE=full is --vfs-cache-mode full; what defines a remote is rclone_remotes.py's."""
    start = "RCLONE_"
    return [
        Given(name.removeprefix(start).lower().replace("_", "-"), value)
        for name, value in sorted(environment.items())
        if name.startswith(start) and not name.startswith(f"{start}CONFIG") and value
    ]
