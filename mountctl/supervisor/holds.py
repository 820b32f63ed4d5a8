"""Mounts that an operator has stopped, until he starts them again: kept in the state directory over reload and reboot.

Called by supervisor.py (what is held is not mounted), by_hand.py and report.py. One file a runtime directory.
"""

import time
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from engine.spec import MountSpec
from mountctl.config.model import Config
from mountctl.supervisor import state_file


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
        self._path = None if state_dir is None else state_file.path_of(state_dir, "holds", runtime_dir)
        self._held = self._read()

    def held(self) -> dict[str, Hold]:
        """All of them, by mount."""
        return dict(self._held)

    def of(self, config: Config) -> dict[str, MountSpec | None]:
        """All of them, as a configuration declares the mounts; None: it does not."""
        return {name: config.mounts.get(name) for name in self._held}

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
        text = _File(mounts=self._held).model_dump_json(indent=1)
        reason = state_file.keep(self._path, text, "holds are not remembered over a restart")
        return None if reason is None else f"not remembered over a restart: {reason}"

    def _read(self) -> dict[str, Hold]:
        if self._path is None:
            return {}
        found = state_file.read(self._path, _File, "it is not known which mounts are held")
        return {} if found is None else found.mounts
