"""Tells an operator, once a directory and kind, that keys in the bucket have no path, and counts all of them.

Called by listings. Never decides what is hidden (names.py and listing.py do) and never fails.
"""

import logging
from typing import Final

from engine.facts import about
from engine.message_ids import NAME_HIDDEN
from engine.stats import EngineStats

logger = logging.getLogger(__name__)

# Directories and kinds remembered as told: some 100 bytes each. Beyond it names are only counted, so that a bucket
# full of odd keys fills neither memory nor log.
TOLD_MAX: Final = 4096


class HiddenNames:
    """What listings left out. One for an engine."""

    def __init__(self, stats: EngineStats) -> None:
        self._stats = stats
        self._told: set[tuple[str, str]] = set()

    def invalid(self, directory: str, key: str, why: str) -> None:
        """A listed key or common prefix below the prefix `directory` can't be a name, because its name `why`."""
        self._stats.hidden_names += 1
        kind = "directory" if key.endswith("/") else "file"
        if self._first(directory, kind):
            text = "%s %r has no path here: its name %s; told once for %r"
            logger.warning(text, kind, key, why, directory, extra=about(NAME_HIDDEN, key=key))

    def shadowed(self, directory: str, key: str) -> None:
        """The object `key` has the name of a directory, which hides it."""
        self._stats.hidden_names += 1
        if self._first(directory, "shadowed"):
            text = "object %r is hidden by the directory of its name; told once for %r"
            logger.warning(text, key, directory, extra=about(NAME_HIDDEN, key=key))

    def marker(self, key: str, size: int) -> None:
        """The object that makes a directory visible (its key ends in a slash) has content, which has no path."""
        self._stats.hidden_names += 1
        if self._first(key, "marker"):
            text = "object %r is shown as a directory, so its %d bytes can't be read here"
            logger.warning(text, key, size, extra=about(NAME_HIDDEN, key=key))

    def _first(self, directory: str, kind: str) -> bool:
        if (directory, kind) in self._told or len(self._told) >= TOLD_MAX:
            return False
        self._told.add((directory, kind))
        return True
