"""Forks the fetchers of an engine, when it wants some: a small process of the engine's own.

The engine forks it before it has a thread or an event loop, and passes sockets and its arena to it later. So a fetcher
never has what an engine holds, and can be forked at any time: when reading begins, and again when one has died. Both
ends are here. It waits for orders, does nothing else, and ends with its engine; its fetchers end with it.
"""

import contextlib
import functools
import gc
import logging
import mmap
import os
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Never, Self

import trio

from engine import malloc
from engine.child import close_others, end_with_parent, name_process
from engine.facts import about
from engine.fetch.fetcher import Fetcher
from engine.fetch.number import connections_of_each, number_of
from engine.link import Access
from engine.message_ids import FETCHER_GONE
from engine.s3.client import HttpClient
from engine.s3.configured import Authorities, client_for
from engine.spec import MountSpec
from engine.stats import EngineStats

_log = logging.getLogger(__name__)

# Of a mount's name in a process's: `s3:NAME/12`.
_NAME_CHARACTERS_MAX: Final = 9
_REASON_BYTES_MAX: Final = 500
_EXIT_CRASHED: Final = 70  # EX_SOFTWARE of sysexits.h
# A killed process ends in milliseconds, but for one that waits in the kernel; it can do nothing any more.
_KILL_SECONDS: Final = 5.0


class SpawnFailed(Exception):
    """There is no new fetcher; the message says why."""


@dataclass(frozen=True, slots=True)
class Spawned:
    """A fetcher's process. `close` it when done, in any case.

    Args:
        sock: the engine's end of the socket to it.
        pidfd: the process.
    """

    sock: socket.socket
    pidfd: int

    async def end(self) -> None:
        """Kill it, and wait until nothing of it writes to the arena."""
        with contextlib.suppress(ProcessLookupError):  # it has ended by itself
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
        with trio.move_on_after(_KILL_SECONDS):
            await trio.lowlevel.wait_readable(self.pidfd)

    def close(self) -> None:
        """Let go of it."""
        self.sock.close()
        os.close(self.pidfd)


class Spawner:
    """The engine's end.

    Args:
        sock: to the spawner's process; owned.
        count: fetchers to have.
    """

    def __init__(self, sock: socket.socket, count: int) -> None:
        sock.setblocking(False)
        self.count: Final = count
        self._sock = sock

    @classmethod
    def fork(cls, spec: MountSpec, authorities: Authorities) -> Self | None:
        """Fork it, if this mount is to have fetchers. To be called before there is an event loop or a thread."""
        count = number_of(spec)
        if not count:
            return None
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        parent = os.getpid()
        try:
            child = os.fork()
        except OSError as error:
            _log.warning("no fetchers: %s", error.strerror, extra=about(FETCHER_GONE))
            ours.close()
            theirs.close()
            return None
        if not child:
            name = f"s3:{spec.name[:_NAME_CHARACTERS_MAX]}"
            _be(theirs, name, parent, functools.partial(_serve, spec, count, authorities))
        theirs.close()
        return cls(ours, count)

    async def spawn(self, number: int, arena_fd: int) -> Spawned:
        """A new fetcher of this arena, which ps shows by its number. Raises SpawnFailed."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with theirs:
                socket.send_fds(self._sock, [str(number).encode()], [theirs.fileno(), arena_fd])
            await trio.lowlevel.wait_readable(self._sock)
            reason, fds, _, _ = socket.recv_fds(self._sock, _REASON_BYTES_MAX, 1, socket.MSG_CMSG_CLOEXEC)
        except OSError as error:
            ours.close()
            raise SpawnFailed(f"the process that forks them is gone ({error.strerror})") from error
        except BaseException:
            ours.close()
            raise
        if not fds:
            ours.close()
            raise SpawnFailed(reason.decode(errors="replace") or "the process that forks them is gone")
        ours.setblocking(False)
        return Spawned(ours, fds[0])


def _be(sock: socket.socket, name: str, parent: int, body: Callable[[socket.socket, str], None]) -> Never:
    """Be a child of `parent` that has this socket and nothing else; never return."""
    code = _EXIT_CRASHED
    try:
        # By its owner, when it is done: not by a signal to a whole group, such as ^C.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        if end_with_parent(parent):
            body(sock, name)
        code = 0
    except BaseException:  # noqa: BLE001 - the last line of a process: whatever it is must be told
        _log.exception("%s: crashed", name)
    finally:
        sys.stderr.flush()
        os._exit(code)


def _serve(spec: MountSpec, count: int, authorities: Authorities, sock: socket.socket, name: str) -> None:
    """Fork fetchers until the engine is gone."""
    close_others([sock.fileno()])
    name_process(f"{name}/0")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how they ended
    gc.freeze()
    while True:
        order, fds, _, _ = socket.recv_fds(sock, _REASON_BYTES_MAX, 2, socket.MSG_CMSG_CLOEXEC)
        if not order:
            return
        try:
            _answer(sock, f"{name}/{order.decode()}", fds, functools.partial(_fetch, spec, count, authorities, fds[1]))
        except OSError as error:
            sock.send((error.strerror or "it could not be forked").encode()[:_REASON_BYTES_MAX])
        finally:
            for fd in fds:
                os.close(fd)


def _answer(sock: socket.socket, name: str, fds: list[int], body: Callable[[socket.socket, str], None]) -> None:
    parent = os.getpid()
    child = os.fork()
    if not child:
        close_others(fds)
        _be(socket.socket(fileno=fds[0]), name, parent, body)
    pidfd = os.pidfd_open(child)
    try:
        socket.send_fds(sock, [b"+"], [pidfd])
    finally:
        os.close(pidfd)


def _fetch(
    spec: MountSpec, count: int, authorities: Authorities, arena_fd: int, sock: socket.socket, name: str
) -> None:
    """Be a fetcher."""
    name_process(name)
    malloc.set_up()
    arena = mmap.mmap(arena_fd, 0)
    os.close(arena_fd)

    def make_client(access: Access, stats: EngineStats, rejected: Callable[[], None]) -> HttpClient:
        most = connections_of_each(spec, count)
        return client_for(spec, access, stats, trust=authorities.trust(), rejected=rejected, connections_max=most)

    async def run() -> None:
        fetcher = Fetcher(sock, arena, make_client)
        logging.getLogger().handlers[:] = [_Forwarder(fetcher)]
        await fetcher.run()

    trio.run(run)


class _Forwarder(logging.Handler):
    """The engine logs for its fetchers: to where its own log goes, at its own level."""

    def __init__(self, fetcher: Fetcher) -> None:
        super().__init__()
        self._fetcher = fetcher

    def emit(self, record: logging.LogRecord) -> None:
        self._fetcher.log(record, self.format(record))
