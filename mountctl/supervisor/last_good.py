"""The last configuration that was in force, kept in the state directory: served after a start with a broken file.

Called by supervisor.py and beginning.py. One file a runtime directory. It has what the file meant, with all that it
took from elsewhere, so that nothing else need be there at that start. Never used while the file is good, but for one
that was on trial.
"""

import json
import logging
import time
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict

from engine.facts import about
from engine.message_ids import RELOAD_REFUSED
from engine.spec import MountSpec
from mountctl.config.load import Config, CsiSpec, Shared, SupervisorSpec
from mountctl.errors import ConfigError
from mountctl.supervisor import state_file
from mountctl.supervisor.results import Reload
from mountctl.supervisor.wanted import Refusal

# Root's: names of buckets and profiles are nobody else's business.
_FILE_MODE: Final = 0o600

_log = logging.getLogger(__name__)


class _File(BaseModel):
    model_config = ConfigDict(frozen=True)

    path: Path
    at: float  # when it came into force, in seconds since the epoch
    supervisor: SupervisorSpec
    mounts: list[MountSpec]
    csi: CsiSpec = CsiSpec()
    shared: Shared = Shared()


class LastGood:
    """The file of one runtime directory and configuration.

    Args:
        state_dir: the state directory; made when it is needed.
        runtime_dir: this supervisor's.
        config: the configuration's path: what was in force of another one is of no use.
    """

    def __init__(self, state_dir: Path, runtime_dir: Path, config: Path) -> None:
        self._path = state_file.path_of(state_dir, "last-good", runtime_dir)
        self._config = config.absolute()

    def instead_of(self, error: ConfigError) -> tuple[Config, Reload]:
        """The last good configuration, for a start with a file that has this error; raises that if there is none."""
        if (last := self._read()) is None:
            raise error
        problems = Refusal.of(error).problems
        when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(last.at))
        told = f"served is what was in force before, since {when} ({self._path})"
        for problem in (*problems, told):
            _log.error("%s", problem, extra=about(RELOAD_REFUSED))
        return self._meant(last), Reload(ok=False, errors=(*problems, told))

    def kept(self) -> Config | None:
        """What was in force, and good, when it was noted last. Blocks."""
        last = self._read()
        return None if last is None else self._meant(last)

    def note(self, config: Config) -> None:
        """This one is in force. Blocks for as long as the disk takes."""
        mounts = list(config.mounts.values())
        text = _File(
            path=self._config,
            at=time.time(),
            supervisor=config.supervisor,
            mounts=mounts,
            csi=config.csi,
            shared=config.shared,
        )
        # Escaped: the path may hold what is no text.
        told = json.dumps(text.model_dump(mode="json", by_alias=True))
        state_file.keep(self._path, told, "a start with a broken file would serve nothing", mode=_FILE_MODE)

    def _meant(self, last: _File) -> Config:
        mounts = {spec.name: spec for spec in last.mounts}
        return Config(
            path=self._config,
            files=(),
            supervisor=last.supervisor,
            mounts=mounts,
            csi=last.csi,
            shared=last.shared,
        )

    def _read(self) -> _File | None:
        found = state_file.read(self._path, _File, "the last good configuration is not known")
        return found if found is not None and found.path == self._config else None
