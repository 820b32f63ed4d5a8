"""What we tell systemd: READY, STATUS, RELOADING, STOPPING, WATCHDOG. Called by daemon.py; silent without systemd."""

import os
import time

import sdnotify


class Notifier:
    """sd_notify(3). Every call is one datagram and never fails or blocks."""

    def __init__(self) -> None:
        self._notifier = sdnotify.SystemdNotifier()
        # A full queue (systemd is busy, or stopped) must not stop us: the notification is lost, the next one says more.
        if self._notifier.socket is not None:
            self._notifier.socket.setblocking(False)

    def ready(self, status: str) -> None:
        """Start-up, or a reload, is over."""
        self._send("READY=1", status)

    def status(self, status: str) -> None:
        """One line for `systemctl status`."""
        self._send(None, status)

    def reloading(self) -> None:
        """A reload has begun; `ready` ends it. systemd 253 and later want the time with it."""
        self._notifier.notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self, status: str) -> None:
        """We unmount and end."""
        self._send("STOPPING=1", status)

    def watchdog(self) -> None:
        """We are alive."""
        self._notifier.notify("WATCHDOG=1")

    def _send(self, state: str | None, status: str) -> None:
        # sdnotify encodes Latin-1 and drops what does not fit without a word: so nothing but ASCII, and one line.
        line = status.replace("\n", " ").encode("ascii", "replace").decode()
        self._notifier.notify(f"{state}\nSTATUS={line}" if state else f"STATUS={line}")


def watchdog_seconds() -> float | None:
    """How often to say that we are alive: half of what systemd allows (sd_watchdog_enabled(3)); None: not at all."""
    usec, pid = os.environ.get("WATCHDOG_USEC"), os.environ.get("WATCHDOG_PID")
    if not usec or not usec.isdigit() or (pid and pid != str(os.getpid())):
        return None
    return int(usec) / 1_000_000 / 2
