"""`mountctl metrics`: asks the supervisor for its status, and prints, writes or pushes the metrics of it."""

import os
import sys
import tempfile
from pathlib import Path
from typing import Final

from mountctl import companion_log
from mountctl.companion_log import LogFormat
from mountctl.control.client import ControlClient
from mountctl.errors import MountctlError
from mountctl.metrics import exposition

# node_exporter, another user, reads it.
_FILE_MODE: Final = 0o644


class CannotWriteTextfile(MountctlError):
    """The file can't be written; the message says why."""

    exit_code = 1


def show(runtime_dir: Path, *, openmetrics: bool) -> int:
    """Print them. Raises MountctlError when no supervisor answers."""
    sys.stdout.write(exposition.text(ControlClient(runtime_dir).status(), openmetrics=openmetrics))
    return 0


def write(runtime_dir: Path, textfile: Path) -> int:
    """Have them in a file for node_exporter's textfile collector; never half of them.

    If no supervisor answers the file says that (`mountctl_up 0`), so that no old numbers are taken for new, and the
    error is raised. Raises CannotWriteTextfile, too.
    """
    try:
        status = ControlClient(runtime_dir).status()
    except MountctlError:
        _replace(textfile, exposition.text(None))
        raise
    _replace(textfile, exposition.text(status))
    return 0


def push(runtime_dir: Path, endpoint: str, interval: float, log_format: LogFormat | None) -> int:
    """Push them to an OTLP receiver, again and again, until a signal comes, or a receiver has it hang."""
    from mountctl.metrics import otlp

    companion_log.set_up("metrics", log_format)
    return otlp.push_for_ever(lambda: ControlClient(runtime_dir).status(), endpoint, interval)


def _replace(path: Path, text: str) -> None:
    temporary = None
    try:
        # The collector reads *.prom; a name that begins with a dot and ends otherwise is none of its files.
        fd, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            os.fchmod(fd, _FILE_MODE)
            file.write(text)
        os.replace(temporary, path)
    except OSError as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        raise CannotWriteTextfile(f"{path} can't be written: {error.strerror or error}") from error
