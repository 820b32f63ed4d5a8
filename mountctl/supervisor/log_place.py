"""Where a mount's log goes: what is told in `status`, for `mountctl logs`. Called by report.py."""

import math
import os
from functools import cache
from pathlib import Path
from typing import Final

from engine.journald import SOCKET, is_stderr
from engine.logged import Form
from engine.spec import MountSpec
from mountctl.status import LogStatus, utc
from mountctl.supervisor.log_file import path_of
from mountctl.supervisor.log_lines import Logs
from mountctl.supervisor.systemd import own_unit

_STDERR: Final = 2


def of(spec: MountSpec, logs: Logs) -> LogStatus:
    """The place of this mount's log, and its level."""
    given = logs.levels.given(spec.name)
    until = None if given is None or given.until == math.inf else utc(given.until)
    return _place(spec, logs.form).model_copy(update={"level": logs.levels.of(spec), "level_until": until})


def _place(spec: MountSpec, form: Form | None) -> LogStatus:
    if spec.no_log:
        return LogStatus(to="nowhere")
    if spec.log_directory is not None:
        return LogStatus(to="file", path=str(path_of(spec.log_directory, spec.name)))
    return _of_stderr(to_journal=form == "journal" and SOCKET.exists())


@cache
def _of_stderr(*, to_journal: bool) -> LogStatus:
    """The place of what goes to this process's standard error, which engines have inherited, or instead of it."""
    if to_journal or is_stderr():
        return LogStatus(to="journal", unit=own_unit(Path("/proc/self/cgroup").read_text()))
    leads = os.readlink(f"/proc/self/fd/{_STDERR}")
    return LogStatus(to="stderr", path=leads if leads.startswith("/") else None)
