"""`mountctl status --watch`: the status as it changes, over one request. Called by supervisor_commands.py.

On a terminal the table, drawn over itself; elsewhere a line for each mount that changes, or with `--json` the whole
status, a line each time. Goes on when the supervisor is restarted.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from mountctl import terminal
from mountctl.commands.status import answering, shown
from mountctl.control.client import ControlClient
from mountctl.errors import MountctlError, SupervisorBusy, SupervisorNotRunning, SupervisorSilent
from mountctl.status_table import printable

# How soon a supervisor is asked again that has ended: its successor is there in about a second.
RETRY_SECONDS: Final = 0.5

# Control sequences of ECMA-48 and of every terminal since the VT220.
_HOME, _CLEAR_LINE, _CLEAR_BELOW = "\x1b[H", "\x1b[K", "\x1b[J"
_ALTERNATE, _PRIMARY = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"

_Status = Mapping[str, Any]


def watch(runtime_dir: Path, names: Sequence[str], *, as_json: bool, no_color: bool) -> int:
    """Show the status until interrupted. Raises MountctlError if there is none to begin with."""
    terminal.end_orderly()
    screen = _Screen(no_color=no_color, detail=bool(names))
    lines = _Written(_write_json if as_json else _Changes().write)
    shows = screen if terminal.is_terminal() and not as_json else lines
    with answering(), screen:
        for status in statuses(ControlClient(runtime_dir), names):
            if status is None:
                terminal.look_for_reader()
            shows.show(status)
    return 0


def statuses(client: ControlClient, names: Sequence[str]) -> Iterator[_Status | MountctlError | None]:
    """What the supervisor tells; an error when there is none any more, over and over; None is a sign of life.

    Raises the error of the first attempt.
    """
    told = False
    while True:
        try:
            for status in client.watch(names):
                told = True
                yield status
            yield SupervisorNotRunning("the supervisor has ended; waiting for the next one")
        except (SupervisorNotRunning, SupervisorSilent, SupervisorBusy) as error:
            if not told:
                raise
            yield error
        time.sleep(RETRY_SECONDS)


class _Screen:
    """The table on a terminal, in its alternate screen, as editors have it: what was there before is there after."""

    def __init__(self, *, no_color: bool, detail: bool) -> None:
        self._no_color = no_color
        self._detail = detail
        self._status: _Status | None = None
        self._began = False

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_exc: object) -> None:
        if self._began:
            terminal.write_now(_PRIMARY)
            if self._status is not None:
                terminal.write_now(shown(self._status, no_color=self._no_color, detail=self._detail) + "\n")

    def show(self, status: _Status | MountctlError | None) -> None:
        """Draw it; a sign of life makes durations go on."""
        trouble = [f"mountctl: {status}", ""] if isinstance(status, MountctlError) else []
        if status is not None and not trouble:
            assert not isinstance(status, MountctlError)
            self._status = status
        if self._status is None:
            return
        _, height = terminal.size()
        lines = [*trouble, *shown(self._status, no_color=self._no_color, detail=self._detail).split("\n")]
        if len(lines) > height:
            more = len(lines) - height + 1
            lines = [*lines[: height - 1], f"... and {more} lines more than fit here"]
        begin = "" if self._began else _ALTERNATE
        self._began = True
        terminal.write_now(begin + _HOME + f"{_CLEAR_LINE}\n".join(lines) + _CLEAR_LINE + _CLEAR_BELOW)


class _Written:
    """What is written line by line. That there is no supervisor is told once.

    Args:
        write: a status, on standard output.
    """

    def __init__(self, write: Callable[[_Status], None]) -> None:
        self._write = write
        self._silent = False

    def show(self, status: _Status | MountctlError | None) -> None:
        """Write it, if it is more than a sign of life."""
        if isinstance(status, MountctlError):
            if not self._silent:
                sys.stderr.write(f"mountctl: {status}\n")
            self._silent = True
        elif status is not None:
            self._silent = False
            self._write(status)


class _Changes:
    """A line for each mount that is not as it was told before."""

    def __init__(self) -> None:
        self._told: dict[str, tuple[str, str]] = {}

    def write(self, status: _Status) -> None:
        """Write what has changed."""
        now = {mount["name"]: (mount["state"], mount["reason"] or "") for mount in status["mounts"]}
        gone = dict.fromkeys(self._told.keys() - now.keys(), ("gone", ""))
        at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        for name, (state, reason) in (now | gone).items():
            if state == "starting" and reason:  # tried again, as so often: what comes of it is told
                now[name] = self._told.get(name, (state, reason))
            elif self._told.get(name) != (state, reason):
                terminal.write_now(printable(f"{at} {name} {state}{f': {reason}' if reason else ''}") + "\n")
        self._told = now


def _write_json(status: _Status) -> None:
    """Write all of it, a line."""
    terminal.write_now(json.dumps(status, ensure_ascii=False) + "\n")
