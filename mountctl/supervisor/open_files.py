"""Which processes have a mount open, by the kernel's word in /proc, without touching the mount. Called by by_hand.py.

A descriptor's mount is told by its number (`mnt_id` of fdinfo), a working directory by its name: no engine is asked.
"""

import contextlib
from pathlib import Path
from typing import Final

import trio

from mountctl.config.words import one_line

# Thousands of processes with hundreds of files each take about a second.
_SECONDS_MAX: Final = 5.0
# Of a mount that a whole cluster of workers uses, some say enough.
_TOLD_MAX: Final = 20

# One look at a time: who asks often does not start more of them.
_limit: Final = trio.CapacityLimiter(1)


async def users(mount_id: int, mountpoint: str) -> list[str]:
    """The processes, each as `command (pid)`; none if it takes too long. Needs root to see all."""
    with trio.move_on_after(_SECONDS_MAX):
        return await trio.to_thread.run_sync(_users, mount_id, mountpoint, abandon_on_cancel=True, limiter=_limit)
    return []


def _users(mount_id: int, mountpoint: str) -> list[str]:
    found: list[str] = []
    for process in Path("/proc").iterdir():
        if len(found) < _TOLD_MAX and process.name.isdigit() and _uses(process, f"mnt_id:\t{mount_id}\n", mountpoint):
            with contextlib.suppress(OSError):  # it has just ended
                # A program gives itself any name, also one that is no text or steers a terminal.
                name = (process / "comm").read_text(errors="surrogateescape").rstrip("\n")
                found.append(f"{one_line(name)} ({process.name})")
    return sorted(found)


def _uses(process: Path, line: str, mountpoint: str) -> bool:
    with contextlib.suppress(OSError):
        for name in ("cwd", "root"):
            place = str((process / name).readlink())
            if place == mountpoint or place.startswith(f"{mountpoint}/"):
                return True
        for info in (process / "fdinfo").iterdir():
            with contextlib.suppress(OSError):
                if line in info.read_text():
                    return True
    return False
