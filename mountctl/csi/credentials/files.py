"""The files of credentials below the runtime directory: one directory a mount, for root alone.

Written here, read by the supervisor's broker, which sees them at the same path. A file is replaced as a whole, and only
if it says something else: the broker looks up credentials again when one has changed.
"""

import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Final

DIRECTORY: Final = "credentials"
_NAME: Final = re.compile(r"^[0-9a-zA-Z_][0-9a-zA-Z\-._]{0,62}$")
# What a write that was interrupted leaves behind begins so; no file of ours does.
_UNFINISHED: Final = ".new-"


class CredentialFiles:
    """The directories of all mounts. Called from several threads.

    Args:
        runtime_directory: the supervisor's.
        clock: seconds.
    """

    def __init__(self, runtime_directory: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._root = runtime_directory / DIRECTORY
        self._clock = clock
        self._written: dict[str, float] = {}  # when it was last, by name
        self._mutex = threading.Lock()

    def path(self, name: str) -> Path:
        """A mount's directory, whether it is there or not. Raises ValueError for what is no mount's name."""
        if not _NAME.fullmatch(name):
            raise ValueError("not the name of a mount")
        return self._root / name

    def write(self, name: str, texts: Mapping[str, str]) -> bool:
        """Have these files say this; others of the mount stay. Whether anything has changed. Raises OSError.

        Args:
            name: the mount's.
            texts: what each file is to have, by its name.
        """
        directory = self.path(name)
        with self._mutex:
            self._written[name] = self._clock()
            _make_private(self._root)
            _make_private(directory)
            changed = [_replace(directory / file, text) for file, text in texts.items()]
            return any(changed)

    def remove(self, name: str) -> None:
        """A mount is gone. Nothing happens if there is nothing. Raises OSError."""
        with self._mutex:
            self._written.pop(name, None)
            _remove(self.path(name))

    def remove_file(self, name: str, file: str) -> None:
        """One of a mount's files is of no use any more. Raises OSError."""
        with self._mutex:
            (self.path(name) / file).unlink(missing_ok=True)

    def sweep(self, names: Collection[str], seconds: float) -> list[str]:
        """Remove what was written, by whomever, for mounts that are gone. Raises OSError.

        Args:
            names: of the mounts that are there.
            seconds: what was written that lately stays: its mount may be about to be there.

        Returns: the names that were removed.
        """
        with self._mutex:
            if not self._root.is_dir():
                return []
            since = self._clock() - seconds
            kept = {*names, *(name for name, written in self._written.items() if written >= since)}
            gone = [each.name for each in self._root.iterdir() if each.name not in kept and not _is_ours(each.name)]
            for name in gone:
                _remove(self._root / name)
                self._written.pop(name, None)
            return sorted(gone)


def _is_ours(name: str) -> bool:
    """Not a mount's: no mount's name begins so (driver_secret.py)."""
    return name.startswith("_")


def _make_private(directory: Path) -> None:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if directory.stat().st_mode & 0o777 != 0o700:
        directory.chmod(0o700)


def _replace(path: Path, text: str) -> bool:
    data = text.encode()
    try:
        if path.read_bytes() == data:
            return False
    except FileNotFoundError:
        pass
    new = path.with_name(f"{_UNFINISHED}{path.name}")
    new.unlink(missing_ok=True)
    try:
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb") as file:
            file.write(data)
        new.rename(path)
    except OSError:
        new.unlink(missing_ok=True)
        raise
    return True


def _remove(path: Path) -> None:
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except FileNotFoundError:
        pass
