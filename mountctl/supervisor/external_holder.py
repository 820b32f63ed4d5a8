"""A store of file descriptors in a holder that somebody else keeps running, as `mountctl csi-node` does in its own pod.

Called through fdstore.py's interface; the process is holder.py, at the same path as one of our own (held.py). It is
never started or ended here: while it is away this supervisor goes on without it, and when it is back it gets all that
there is to keep. What counts as kept is what it has acknowledged on the connection that there is.
"""

import array
import logging
import os
import socket
from collections import defaultdict
from pathlib import Path
from typing import Final

import trio

from engine.facts import about
from engine.message_ids import FD_HOLDER
from mountctl.supervisor import holder
from mountctl.supervisor.changes import Changes
from mountctl.supervisor.fdstore import HolderState
from mountctl.supervisor.held import SOCKET_NAME, HolderGone

# How soon one that is back is noticed; to try costs a system call.
RETRY_SECONDS: Final = 0.5
# A holder answers within milliseconds. Nothing waits for it but a start, which finds nothing if it gives up: so that
# gets what a busy node may take.
ANSWER_SECONDS_MAX: Final = 10.0
# How soon one that hangs is noticed, or one that could not take a descriptor asked again.
PING_SECONDS: Final = 5.0
# What is unmounted at the end it drops by itself, if nothing else has it mounted: for that nobody waits longer.
_FINISH_SECONDS: Final = 2.0

_log = logging.getLogger(__name__)


class ExternalFdStore:
    """What is kept in the holder of a runtime directory. It outlives this process and its container; engines do not.

    Args:
        directory: the runtime directory, which this supervisor holds.
        leave_seconds: how long the end of this supervisor waits for a holder that is away.
    """

    engines_outlive: Final = False

    def __init__(self, directory: Path, leave_seconds: float) -> None:
        self._path = directory / SOCKET_NAME
        self._leave_seconds = leave_seconds
        # Descriptors of our own: what is to be sent later may be closed by its owner meanwhile.
        self._kept: dict[str, dict[str, int]] = defaultdict(dict)
        self._due: dict[str, None] = {}  # names of which the holder is to be told, in this order
        self._asked: dict[int, str] = {}  # names by the number of the order that has no answer yet
        self._latest: dict[str, int] = {}  # the last such order for each name
        self._held: set[str] = set()  # names that the holder has acknowledged
        self._left: frozenset[str] | None = None  # those that were when this supervisor began to end
        self._leaving = False
        self._announced = False  # the holder that is connected knows that this supervisor leaves
        self._changes = Changes()
        self._sock: trio.socket.SocketType | None = None
        self._answered = trio.Event()
        self._count = 0
        self._told_absent = False

    @property
    def holder(self) -> HolderState:
        """Whether it is there, and has all."""
        if self._sock is None:
            return HolderState.ABSENT
        return HolderState.PRESENT if self._has_all() else HolderState.FILLING

    async def take(self) -> dict[str, dict[str, int]]:
        """What the holder has; nothing, if it is away."""
        try:
            self._sock, found = await self._connect()
        except HolderGone as error:
            self._tell_absent(error)
            return {}
        for mount, fds in found.items():
            self._kept[mount] = {kind: os.dup(fd) for kind, fd in fds.items()}
            self._held |= {f"{mount}.{kind}" for kind in fds}
        return found

    def keep(self, mount: str, fds: dict[str, int], *, spare: bool = False) -> bool:
        """Each under its name, when the holder is there. Returns False: nothing is kept before it has said so."""
        del spare  # there is room for as many as the holder's process may have
        for kind, fd in fds.items():
            self._close(mount, kind)
            self._kept[mount][kind] = os.dup(fd)
            self._is_due(f"{mount}.{kind}")
        return False

    def drop(self, mount: str, kinds: tuple[str, ...]) -> None:
        """By name."""
        for kind in kinds:
            if not self._close(mount, kind):
                continue
            name = f"{mount}.{kind}"
            if self._sock is None:
                self._due.pop(name, None)  # a holder that comes is told all anew
            else:
                self._is_due(name)

    def keeps(self, mount: str, kinds: tuple[str, ...]) -> bool:
        """As far as the holder has said so; once this supervisor ends, as it was when that began."""
        held = self._held if self._left is None else self._left
        return held.issuperset(f"{mount}.{kind}" for kind in kinds)

    async def leaves(self) -> bool:
        """Whether what is mounted stays: it does if the holder has it, which is waited for a while.

        The holder's own end relies on a supervisor that has all. So it is told first that this one is none any more,
        and counts once it has said that it knows.
        """
        self._leaving = True
        self._changes.tell()
        if self._sock is None and self._names():
            _log.info(
                "waiting for the FD holder at %s, for %g s at most",
                self._path,
                self._leave_seconds,
                extra=about(FD_HOLDER),
            )
        with trio.move_on_after(self._leave_seconds):
            await self._changes.until(lambda: self._has_all() or not self._names())
        self._left = frozenset(self._held)
        if self._names() - self._left:
            _log.warning(
                "the FD holder has not taken all within %g s: the rest is unmounted",
                self._leave_seconds,
                extra=about(FD_HOLDER),
            )
        return bool(self._left)

    async def settle(self) -> None:
        """Return when the holder has all, or when that can't be waited for any longer. Not beside `run`."""
        if not await self._fill(self._leave_seconds):
            _log.error(
                "the FD holder has not taken all: files that are being written may be lost to their programs",
                extra=about(FD_HOLDER),
            )

    async def run(self) -> None:
        """Be connected to the holder whenever it is there, and have it keep all, until cancelled."""
        while True:
            try:
                if self._sock is None:
                    self._sock = await self._begin_anew()
                    self._changes.tell()
                if self._told_absent:
                    _log.info("the FD holder at %s is there", self._path, extra=about(FD_HOLDER))
                    self._told_absent = False
                raise HolderGone(await self._converse(self._sock))
            except HolderGone as error:
                self._tell_absent(error)
            finally:
                self._let_go()
            await trio.sleep(RETRY_SECONDS)

    async def finish(self) -> None:
        """The holder, which is somebody else's, is to drop what was unmounted."""
        await self._fill(_FINISH_SECONDS)

    async def _fill(self, seconds: float) -> bool:
        """Whether it has all then."""
        with trio.move_on_after(seconds) as patience:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.run)
                await self._changes.until(self._has_all)
                nursery.cancel_scope.cancel()
        return not patience.cancelled_caught

    def _has_all(self) -> bool:
        if self._sock is None or self._must_announce:
            return False
        return not self._due and not self._asked and self._names() <= self._held

    @property
    def _must_announce(self) -> bool:
        return self._leaving and not self._announced

    def _names(self) -> set[str]:
        return {f"{mount}.{kind}" for mount, fds in self._kept.items() for kind in fds}

    def _close(self, mount: str, kind: str) -> bool:
        """Whether there was one."""
        kept = self._kept.get(mount, {})
        fd = kept.pop(kind, None)
        if not kept:
            self._kept.pop(mount, None)
        if fd is not None:
            os.close(fd)
        return fd is not None

    def _is_due(self, name: str) -> None:
        self._held.discard(name)
        self._latest.pop(name, None)
        self._due.pop(name, None)
        self._due[name] = None
        self._changes.tell()

    async def _begin_anew(self) -> trio.socket.SocketType:
        """It may have been filled by nobody, or by us. Drop what is not ours (any more), and give it all that is.

        Raises HolderGone.
        """
        sock, found = await self._connect()
        for mount, fds in found.items():
            for kind, fd in fds.items():
                os.close(fd)
                self._is_due(f"{mount}.{kind}")
        for name in self._names():
            self._is_due(name)
        return sock

    async def _converse(self, sock: trio.socket.SocketType) -> str:
        """Until it is gone. Returns why."""
        reason = "it has ended"

        async def until_gone(task: trio.CancelScope) -> None:
            nonlocal reason
            try:
                await self._hear(sock)
            except HolderGone as error:
                reason = str(error)
            task.cancel()

        async def tell(task: trio.CancelScope) -> None:
            nonlocal reason
            try:
                await self._tell(sock)
            except (OSError, HolderGone) as error:
                reason = str(error)
            task.cancel()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(until_gone, nursery.cancel_scope)
            nursery.start_soon(tell, nursery.cancel_scope)
        return reason

    async def _tell(self, sock: trio.socket.SocketType) -> None:
        """Orders, as they become due; a question now and then whether it is there. Raises HolderGone, OSError."""
        while True:
            while self._due:
                await self._order(sock, next(iter(self._due)))
            if self._must_announce:
                await sock.send(holder.LEAVE)
                await self._ping(sock)  # orders are carried out one after the other
                self._announced = True
                self._changes.tell()
                continue
            with trio.move_on_after(PING_SECONDS) as patience:
                await self._changes.until(lambda: bool(self._due) or self._must_announce)
            if patience.cancelled_caught:
                await self._ping(sock)

    async def _order(self, sock: trio.socket.SocketType, name: str) -> None:
        del self._due[name]
        mount, _, kind = name.rpartition(".")
        fd = self._kept.get(mount, {}).get(kind)
        if fd is None:
            await sock.sendmsg([f"drop {name}".encode()])
            self._changes.tell()
            return
        self._count += 1
        self._asked[self._count] = name
        self._latest[name] = self._count
        copy = os.dup(fd)  # it may be dropped while there is no room for the message
        try:
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [copy]))]
            await sock.sendmsg([f"hold {self._count} {name}".encode()], rights)
        finally:
            os.close(copy)

    async def _ping(self, sock: trio.socket.SocketType) -> None:
        """Raises HolderGone."""
        asked, self._answered = set(self._asked), trio.Event()
        with trio.move_on_after(ANSWER_SECONDS_MAX):
            await sock.send(b"ping")
            await self._answered.wait()
        if not self._answered.is_set():
            raise HolderGone("it does not answer")
        for number in asked & self._asked.keys():  # orders are carried out one after the other
            name = self._asked.pop(number)
            if self._latest.get(name) == number:
                _log.warning(
                    "the FD holder could not take %s (are too many files open there?): asking again",
                    name,
                    extra=about(FD_HOLDER),
                )
                self._is_due(name)

    async def _hear(self, sock: trio.socket.SocketType) -> None:
        """Raises HolderGone."""
        while True:
            packet, _fds = await _receive(sock)
            if packet == holder.END:
                self._answered.set()
            elif packet.isdigit() and (name := self._asked.pop(int(packet), None)) is not None:
                if self._latest.get(name) == int(packet):
                    self._held.add(name)
                self._changes.tell()

    async def _ask_for_all(self, sock: trio.socket.SocketType) -> dict[str, dict[str, int]]:
        """What it has, by mount and kind. Raises HolderGone."""
        found: dict[str, dict[str, int]] = defaultdict(dict)
        try:
            with trio.fail_after(ANSWER_SECONDS_MAX):
                if self._leaving:
                    await sock.send(holder.LEAVE)
                await sock.send(b"take")
                while True:
                    name, fds = await _receive(sock)
                    if name == holder.END:
                        self._announced = self._leaving
                        return dict(found)
                    mount, _, kind = name.decode().rpartition(".")
                    if fds:
                        found[mount][kind] = fds[0]
        except (OSError, HolderGone, trio.TooSlowError) as error:
            for each in found.values():
                for fd in each.values():
                    os.close(fd)
            raise HolderGone(str(error) or "it does not answer") from error

    async def _connect(self) -> tuple[trio.socket.SocketType, dict[str, dict[str, int]]]:
        """A connection, and what the holder has. Raises HolderGone."""
        sock = trio.socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            await sock.connect(str(self._path))
            told = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, holder.UCRED.size)
            _pid, uid, _gid = holder.UCRED.unpack(told)
            if uid != 0:
                raise HolderGone(f"it is of the user {uid}, and must be root's")
            return sock, await self._ask_for_all(sock)
        except BaseException as error:
            sock.close()
            if isinstance(error, OSError):
                raise HolderGone(str(error)) from error
            raise

    def _tell_absent(self, error: HolderGone) -> None:
        if not self._told_absent:
            self._told_absent = True
            _log.warning(
                "no FD holder at %s (%s): mounts would end with this supervisor now",
                self._path,
                error,
                extra=about(FD_HOLDER),
            )

    def _let_go(self) -> None:
        if self._sock is not None:
            self._sock.close()
            self._sock = None
        self._announced = False
        self._held.clear()
        self._asked.clear()
        self._latest.clear()
        self._changes.tell()


async def _receive(sock: trio.socket.SocketType) -> tuple[bytes, list[int]]:
    """One packet. Raises HolderGone."""
    try:
        packet, ancillary, _, _ = await sock.recvmsg(
            holder.PACKET_BYTES_MAX, socket.CMSG_SPACE(array.array("i").itemsize), socket.MSG_CMSG_CLOEXEC
        )
    except OSError as error:
        raise HolderGone(str(error)) from error
    fds = array.array("i")
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
    if not packet:
        raise HolderGone("it has ended")
    return packet, list(fds)
