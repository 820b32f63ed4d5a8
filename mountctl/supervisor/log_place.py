"""Where a mount's log goes: what is told in `status`, for `mountctl logs`. Called by report.py."""

import math
import os
from datetime import datetime
from functools import cache, lru_cache
from pathlib import Path
from typing import Final

from engine.journald import SOCKET, is_stderr
from engine.logged import Level
from engine.spec import MountSpec
from mountctl.status import LogStatus, utc
from mountctl.supervisor.log_file import path_of
from mountctl.supervisor.log_lines import Logs
from mountctl.supervisor.systemd import own_unit

_STDERR: Final = 2
# Metrics ask for each mount's, again and again.
_KEPT: Final = 1024


def of(spec: MountSpec, logs: Logs) -> LogStatus:
    """The place of this mount's log, and its level."""
    given = logs.levels.given(spec.name)
    until = None if given is None or given.until == math.inf else utc(given.until)
    file = None if spec.log_directory is None else str(path_of(spec.log_directory, spec.name))
    to_journal = logs.form == "journal" and SOCKET.exists()
    return _told(logs.levels.of(spec), until, file, nowhere=spec.no_log, to_journal=to_journal)


@lru_cache(_KEPT)
def _told(level: Level, until: datetime | None, file: str | None, *, nowhere: bool, to_journal: bool) -> LogStatus:
    if nowhere:
        place = LogStatus(to="nowhere")
    elif file is not None:
        place = LogStatus(to="file", path=file)
    else:
        place = _of_stderr(to_journal=to_journal)
    return place.model_copy(update={"level": level, "level_until": until})


@cache
def _of_stderr(*, to_journal: bool) -> LogStatus:
    """The place of what goes to this process's standard error, which engines have inherited, or instead of it."""
    if to_journal or is_stderr():
        return LogStatus(to="journal", unit=own_unit(Path("/proc/self/cgroup").read_text()))
    leads = os.readlink(f"/proc/self/fd/{_STDERR}")
    return LogStatus(to="stderr", path=leads if leads.startswith("/") else None)
