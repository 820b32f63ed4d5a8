"""A store of file descriptors of our own, where there is no systemd: starts, asks and looks after the holder process.

Called through fdstore.py's interface; the process is holder.py. A holder belongs to a runtime directory: it outlives a
supervisor that is killed, and the next one on that directory finds it. Nothing here waits for a holder that hangs
longer than the seconds below; then another takes its place, and gets what this supervisor has.
"""

import array
import logging
import os
import socket
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Final

import trio

from engine.facts import about
from engine.message_ids import FD_HOLDER
from mountctl.supervisor import holder

SOCKET_NAME: Final = "holder.sock"
# A holder answers within milliseconds.
ANSWER_SECONDS_MAX: Final = 2.0
# How soon one that hangs is noticed; ten seconds of its CPU are a day's worth of answers.
PING_SECONDS: Final = 5.0
# Its start is an interpreter's; one that ends again and again is not started more often than this.
RESTART_SECONDS: Final = 1.0
_END_SECONDS: Final = 1.0
_BACKLOG: Final = 4

_log = logging.getLogger(__name__)


class HolderGone(Exception):
    """There is no holder, or it does not answer."""


class HeldFdStore:
    """A holder process's store.

    Args:
        directory: the runtime directory, which this supervisor holds.
    """

    engines_outlive: Final = True
    holder: Final = None

    def __init__(self, directory: Path) -> None:
        self._path = directory / SOCKET_NAME
        self._kept: dict[str, dict[str, int]] = defaultdict(dict)
        self._sock: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._lost = False  # it is gone, or had no room for an order: it hangs

    async def take(self) -> dict[str, dict[str, int]]:
        """What the holder of a supervisor before has; starts one if there is none."""
        found: dict[str, dict[str, int]] = defaultdict(dict)
        try:
            self._connect()
            await self._ask_for_all(found)
        except HolderGone as error:
            if found or self._path.exists():
                _log.warning("the FD holder that was left: %s; starting another", error, extra=about(FD_HOLDER))
            self._let_go()
            self._start()
            for mount, fds in found.items():
                self.keep(mount, fds)
        self._kept.update({mount: dict(fds) for mount, fds in found.items()})
        return dict(found)

    def keep(self, mount: str, fds: dict[str, int], *, spare: bool = False) -> bool:
        """Each under its name. A holder that is lost at the moment gets them when there is another."""
        del spare  # there is room for as many as this process may have
        self._kept[mount].update(fds)
        return all(self._send(f"keep {mount}.{kind}", fd) for kind, fd in fds.items())

    def drop(self, mount: str, kinds: tuple[str, ...]) -> None:
        """By name."""
        kept = self._kept[mount]
        for kind in kinds:
            if kept.pop(kind, None) is not None:
                self._send(f"drop {mount}.{kind}")
        if not kept:
            del self._kept[mount]

    def keeps(self, mount: str, kinds: tuple[str, ...]) -> bool:
        """As far as it was told."""
        return not self._lost and self._kept.get(mount, {}).keys() >= set(kinds)

    async def run(self) -> None:
        """Ask the holder whether it is there, and start another when it is not, until cancelled."""
        while True:
            try:
                await self._watch()
            except HolderGone as error:
                _log.warning("the FD holder: %s; starting another", error, extra=about(FD_HOLDER))
            # The old one may only have been slow: until another has all, it is there for a supervisor after this one.
            self._let_go()
            old, self._process = self._process, None
            try:
                await trio.sleep(RESTART_SECONDS)
                self._start()
                for mount, fds in self._kept.items():
                    self.keep(mount, dict(fds))
            finally:
                await _end(old, 0.0)

    async def leaves(self) -> bool:
        """No: one that is told to end takes its holder along."""
        return False

    async def settle(self) -> None:
        """Nothing: it has all that it was sent."""

    async def finish(self) -> None:
        """Nobody comes after this supervisor, and nothing is mounted any more."""
        self._send("bye")
        self._let_go()
        process, self._process = self._process, None
        await _end(process, _END_SECONDS)
        self._path.unlink(missing_ok=True)

    async def _watch(self) -> None:
        """Until it is lost. Raises HolderGone."""
        while True:
            if self._lost or self._sock is None:
                raise HolderGone("it is gone, or hangs")
            with trio.move_on_after(PING_SECONDS):
                await trio.lowlevel.wait_readable(self._sock)  # it says nothing by itself
                raise HolderGone("it has ended")
            self._send("ping")
            with trio.move_on_after(ANSWER_SECONDS_MAX) as patience:
                await self._receive()
            if patience.cancelled_caught:
                raise HolderGone("it does not answer")

    async def _ask_for_all(self, found: dict[str, dict[str, int]]) -> None:
        self._send("take")
        with trio.move_on_after(ANSWER_SECONDS_MAX) as patience:
            while True:
                name, fds = await self._receive()
                if name == holder.END:
                    return
                mount, _, kind = name.decode().rpartition(".")
                found[mount][kind] = fds[0]
        if patience.cancelled_caught:
            raise HolderGone("it does not answer")

    async def _receive(self) -> tuple[bytes, list[int]]:
        """One packet. Raises HolderGone."""
        while self._sock is not None:
            try:
                packet, fds, _, _ = socket.recv_fds(self._sock, holder.PACKET_BYTES_MAX, 1, socket.MSG_CMSG_CLOEXEC)
            except BlockingIOError:
                await trio.lowlevel.wait_readable(self._sock)
            except OSError as error:
                raise HolderGone(str(error)) from error
            else:
                if packet:
                    return packet, list(fds)
                break
        raise HolderGone("it has ended")

    def _send(self, order: str, *fds: int) -> bool:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        try:
            if self._sock is not None:
                self._sock.sendmsg([order.encode()], rights)
                return True
        except OSError as error:
            _log.debug("the FD holder does not take %s: %s", order, error)
        self._lost = True
        return False

    def _connect(self) -> None:
        """Raises HolderGone."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        sock.setblocking(False)
        try:
            sock.connect(str(self._path))
            _pid, uid, _gid = holder.UCRED.unpack(
                sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, holder.UCRED.size)
            )
            if uid != 0:
                raise HolderGone(f"it is of the user {uid}")
        except (OSError, HolderGone) as error:
            sock.close()
            raise HolderGone(str(error)) from error
        self._sock = sock
        self._lost = False

    def _start(self) -> None:
        """Start a holder, and connect to it. Without one nothing is kept, and the log says so."""
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
                self._path.unlink(missing_ok=True)
                os.fchmod(listener.fileno(), 0o600)
                listener.bind(str(self._path))
                listener.listen(_BACKLOG)
                self._process = subprocess.Popen(
                    # Alone, without site: a few MiB, for as long as anything is mounted.
                    [sys.executable, "-I", "-S", holder.__file__, str(listener.fileno()), str(self._path)],
                    pass_fds=[listener.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=sys.stderr,
                    start_new_session=True,
                    cwd="/",
                    env={},
                )
            self._connect()
        except (OSError, HolderGone) as error:
            _log.warning("there is no FD holder, mounts end with this supervisor: %s", error, extra=about(FD_HOLDER))

    def _let_go(self) -> None:
        if self._sock is not None:
            trio.lowlevel.notify_closing(self._sock)
            self._sock.close()
            self._sock = None


async def _end(process: subprocess.Popen[bytes] | None, grace_seconds: float) -> None:
    """A holder, if it is ours, has ended then."""
    if process is None:
        return
    pidfd = os.pidfd_open(process.pid)
    with trio.CancelScope(shield=True):
        with trio.move_on_after(grace_seconds):
            await trio.lowlevel.wait_readable(pidfd)
        process.kill()
        with trio.move_on_after(_END_SECONDS):  # one that the kernel does not let go of is left to it
            await trio.lowlevel.wait_readable(pidfd)
    os.close(pidfd)
    process.poll()
