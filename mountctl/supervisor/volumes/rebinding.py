"""Has targets bound to the sessions that their volumes' mounts have now: after a start, and when one got another.

Owned by volumes.py.
"""

import logging
from typing import Final

import trio

from engine.facts import about
from engine.message_ids import VOLUME
from mountctl.supervisor.changes import Changes
from mountctl.supervisor.state import SERVED
from mountctl.supervisor.volumes import at_targets, targets
from mountctl.supervisor.volumes.causes import CannotApply
from mountctl.supervisor.volumes.model import Bound, Volume
from mountctl.supervisor.volumes.roster import Host, Roster
from mountctl.supervisor.volumes.turns import Turns

# A target that could not be bound is tried again after a while.
_AGAIN_SECONDS: Final = 5.0

_log = logging.getLogger(__name__)


class Rebinding:
    """That of all volumes.

    Args:
        host: the supervisor.
        roster: the volumes.
        turns: of targets.
        changes: of the host's mounts.
    """

    def __init__(self, host: Host, roster: Roster, turns: Turns, changes: Changes) -> None:
        self._changes: Final = changes
        self._host: Final = host
        self._roster: Final = roster
        self._turns: Final = turns

    async def run(self) -> None:
        """Until cancelled."""
        async with trio.open_nursery() as nursery:
            while True:
                seen = self._changes.count
                for volume in list(self._roster.by_name.values()):
                    for bound in list(volume.consumers.values()):
                        if self._needs_bind(volume, bound):
                            bound.binding = True
                            nursery.start_soon(self._bind_again, volume, bound)
                await self._changes.after(seen)

    def _needs_bind(self, volume: Volume, bound: Bound) -> bool:
        """Its mount has another session than is seen at the target, as far as is known."""
        mount = self._roster.mount(volume)
        if bound.binding or mount is None or mount.state not in SERVED:
            return False
        session = mount.session
        return session is not None and session.attached and bound.minor != session.minor

    async def _bind_again(self, volume: Volume, bound: Bound) -> None:
        """Have the session that its mount has now seen at a target; if that can't be, after a while."""
        target, directory = targets.normal(bound.consumer.target), self._host.config.csi.target_directory
        try:
            async with self._turns.of(target):
                mount = self._roster.mount(volume)
                if volume.consumers.get(target) is not bound or mount is None:
                    return
                bound.place = await at_targets.place_of(target, directory)
                if at_targets.bind(mount, bound):
                    self._roster.tell(volume, f"bound at {target} again, to the session that its mount has now")
        except CannotApply as error:
            _log.error("%s: not bound again at %s: %s", volume.name, target, error, extra=about(VOLUME))
            await trio.sleep(_AGAIN_SECONDS)
        except Exception:  # noqa: BLE001 - one volume's trouble, even a bug of ours, is no other's
            _log.exception("%s: internal error; it may not be bound at %s", volume.name, target)
            await trio.sleep(_AGAIN_SECONDS)
        finally:
            bound.binding = False
        self._changes.tell()  # its mount may have got another meanwhile
