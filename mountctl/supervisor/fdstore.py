"""Where file descriptors outlive the supervisor, so that the next one goes on with them; and systemd's such store.

Called by adoption.py at start (what was kept) and by keeping.py (what is to be kept). A kept descriptor stays open when
the supervisor is killed, restarted or upgraded, and comes back by LISTEN_FDS with its name; `systemctl stop` drops all
(systemd before 254, and as our unit asks).
"""

import array
import logging
import os
import socket
import time
from collections import defaultdict
from enum import StrEnum
from typing import Final, Protocol

import trio

from engine.facts import about
from engine.message_ids import FD_HOLDER
from mountctl.supervisor import systemd

# sd_listen_fds(3): the first descriptor that is passed.
_FIRST_FD: Final = 3
# systemd reads its socket within milliseconds, also when it is busy; a queue may be as short as ten messages.
_SEND_SECONDS_MAX: Final = 0.2
# One that has not read for that long is stuck: for a while nobody waits for it.
_STUCK_SECONDS: Final = 10.0

_log = logging.getLogger(__name__)


class HolderState(StrEnum):
    """How it is with an FD holder that somebody else runs."""

    PRESENT = "present"  # it has all
    FILLING = "filling"  # it is there, and has not said of all that it has it
    ABSENT = "absent"


class FdStore(Protocol):
    """Keeps descriptors by the name of their mount and what they are."""

    @property
    def engines_outlive(self) -> bool:
        """Whether engines go on when this supervisor ends and what is mounted stays."""
        ...

    @property
    def holder(self) -> HolderState | None:
        """How it is with a holder that is somebody else's; None: there is none such."""
        ...

    async def take(self) -> dict[str, dict[str, int]]:
        """What was kept, by mount and kind, once; the descriptors are the caller's (and stay kept)."""
        ...

    def keep(self, mount: str, fds: dict[str, int], *, spare: bool = False) -> bool:
        """Keep these of a mount, by kind, all or none. What was kept under these kinds before is dropped.

        False if it can't; the log says why. `spare`: they may go again when there is no room for others.
        """
        ...

    def drop(self, mount: str, kinds: tuple[str, ...]) -> None:
        """Keep these no longer."""
        ...

    def keeps(self, mount: str, kinds: tuple[str, ...]) -> bool:
        """Whether all of these are kept."""
        ...

    async def run(self) -> None:
        """Look after the store until cancelled."""
        ...

    async def leaves(self) -> bool:
        """This supervisor is told to end: whether another comes after it, and finds what is kept."""
        ...

    async def settle(self) -> None:
        """This supervisor has ended all but itself, and another comes: returns when it need not be there any more."""
        ...

    async def finish(self) -> None:
        """Nobody comes after this supervisor, and nothing is mounted any more."""
        ...


class SystemdFdStore:
    """systemd's store, by sd_notify(3) and sd_listen_fds(3). A unit needs FileDescriptorStoreMax= for it.

    Args:
        address: of the notification socket (NOTIFY_SOCKET).
    """

    engines_outlive: Final = True
    holder: Final = None

    def __init__(self, address: str) -> None:
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._kept: dict[str, set[str]] = defaultdict(set)
        self._spare: list[tuple[str, tuple[str, ...]]] = []
        self._places: int | None = None  # None: systemd does not say
        self._stuck_until = 0.0

    async def take(self) -> dict[str, dict[str, int]]:
        """What systemd passed to this process."""
        found: dict[str, dict[str, int]] = defaultdict(dict)
        if os.environ.pop("LISTEN_PID", None) == str(os.getpid()):
            for fd, name in enumerate(os.environ.get("LISTEN_FDNAMES", "").split(":"), _FIRST_FD):
                os.set_inheritable(fd, False)
                mount, _, kind = name.rpartition(".")
                if before := found[mount].get(kind):
                    os.close(before)
                found[mount][kind] = fd
        for name in ("LISTEN_FDS", "LISTEN_FDNAMES"):
            os.environ.pop(name, None)
        self._places = await systemd.fd_store_size()
        self._kept.update({mount: set(fds) for mount, fds in found.items()})
        return dict(found)

    def keep(self, mount: str, fds: dict[str, int], *, spare: bool = False) -> bool:
        """One message each: a name goes for all descriptors of its message."""
        self.drop(mount, tuple(fds))
        while not spare and self._spare and not self._has_room(len(fds)):
            self.drop(*self._spare.pop())
        if not self._has_room(len(fds)):
            _log.warning(
                "%s: systemd's store has %s places (FileDescriptorStoreMax=), which is too few to keep %s: "
                "not all of this mount will survive the supervisor",
                mount,
                self._places,
                ", ".join(fds),
                extra=about(FD_HOLDER),
            )
            return False
        for kind, fd in fds.items():
            if not self._send(f"FDSTORE=1\nFDNAME={mount}.{kind}", fd):
                self.drop(mount, tuple(fds))
                return False
            self._kept[mount].add(kind)
        if spare:
            self._spare.append((mount, tuple(fds)))
        return True

    def drop(self, mount: str, kinds: tuple[str, ...]) -> None:
        """By name."""
        kept = self._kept[mount]
        for kind in kinds:
            if kind in kept:
                self._send(f"FDSTOREREMOVE=1\nFDNAME={mount}.{kind}")
                kept.remove(kind)
        if not kept:
            del self._kept[mount]
        self._spare = [(name, others) for name, others in self._spare if (name, others) != (mount, kinds)]

    def keeps(self, mount: str, kinds: tuple[str, ...]) -> bool:
        """As far as we know: systemd gives no answer."""
        return self._kept.get(mount, set()).issuperset(kinds)

    async def run(self) -> None:
        """Nothing: systemd looks after itself."""
        await trio.sleep_forever()

    async def leaves(self) -> bool:
        """By systemd's list of jobs."""
        return await systemd.is_restarting()

    async def settle(self) -> None:
        """Nothing: it has all that it was sent."""

    async def finish(self) -> None:
        """Nothing: systemd knows when it stops us for good, and drops what it keeps."""

    def _has_room(self, count: int) -> bool:
        return self._places is None or sum(map(len, self._kept.values())) + count <= self._places

    def _send(self, message: str, *fds: int) -> bool:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        patience = _SEND_SECONDS_MAX if time.monotonic() >= self._stuck_until else 0.0
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.settimeout(patience)
                sock.connect(self._address)  # only a connected socket can wait for room
                sock.sendmsg([message.encode()], rights)
        except OSError as error:
            if isinstance(error, TimeoutError):
                self._stuck_until = time.monotonic() + _STUCK_SECONDS
            _log.warning(
                "systemd does not take %s: mounts may not survive a restart: %s",
                message.split("\n"),
                error,
                extra=about(FD_HOLDER),
            )
            return False
        return True
