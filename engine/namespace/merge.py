"""How the pages of a listing become a directory's entries: the rules, without I/O.

Used by listing.py. S3 sorts by key, where the directory `a` is the common prefix `a/`. So between the object `a` and
the prefix `a/`, which hides it, may come any number of keys such as `a-b`, and page boundaries. An object is
therefore *pending* until the listing has passed its name with a slash. All pending objects start the same key, so
they are few: each is a prefix of the next.
"""

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from engine.namespace.names import name_in, problem
from engine.s3.interface import ListPage, ObjectInfo


class Entry(NamedTuple):
    """One name in a directory; `info` is None for a directory, and for what is only `local`."""

    name: str
    info: ObjectInfo | None
    local: bool = False


@dataclass(slots=True)
class Merged:
    """What a page settles.

    Args:
        entries: sorted by name; no name twice.
        pending: objects that a later page's common prefix may hide.
        local: local names whose place is on a later page.
        invalid: listed keys and prefixes whose component can't be a name, each with the reason.
        shadowed: objects that a directory of their name hides.
        marker: the directory's own object, if it was listed.
    """

    entries: list[Entry] = field(default_factory=list)
    pending: tuple[ObjectInfo, ...] = ()
    local: tuple[str, ...] = ()
    invalid: list[tuple[str, str]] = field(default_factory=list)
    shadowed: list[ObjectInfo] = field(default_factory=list)
    marker: ObjectInfo | None = None


def merge(prefix: str, pending: Sequence[ObjectInfo], page: ListPage, local: Sequence[str] = ()) -> Merged:
    """Turn the next page of a directory's listing, and what the pages before left pending, into entries.

    `local` are names that are not in S3 yet, or are being replaced there, as far as the pages before left them: each
    hides an object of its name, and a directory in S3 hides it. It waits for that like an object.

    Entries come in name order within a page. Across pages too, but for an object whose siblings that start with its
    name and a character below the slash (`a`, `a-b`) are cut by the page's end: it follows on the next page.
    """
    merged = Merged()
    directories = _directories(prefix, page.prefixes, merged)
    end = _end(page)
    waiting: list[ObjectInfo] = []
    mine = set(local)
    for info in (*pending, *_files(prefix, page.objects, merged)):
        name = name_in(prefix, info.key)
        if name in directories:
            merged.shadowed.append(info)
        elif name in mine:
            continue
        elif end is not None and end <= info.key + "/":
            waiting.append(info)
        else:
            merged.entries.append(Entry(name, info))
    merged.entries.extend(Entry(name, None) for name in directories)
    _place_local(prefix, local, directories, end, merged)
    merged.entries.sort(key=lambda entry: entry.name)
    merged.pending = tuple(waiting)
    return merged


def _place_local(prefix: str, local: Sequence[str], directories: Container[str], end: str | None, to: Merged) -> None:
    later = []
    for name in local:
        if name in directories:
            continue
        if end is not None and end <= f"{prefix}{name}/":
            later.append(name)
        else:
            to.entries.append(Entry(name, None, local=True))
    to.local = tuple(later)


def _end(page: ListPage) -> str | None:
    """How far the listing has come: the page's last key; None after the last page, when everything is settled."""
    if page.next_token is None:
        return None
    last_object = page.objects[-1].key if page.objects else ""
    return max(last_object, page.prefixes[-1] if page.prefixes else "")


def _directories(prefix: str, prefixes: Iterable[str], merged: Merged) -> dict[str, None]:
    names: dict[str, None] = {}
    for common in prefixes:
        name = name_in(prefix, common)
        if why := problem(name):
            merged.invalid.append((common, why))
        else:
            names[name] = None
    return names


def _files(prefix: str, objects: Iterable[ObjectInfo], merged: Merged) -> Iterable[ObjectInfo]:
    for info in objects:
        if info.key == prefix:
            merged.marker = info
        elif why := problem(info.key[len(prefix) :]):
            merged.invalid.append((info.key, why))
        else:
            yield info
