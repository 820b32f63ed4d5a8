"""Small files of the state directory, one a kind and runtime directory: replaced as a whole, so never half written.

Used by what a supervisor keeps for the next one: holds, the last good configuration, numbers of events. What can't be
read or written is told in the log, with what is lost by it, and stops nothing.
"""

import json
import logging
import os
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import quote

from pydantic import BaseModel, ValidationError

from engine.facts import about
from engine.message_ids import STATE_FILE

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_DIRECTORY_MODE: Final = 0o755

_log = logging.getLogger(__name__)
_Model = TypeVar("_Model", bound=BaseModel)


def path_of(state_dir: Path, kind: str, runtime_dir: Path) -> Path:
    """The file of this kind of the supervisor with this runtime directory."""
    return state_dir / kind / f"{name_of(runtime_dir)}.json"


def name_of(runtime_dir: Path) -> str:
    """A runtime directory's path as a name in a directory, whatever bytes it has."""
    return quote(os.fsencode(runtime_dir.absolute()), safe="")


def boot_id() -> str:
    """Which boot of the host this is: what is good for one only says so with it."""
    return _BOOT_ID.read_text().strip()


def read(path: Path, model: type[_Model], lost: str, *, absent: _Model | None = None) -> _Model | None:
    """What is there; None if that can't be used. Blocks.

    Args:
        path: the file.
        model: what it has.
        lost: what is so without it, as half a sentence.
        absent: what there is if there is no file.
    """
    try:
        return model.model_validate(json.loads(path.read_bytes()))
    except FileNotFoundError:
        return absent
    except (OSError, ValueError, RecursionError) as error:
        _log.warning("cannot read %s, so %s: %s", path, lost, _reason(error), extra=about(STATE_FILE))
        return None


def keep(path: Path, text: str, lost: str, *, mode: int = 0o644, synced: bool = True) -> str | None:
    """Have this text there, if that can be: returns the reason if not. Blocks as long as the disk takes.

    Args:
        path: the file.
        text: all of it.
        lost: what is so without it, as half a sentence.
        mode: of the file.
        synced: it is to be there also after a power cut.
    """
    try:
        replace(path, text, mode=mode, synced=synced)
    except OSError as error:
        _log.warning("cannot write %s, so %s: %s", path, lost, reason := _reason(error), extra=about(STATE_FILE))
        return reason
    return None


def remove(path: Path) -> None:
    """Have no file there, if that can be."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        _log.warning("cannot remove %s: %s", path, _reason(error), extra=about(STATE_FILE))


def replace(path: Path, text: str, *, mode: int = 0o644, synced: bool = True) -> None:
    """Have this text there; `synced`: also after a power cut. Blocks as long as the disk takes. Raises OSError."""
    path.parent.mkdir(_DIRECTORY_MODE, parents=True, exist_ok=True)
    temporary = path.with_suffix(".new")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        if synced:
            os.fsync(fd)
    os.replace(temporary, path)


def _reason(error: Exception) -> str:
    """Without what is in the file: names of buckets and keys are not for every log."""
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}".removeprefix(": ")
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
