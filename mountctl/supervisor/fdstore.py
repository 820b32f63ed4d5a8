"""Where file descriptors outlive the supervisor: systemd's file descriptor store.

Called by supervisor.py at start (what was kept) and by mount.py (what is to be kept). A kept descriptor stays open when
the supervisor is killed, restarted or upgraded, and comes back by LISTEN_FDS with its name; `systemctl stop` drops all
(systemd before 254, and as our unit asks). Without systemd nothing is kept.
"""

import array
import logging
import os
import socket
from collections import defaultdict
from typing import Final, Protocol

# sd_listen_fds(3): the first descriptor that is passed.
_FIRST_FD: Final = 3

_log = logging.getLogger(__name__)


class FdStore(Protocol):
    """Keeps descriptors by the name of their mount and what they are."""

    def take(self) -> dict[str, dict[str, int]]:
        """What was kept, by mount and kind, once; the descriptors are the caller's (and stay kept)."""
        ...

    def keep(self, mount: str, fds: dict[str, int]) -> None:
        """Keep these of a mount, by kind. What was kept of it before is dropped."""
        ...

    def drop(self, mount: str, kinds: tuple[str, ...]) -> None:
        """Keep these no longer."""
        ...


class NoFdStore:
    """Keeps nothing: there is no systemd."""

    def take(self) -> dict[str, dict[str, int]]:
        """Nothing."""
        return {}

    def keep(self, mount: str, fds: dict[str, int]) -> None:
        """Nothing is kept."""

    def drop(self, mount: str, kinds: tuple[str, ...]) -> None:
        """Nothing was."""


class SystemdFdStore:
    """systemd's store, by sd_notify(3) and sd_listen_fds(3). A unit needs FileDescriptorStoreMax= for it.

    Args:
        address: of the notification socket (NOTIFY_SOCKET).
    """

    def __init__(self, address: str) -> None:
        self._address = "\0" + address[1:] if address.startswith("@") else address

    def take(self) -> dict[str, dict[str, int]]:
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
        return dict(found)

    def keep(self, mount: str, fds: dict[str, int]) -> None:
        """One message each: a name goes for all descriptors of its message."""
        self.drop(mount, tuple(fds))
        for kind, fd in fds.items():
            self._send(f"FDSTORE=1\nFDNAME={mount}.{kind}", fd)

    def drop(self, mount: str, kinds: tuple[str, ...]) -> None:
        """By name."""
        for kind in kinds:
            self._send(f"FDSTOREREMOVE=1\nFDNAME={mount}.{kind}")

    def _send(self, message: str, *fds: int) -> None:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.setblocking(False)  # a systemd that is stuck must not stop us
                sock.sendmsg([message.encode()], rights, 0, self._address)
        except OSError as error:
            _log.warning("systemd does not take %s: mounts may not survive a restart: %s", message.split("\n"), error)


def fd_store() -> FdStore:
    """The one that there is."""
    address = os.environ.get("NOTIFY_SOCKET")
    return SystemdFdStore(address) if address else NoFdStore()
