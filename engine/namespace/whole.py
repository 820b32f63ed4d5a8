"""Directories of which all names are known, because a listing came to their end: no other name is in them.

Owned by missing.py, which asks; fs/names_ahead.py has directories listed. What comes to be in a directory while it is
listed, and later, is added (InodeTable tells). Synchronous; never asks S3.
"""

import collections
from collections.abc import Iterable
from typing import Final

import trio

from engine.namespace.inode import NEVER
from engine.namespace.names import parent_prefix

# Directories, and their names together: a set takes some 100 bytes for each, 2.5 MB for all.
DIRECTORIES_MAX: Final = 64
NAMES_MAX: Final = 25_000


class _Whole:
    """One directory: names that are there, or were, and until when no other is believed to be."""

    __slots__ = ("begun", "names", "until")

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.until = NEVER
        self.begun: trio.Event | None = trio.Event()  # until S3 has answered with the first names, or failed


class WholeDirectories:
    """By prefix, the one that was listed last at the end."""

    def __init__(self) -> None:
        self._known: collections.OrderedDict[str, _Whole] = collections.OrderedDict()
        self._names = 0

    def begin(self, prefix: str, here: Iterable[str] = ()) -> None:
        """S3 is being asked for the names of a directory: what happens from now on counts, whatever it says.

        `here`: names that were made in it and are not in S3 yet.
        """
        self.drop(prefix)
        whole = self._known[prefix] = _Whole()
        whole.names.update(here)
        self._names += len(whole.names)
        if len(self._known) > DIRECTORIES_MAX:
            self.drop(next(iter(self._known)))

    def add(self, prefix: str, names: Iterable[str]) -> bool:
        """S3 tells these. False: nobody wants to know, or there are too many."""
        whole = self._known.get(prefix)
        if whole is None:
            return False
        self._answered(whole)
        before = len(whole.names)
        whole.names.update(names)
        self._names += len(whole.names) - before
        while self._names > NAMES_MAX:
            self.drop(next(iter(self._known)))
        return prefix in self._known

    def end(self, prefix: str, until: float) -> None:
        """The listing came to its end: until then no other names are believed to be there."""
        if (whole := self._known.get(prefix)) is not None:
            self._answered(whole)
            whole.until = until

    def drop(self, prefix: str) -> None:
        """It is not known any more what a directory has."""
        if (whole := self._known.pop(prefix, None)) is not None:
            self._answered(whole)
            self._names -= len(whole.names)

    def being_listed(self, prefix: str) -> trio.Event | None:
        """What to wait for where the first names of a directory are on their way; None: they are not."""
        whole = self._known.get(prefix)
        return None if whole is None else whole.begun

    def found(self, location: str) -> None:
        """There may be something at a location from now on."""
        if self._known and (prefix := parent_prefix(location)) in self._known:
            self._add_one(prefix, location[len(prefix) :])

    def _add_one(self, prefix: str, name: str) -> None:
        """A name is, or may be, in a directory."""
        whole = self._known[prefix]
        if name not in whole.names:
            whole.names.add(name)
            self._names += 1
            if self._names > NAMES_MAX:
                self.drop(next(iter(self._known)))

    def until(self, location: str, now: float) -> float | None:
        """Until when a location is believed to be empty; None if it is not."""
        if not self._known:
            return None
        prefix = parent_prefix(location)
        whole = self._known.get(prefix)
        if whole is None or now >= whole.until or location[len(prefix) :] in whole.names:
            return None
        return whole.until

    @staticmethod
    def _answered(whole: _Whole) -> None:
        if whole.begun is not None:
            whole.begun.set()
            whole.begun = None
