"""Where a mount's log goes: what is told in `status`, for `mountctl logs`. Called by report.py."""

import os
from functools import cache
from pathlib import Path
from typing import Final

from engine.spec import MountSpec
from mountctl.status import LogStatus
from mountctl.supervisor.log_file import path_of
from mountctl.supervisor.systemd import own_unit

_STDERR: Final = 2


def of(spec: MountSpec) -> LogStatus:
    """The place of this mount's log."""
    if spec.no_log:
        return LogStatus(to="nowhere")
    if spec.log_directory is not None:
        return LogStatus(to="file", path=str(path_of(spec.log_directory, spec.name)))
    return of_stderr()


@cache
def of_stderr() -> LogStatus:
    """The place of what goes to this process's standard error, which engines have inherited."""
    found = os.fstat(_STDERR)
    # systemd.exec(5), "JOURNAL_STREAM": it may be inherited by a process whose stderr is another.
    if os.environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}":
        return LogStatus(to="journal", unit=own_unit(Path("/proc/self/cgroup").read_text()))
    leads = os.readlink(f"/proc/self/fd/{_STDERR}")
    return LogStatus(to="stderr", path=leads if leads.startswith("/") else None)
