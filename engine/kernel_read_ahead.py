"""How far the kernel reads ahead in files of a mount. Set by the supervisor, and by an engine that runs alone.

Only once INIT is answered: the reply cuts it back to 128 KiB. Applies to files that are opened from then on.
"""

import logging
from pathlib import Path
from typing import Final

from engine.facts import about
from engine.message_ids import HOST

# With 128 KiB, the kernel's default, requests are small and two at a time; 4 MiB lets it keep eight 1 MiB reads in
# flight (95 -> 950 MiB/s with 2 ms a read).
READ_AHEAD_KIB: Final = 4096

_log = logging.getLogger(__name__)


def set_up(device: str) -> None:
    """Set it for the file system with this number, `MAJOR:MINOR`. Where that can't be, reads are slower."""
    path = Path(f"/sys/class/bdi/{device}/read_ahead_kb")
    try:
        path.write_text(str(READ_AHEAD_KIB))
    except OSError as error:
        _log.warning("%s: cannot set read-ahead, reads will be slower: %s", path, error.strerror, extra=about(HOST))
