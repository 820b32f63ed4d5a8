"""Numbers of events that go on rising over restarts, whatever the clock does. For events.py, by the state directory.

A supervisor takes as many as it will ever need at its start, so that nothing is written for an event.
"""

import logging
from pathlib import Path
from typing import Final

from engine.facts import about
from engine.message_ids import STATE_FILE
from mountctl.supervisor import state_file

# Ten a second for four months; what comes after them rises all the same, but a clock that goes back could repeat it.
# A JSON number is exact up to 2^53, which is 90 million restarts.
RESERVED: Final = 10**8

_log = logging.getLogger(__name__)


def reserve(state_dir: Path, runtime_dir: Path, wanted: int) -> int:
    """The first number for a supervisor that begins: `wanted`, or what is above all that those before have taken.

    Blocks for a write to the disk. Where that fails, the next one will have `wanted` alone to go by.
    """
    path = state_file.path_of(state_dir, "event-ids", runtime_dir)
    taken = 0
    try:
        taken = int(path.read_text())
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        _log.warning(
            "cannot read %s: events may get numbers that were given before: %s", path, error, extra=about(STATE_FILE)
        )
    first = max(wanted, taken)
    state_file.keep(path, str(first + RESERVED), "events may get numbers again that are given now")
    return first
