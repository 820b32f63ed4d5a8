"""What the driver's process does beside answering kubelet, each in a thread of its own, while it serves.

Takes the driver's keys from a mounted Secret, removes the node's start-up taint, and sweeps up credentials of mounts
that are gone. None of it holds up a request, and none of it can end the process.
"""

import logging
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from engine.facts import about
from engine.message_ids import CSI_CREDENTIALS, INTERNAL_ERROR
from mountctl.csi.credentials.volumes import VolumeCredentials
from mountctl.csi.supervisor import STATUS_SECONDS_MAX, Supervisor
from mountctl.errors import MountctlError

# Not sooner: a supervisor that has just begun does not know all its mounts yet, and kubelet, which publishes each
# volume again every two minutes or so, has told by then whose files are in use.
SWEEP_SECONDS: Final = 600.0
# They end at once when they are asked, but for one that waits for the API (kubernetes_api.py).
_END_SECONDS_MAX: Final = 1.0

_log = logging.getLogger(__name__)

# Runs until it is done, or the event is set.
Errand = Callable[[threading.Event], object]


class Errands:
    """Enter to have them run, leave to end them.

    Args:
        errands: by the names of their threads.
    """

    def __init__(self, errands: dict[str, Errand]) -> None:
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(name, errand), name=name, daemon=True)
            for name, errand in errands.items()
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(_END_SECONDS_MAX)

    def _run(self, name: str, errand: Errand) -> None:
        try:
            errand(self._stop)
        except Exception as error:  # noqa: BLE001 - of its kind alone: its text may hold anything
            _log.error(
                "%s ended: unexpected %s: this is a bug", name, type(error).__name__, extra=about(INTERNAL_ERROR)
            )


def sweep(credentials: VolumeCredentials, supervisor: Supervisor, stop: threading.Event) -> None:
    """Now and then, remove the credentials of mounts that are gone: a driver before has left them, or a mount went by
    itself, after it had stayed for a while without a consumer ([csi] linger).
    """
    before: set[str] = set()
    while not stop.wait(SWEEP_SECONDS):
        try:
            names = {str(mount["name"]) for mount in supervisor.status(seconds=STATUS_SECONDS_MAX)["mounts"]}
        except (MountctlError, TypeError, LookupError):
            continue  # it does not answer; whoever publishes a volume is told
        try:
            # Both: a supervisor that has just begun does not know all its mounts yet.
            gone = credentials.sweep(names | before)
        except OSError as error:
            _log.warning(
                "credentials of mounts that are gone can't be removed: %s", error.strerror, extra=about(CSI_CREDENTIALS)
            )
            continue
        before = names
        if gone:
            _log.info(
                "removed the credentials of mounts that are gone: %s", ", ".join(gone), extra=about(CSI_CREDENTIALS)
            )
