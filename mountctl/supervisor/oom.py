"""Who is to go first when memory is short. Called by daemon.py, where no unit of systemd has said it.

A container's limit, or a node without memory, has the kernel kill one process. An engine is replaced within a fraction
of a second, and its readers wait; of a supervisor in a container its engines and its mounts' tasks go along. So the
supervisor goes last. Engines take that back for themselves (engine/zygote.py).
"""

import logging
from pathlib import Path
from typing import Final

from engine.facts import about
from engine.message_ids import HOST

# What Kubernetes gives to pods with guaranteed resources: behind everything but kubelet and the container runtime
# (-999), which the node can do without even less.
SCORE: Final = -997

_FILE: Final = Path("/proc/self/oom_score_adj")

_log = logging.getLogger(__name__)


def spare_this_process() -> None:
    """Have the kernel kill others first. Where it may not be set it stays, and the log says so."""
    try:
        if int(_FILE.read_text()) > SCORE:
            _FILE.write_text(str(SCORE))
    except OSError as error:
        _log.warning(
            "cannot set %s, so that memory that is short may end the supervisor first: %s",
            _FILE,
            error,
            extra=about(HOST),
        )
