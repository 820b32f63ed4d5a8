"""Mounts that an operator has stopped, until he starts them again: kept in the state directory over reload and reboot.

Called by supervisor.py (what is held is not mounted), by_hand.py and report.py. One file a runtime directory.
"""

import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, ValidationError

from engine.spec import MountSpec

_DIRECTORY_MODE: Final = 0o755

_log = logging.getLogger(__name__)


class Hold(BaseModel):
    """Who has stopped a mount, and when (seconds since the epoch)."""

    model_config = ConfigDict(frozen=True)

    by: str
    at: float

    def __str__(self) -> str:
        return f"stopped by {self.by} at {time.strftime('%Y-%m-%d %H:%M:%S UTC', time.gmtime(self.at))}"


class _File(BaseModel):
    mounts: dict[str, Hold]


class Holds:
    """The holds of one supervisor.

    Args:
        state_dir: the state directory, made when it is needed; None: nothing is kept.
        runtime_dir: this supervisor's.
    """

    def __init__(self, state_dir: Path | None = None, runtime_dir: Path = Path()) -> None:
        name = f"{quote(str(runtime_dir.absolute()), safe='')}.json"
        self._path = None if state_dir is None else state_dir / "holds" / name
        self._held = self._read()

    def held(self) -> dict[str, Hold]:
        """All of them, by mount."""
        return dict(self._held)

    def without(self, mounts: Mapping[str, MountSpec]) -> dict[str, MountSpec]:
        """Those of these mounts that are not held."""
        return {name: spec for name, spec in mounts.items() if name not in self._held}

    def add(self, name: str, by: str) -> None:
        """A mount is held from now on. `write` comes after."""
        self._held[name] = Hold(by=by, at=time.time())

    def drop(self, name: str) -> bool:
        """A mount is held no longer. `write` comes after. Returns whether it was."""
        return self._held.pop(name, None) is not None

    def write(self) -> str | None:
        """Keep what is held now. Blocks as long as the disk takes. Returns why it is not kept over a restart."""
        if self._path is None:
            return None
        try:
            self._path.parent.mkdir(_DIRECTORY_MODE, parents=True, exist_ok=True)
            temporary = self._path.with_suffix(".new")
            with temporary.open("w", encoding="utf-8") as file:
                file.write(_File(mounts=self._held).model_dump_json(indent=1))
                file.flush()
                os.fsync(file.fileno())  # it is to outlive a power cut
            os.replace(temporary, self._path)
        except OSError as error:
            _log.warning("cannot write %s: holds are not remembered over a restart: %s", self._path, error)
            return f"not remembered over a restart: {error.strerror or error}"
        return None

    def _read(self) -> dict[str, Hold]:
        try:
            return {} if self._path is None else dict(_File.model_validate_json(self._path.read_bytes()).mounts)
        except FileNotFoundError:
            return {}
        except (OSError, ValidationError) as error:
            _log.warning("cannot read %s, so it is not known which mounts are held: %s", self._path, error)
            return {}
