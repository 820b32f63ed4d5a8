"""Small files of the state directory, one a kind and runtime directory: replaced as a whole, so never half written.

Used by what a supervisor keeps for the next one: holds, the last good configuration, numbers of events.
"""

import os
from pathlib import Path
from typing import Final
from urllib.parse import quote

_DIRECTORY_MODE: Final = 0o755


def path_of(state_dir: Path, kind: str, runtime_dir: Path) -> Path:
    """The file of this kind of the supervisor with this runtime directory."""
    return state_dir / kind / f"{name_of(runtime_dir)}.json"


def name_of(runtime_dir: Path) -> str:
    """A runtime directory's path as a name in a directory, whatever bytes it has."""
    return quote(os.fsencode(runtime_dir.absolute()), safe="")


def replace(path: Path, text: str, *, mode: int = 0o644) -> None:
    """Have this text there, also after a power cut. Blocks as long as the disk takes. Raises OSError."""
    path.parent.mkdir(_DIRECTORY_MODE, parents=True, exist_ok=True)
    temporary = path.with_suffix(".new")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(fd)
    os.replace(temporary, path)
