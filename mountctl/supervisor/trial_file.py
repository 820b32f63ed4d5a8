"""A trial as the next supervisor finds it: kept in the state directory from before anything is changed.

Called by trial.py, and by beginning.py at a start. One file a runtime directory. It has what the configuration's file
meant, so that a supervisor that starts knows whether that is what was on trial; what comes back is the last good one.
"""

import time
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict

from engine.spec import MountSpec
from mountctl.config.load import Config
from mountctl.supervisor import state_file

# As the last good configuration: names of buckets and profiles are nobody else's business.
_FILE_MODE: Final = 0o600


class Noted(BaseModel):
    """A trial that was begun, and not confirmed.

    Args:
        until: when it ends, in seconds since the epoch.
        seconds: how long it was to last.
        mounts: of the file that was on trial.
    """

    model_config = ConfigDict(frozen=True)

    until: float
    seconds: float
    mounts: list[MountSpec]

    def is_of(self, config: Config) -> bool:
        """Whether this is what was on trial."""
        return self.mounts == list(config.mounts.values())


class TrialFile:
    """The file of one runtime directory.

    Args:
        state_dir: the state directory; made when it is needed.
        runtime_dir: this supervisor's.
    """

    def __init__(self, state_dir: Path, runtime_dir: Path) -> None:
        self._path = state_file.path_of(state_dir, "trial", runtime_dir)

    def read(self) -> Noted | None:
        """What is noted. Blocks."""
        return state_file.read(self._path, Noted, "it is not known whether the configuration is on trial")

    def write(self, config: Config, seconds: float) -> None:
        """This is on trial from now on, for so long. Blocks for as long as the disk takes."""
        noted = Noted(until=time.time() + seconds, seconds=seconds, mounts=list(config.mounts.values()))
        text = noted.model_dump_json(by_alias=True)
        state_file.keep(self._path, text, "a supervisor that is started in the trial ends it", mode=_FILE_MODE)

    def remove(self) -> None:
        """There is none, or it is over: confirmed, or something else is in force."""
        state_file.remove(self._path)
