"""A mount of ours in the making: keys, and notes about what has no equal. Filled by the programs' tables.

Nothing here knows a program. What is left to a person is a note of a kind that asks (`Kind.asks`); a mount without any
needs no edit.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from engine.spec import TTL_MAX_SECONDS
from mountctl.importing.found import Found, Given
from mountctl.importing.keys import KeySource

_AMAZON: Final = re.compile(
    r"(?:[a-z0-9.-]+\.)?s3(?:[.-](?:dualstack\.)?(?P<region>[a-z]{2}(?:-[a-z]+)+-[0-9]+))?\.amazonaws\.com(?:\.cn)?"
)
_URL: Final = re.compile(r"(?P<scheme>https?)://(?P<host>[^/?#\s@]+)(?P<path>/.*)?", re.IGNORECASE)


class Kind(StrEnum):
    """What a note is, as it is written in front of it."""

    NO_EQUAL = "NO EQUAL"
    TO_DO = "TO DO"
    NOTE = "note"

    @property
    def asks(self) -> bool:
        """Whether a person has to look at it."""
        return self is not Kind.NOTE


@dataclass(frozen=True)
class Note:
    """A sentence above a mount. `option`: what it is about, as it may be shown."""

    kind: Kind
    option: str
    text: str


class Refused(Exception):
    """This mount can't be one of ours at all. The text is a sentence for a person."""


@dataclass
class Draft:
    """One mount of ours in the making.

    Args:
        found: what it is made of.
        keys: of its table, by their names in TOML.
        notes: what is told above it.
        environment: its variables, without secrets.
        unneeded: options that nothing is needed for.
        key_source: where its keys are, if no option of ours takes them from there.
        umask: of files and directories, until modes are made of it.
        no_execute: no file may be executable.
        has_file: whether this host has a file.
    """

    found: Found
    keys: dict[str, Any] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    unneeded: list[str] = field(default_factory=list)
    key_source: KeySource | None = None
    umask: int | None = None
    no_execute: bool = False
    has_file: Callable[[str], bool] = lambda path: False

    def no_equal(self, given: Given | str, text: str) -> None:
        """An option is left out: what it did, why there is none, what to do."""
        self._note(Kind.NO_EQUAL, given, text)

    def to_do(self, given: Given | str, text: str) -> None:
        """Something is left to a person."""
        self._note(Kind.TO_DO, given, text)

    def note(self, given: Given | str, text: str) -> None:
        """Something is a little different; nobody has to do anything."""
        self._note(Kind.NOTE, given, text)

    def nothing_needed(self, given: Given) -> None:
        """The option has no equal because none is needed."""
        if given.shown not in self.unneeded:
            self.unneeded.append(given.shown)

    def shorter(self, key: str, seconds: int) -> None:
        """A time to live, if no shorter one was given for the same key."""
        told: int | str = "minimal" if seconds <= 0 else min(seconds, TTL_MAX_SECONDS)
        before = self.keys.get(key)
        if before is None or before == "indefinite" or told == "minimal" or (before != "minimal" and told < before):
            self.keys[key] = told

    @property
    def asks(self) -> bool:
        """Whether a person has to look at it."""
        return any(note.kind.asks for note in self.notes)

    def _note(self, kind: Kind, given: Given | str, text: str) -> None:
        option = given if isinstance(given, str) else given.shown
        note = Note(kind, option, text)
        if note not in self.notes:
            self.notes.append(note)


Apply = Callable[[Draft, Given], None]


@dataclass(frozen=True)
class Rule:
    """What becomes of an option.

    Args:
        apply: changes the draft. May raise ValueError: the value is nonsense.
        takes: whether a value follows it on a command line, after a blank.
    """

    apply: Apply
    takes: bool = True


Rules = dict[str, Rule]


def value_of(given: Given) -> str:
    """Its value. Raises ValueError if it has none."""
    if given.value is None:
        raise ValueError("a value is missing")
    return given.value


def is_on(given: Given) -> bool:
    """A switch: on unless its value says otherwise."""
    return given.value is None or given.value.lower() not in ("0", "false", "no", "off", "f")


def switch(key: str) -> Rule:
    """A switch of ours, too."""

    def apply(draft: Draft, given: Given) -> None:
        if is_on(given):
            draft.keys[key] = True

    return Rule(apply, takes=False)


def same(key: str, convert: Callable[[str], Any] = str) -> Rule:
    """A value of ours, too, perhaps in another unit."""
    return Rule(lambda draft, given: draft.keys.__setitem__(key, convert(value_of(given))))


def ttl(key: str, convert: Callable[[str], int]) -> Rule:
    """A time to live; of several the shortest counts."""
    return Rule(lambda draft, given: draft.shorter(key, convert(value_of(given))))


def owner(key: str) -> Rule:
    """A uid or gid. Root is the owner anyway."""

    def apply(draft: Draft, given: Given) -> None:
        number = int(value_of(given))
        if number == 0:
            draft.keys.pop(key, None)
        else:
            draft.keys[key] = number

    return Rule(apply)


def attempts(more: int) -> Rule:
    """A number of retries; `more` makes attempts of it."""

    def apply(draft: Draft, given: Given) -> None:
        draft.environment["AWS_MAX_ATTEMPTS"] = str(max(1, int(value_of(given)) + more))

    return Rule(apply)


def unneeded(*, takes: bool = True) -> Rule:
    """There is no equal because none is needed."""
    return Rule(Draft.nothing_needed, takes)


def none(text: str, *, takes: bool = True, unless: tuple[str, ...] = ()) -> Rule:
    """There is no equal. `unless`: values that ask for what is so here anyway."""

    def apply(draft: Draft, given: Given) -> None:
        if given.value in unless or (not takes and not is_on(given)):
            draft.nothing_needed(given)
        else:
            draft.no_equal(given, text)

    return Rule(apply, takes)


def endpoint(draft: Draft, given: Given | str, url: str) -> None:
    """An S3's address: of Amazon's own only the region is kept."""
    whole = url if "://" in url else f"https://{url}"
    found = _URL.fullmatch(whole)
    if found is None:
        draft.no_equal(given, "this is no http:// or https:// address without a user in it. Set endpoint-url by hand.")
        return
    if amazon := _AMAZON.fullmatch(found["host"].lower()):
        if amazon["region"]:
            draft.keys.setdefault("region", amazon["region"])
        if ".dualstack." in found["host"]:
            draft.keys["dual-stack"] = True
        return
    if (found["path"] or "/") != "/":
        draft.no_equal(
            given, "its path can't be kept: an endpoint-url has none. Ask the server's admin for one without."
        )
    draft.keys["endpoint-url"] = f"{found['scheme'].lower()}://{found['host']}"


def apply_all(draft: Draft, rules: Rules, program: str) -> None:
    """Apply every option by its rule; what no rule knows is told."""
    for given in draft.found.options:
        rule = rules.get(given.name)
        if rule is None:
            draft.no_equal(given, f"this option of {program} is not known here. See what it does, and decide.")
            continue
        try:
            rule.apply(draft, given)
        except ValueError:
            draft.no_equal(given, "its value is not understood. Set by hand what it means.")
