"""The state file: which volumes there are and who uses them, for a supervisor after this one. No secret is in it.

Owned by volumes.py, which has it written before it answers. One file a runtime directory, below the state directory.
After a reboot it says nothing: no target is bound then, and the orchestrator asks anew.
"""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final

import trio
from pydantic import BaseModel

from engine.facts import about
from engine.message_ids import VOLUME
from mountctl.supervisor import state_file
from mountctl.supervisor.volumes.model import KeptVolume

# Root's: names of buckets and pods are nobody else's business.
_FILE_MODE: Final = 0o600

_log = logging.getLogger(__name__)


class _File(BaseModel):
    boot: str
    volumes: dict[str, KeptVolume]


class VolumesFile:
    """The file of one runtime directory.

    Args:
        state_dir: the state directory; made when it is needed.
        runtime_dir: this supervisor's.
    """

    def __init__(self, state_dir: Path, runtime_dir: Path) -> None:
        self.sources: Final = runtime_dir.absolute() / "volumes"  # where their mounts are
        self._path = state_file.path_of(state_dir, "volumes", runtime_dir)
        self._boot = state_file.boot_id()
        self._writing = trio.Lock()
        self._asked = 0  # states that are to be in the file
        self._written = 0

    def read(self) -> dict[str, KeptVolume] | None:
        """What is kept, by name; None if it can't be read. Blocks."""
        none = _File(boot=self._boot, volumes={})
        file = state_file.read(self._path, _File, "it is not known who uses which volume", absent=none)
        if file is None:
            return None
        if file.boot != self._boot:
            _log.info("the host was booted: volumes are mounted when they are asked for again", extra=about(VOLUME))
            return {}
        return file.volumes

    async def write(self, now: Callable[[], dict[str, KeptVolume]]) -> None:
        """Have what there is now in the file; many at once are written together. Raises OSError."""
        self._asked += 1
        wanted = self._asked
        async with self._writing:
            if self._written >= wanted:
                return
            asked, file = self._asked, _File(boot=self._boot, volumes=now())
            # Escaped: a path may hold what is no text.
            text = json.dumps(file.model_dump(mode="json", by_alias=True))
            await trio.to_thread.run_sync(self._replace, text)
            self._written = asked

    def _replace(self, text: str) -> None:
        state_file.replace(self._path, text, mode=_FILE_MODE)
