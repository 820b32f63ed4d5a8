"""What an operator has done to mounts without changing the file: other engines, another log level.

Called by daemon.py, for the control socket and for signals. Decides nothing about what is mounted.
"""

from collections.abc import Iterable
from typing import Final

import trio

from mountctl.supervisor.handover import HandoverFailed
from mountctl.supervisor.mount import Mount
from mountctl.supervisor.results import trouble

# How long an operator waits before it is said how far each mount is.
SETTLE_SECONDS: Final = 15.0


async def restart(mounts: Iterable[Mount]) -> dict[str, str]:
    """Have other engines serve these mounts, or what waits for its next try tried now. Returns how each is then."""
    results: dict[str, str] = {}

    async def one(mount: Mount) -> None:
        name = mount.spec.name
        results[name] = "still being restarted"
        with trio.move_on_after(SETTLE_SECONDS):
            try:
                await mount.restart()
            except HandoverFailed as error:
                results[name] = f"not restarted: {error}"
                return
        results[name] = "restarted" + trouble(mount)

    async with trio.open_nursery() as nursery:
        for each in mounts:
            nursery.start_soon(one, each)
    return results


def set_debug(mounts: Iterable[Mount], *, debug: bool) -> None:
    """Have the engines that run now log at debug level, or as their mounts say."""
    for mount in mounts:
        if mount.engine is not None:
            mount.engine.set_debug(debug=debug)
