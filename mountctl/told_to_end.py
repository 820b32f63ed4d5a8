"""Whether a process has been told to end, by SIGTERM or SIGINT. For those without an event loop: csi/, metrics/otlp.py.

By a pipe: a threading.Event that a signal's handler sets while the main thread is about to wait for it waits for ever,
as both need its lock.
"""

import os
import select
import signal


class ToldToEnd:
    """Hears the signals from when it is made on. To be made by the main thread, once."""

    def __init__(self) -> None:
        self._heard, self._says = os.pipe()
        os.set_blocking(self._says, False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._hear)

    def wait(self, seconds: float | None = None) -> bool:
        """Until it is told, or for so many seconds. Returns whether it was."""
        heard, _, _ = select.select([self._heard], [], [], seconds)
        return bool(heard)

    def _hear(self, *_: object) -> None:
        try:
            os.write(self._says, b"\0")
        except BlockingIOError:
            return  # told often enough
