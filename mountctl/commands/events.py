"""`mountctl events`: what has happened to mounts, and with `--follow` what happens.

Called by supervisor_commands.py. Over one request; goes on when the supervisor is restarted.
"""

import json
import sys
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from mountctl import terminal
from mountctl.control.client import ControlClient
from mountctl.errors import SupervisorBusy, SupervisorNotRunning, SupervisorSilent
from mountctl.status_table import printable

# How soon a supervisor is asked again that has ended.
_RETRY_SECONDS: Final = 0.5


def events(runtime_dir: Path, names: Collection[str], *, since: int, follow: bool, as_json: bool) -> int:
    """Print events, oldest first: those of these mounts, or all. Returns 0; with `follow` only when interrupted.

    Raises MountctlError when there is no supervisor to begin with.
    """
    client = ControlClient(runtime_dir)
    for event in _followed(client, since) if follow else client.events(since):
        if event is None:
            terminal.look_for_reader()
        elif "missed" in event:
            sys.stderr.write(f"mountctl: {event['missed']} events came faster than they were read; the log has them\n")
        elif not names or event.get("mount") in names:
            terminal.write_now(f"{json.dumps(event, ensure_ascii=False) if as_json else _line(event)}\n")
    return 0


def _followed(client: ControlClient, since: int) -> Iterator[dict[str, Any] | None]:
    """Events without an end, over restarts of the supervisor. Raises the error of the first attempt."""
    import time

    told = silent = False
    while True:
        try:
            for event in client.events(since, follow=True):
                told, silent = True, False
                since = (event or {}).get("id", since)
                yield event
        except (SupervisorNotRunning, SupervisorSilent, SupervisorBusy):
            if not told:
                raise
        if not silent:
            sys.stderr.write("mountctl: the supervisor has ended; waiting for the next one\n")
        silent = True
        time.sleep(_RETRY_SECONDS)


def _line(event: Mapping[str, Any]) -> str:
    """An event for a person: number, time (UTC), kind, mount, sentence."""
    return printable(f"{event['id']} {event['at']} {event['kind']:<10} {event['mount'] or '-'}: {event['text']}")
