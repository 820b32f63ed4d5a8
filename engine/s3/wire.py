"""Bytes to and from one S3 server over a non-blocking TCP socket.

connection.py speaks HTTP over it; tls.py wraps it. Large receives are what speed is made of: a big receive buffer, and
a low-water mark (SO_RCVLOWAT) so that a wake-up brings much. Nothing here knows HTTP, and nothing times out: the
caller cancels. OSErrors come up as they are.
"""

import encodings.idna  # noqa: F401 - name resolution would import it, which may be too late once the uid is dropped
import errno
import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

import trio

from engine.spec import MiB

# Measured: with 4 MiB a fast server never waits for the window while the engine answers the kernel.
RECEIVE_BUFFER_BYTES: Final = 4 * MiB

# The most that a wake-up waits for, which costs some 50 us: an arena's slot, the copy of which takes 150 us.
LOW_WATER_BYTES: Final = MiB

# One system call takes no more than the kernel's buffer holds, some MiB; arena slots have 1 MiB (IOV_MAX is 1,024).
SEND_BUFFERS_MAX: Final = 16

# An unprivileged process gets no more than this for SO_RCVBUF; then the kernel's own tuning gives more.
_RECEIVE_BUFFER_LIMIT: Final = Path("/proc/sys/net/core/rmem_max")


class Wire(Protocol):
    """A byte stream. One task uses it at a time."""

    async def send(self, data: bytes) -> None:
        """Send all of it."""
        ...

    def push(self, buffers: Sequence[memoryview]) -> int:
        """Send what goes without waiting of at most SEND_BUFFERS_MAX buffers, one behind the other.

        Returns how many bytes of them were taken.
        """
        ...

    @property
    def unsent(self) -> bool:
        """Is something left that `push` took and that has not gone? `push` with no buffers sends on."""
        ...

    async def writable(self) -> None:
        """Wait until `push` gets on. Beside it, one other task may `hear`."""
        ...

    async def hear(self, view: memoryview) -> int:
        """Place at least one byte at the front of `view`; 0 at the stream's end. Beside a task that pushes."""
        ...

    async def receive_into(self, view: memoryview, to_come: int) -> int:
        """Place at least one byte at the front of `view`; 0 at the stream's end.

        `to_come` is how many bytes are certain to come still: the wake-up may wait for that many and no more.
        """
        ...

    def receive_now(self, view: memoryview) -> int:
        """Place what is here already, maybe nothing."""
        ...

    def alert(self) -> None:
        """Wake up for every byte, until this answer is complete."""
        ...

    def rest(self) -> None:
        """The answer is complete: be ready for a small one again."""
        ...

    def alive(self) -> bool:
        """Between two answers: has the server left this connection open, and sent nothing unasked?"""
        ...

    def close(self) -> None:
        """Close the socket. Doing it twice does no harm."""
        ...


def _sets_receive_buffer() -> bool:
    try:
        return int(_RECEIVE_BUFFER_LIMIT.read_text()) >= RECEIVE_BUFFER_BYTES
    except (OSError, ValueError):
        return False  # not Linux as we know it: leave the buffer to the kernel


SETS_RECEIVE_BUFFER: Final = _sets_receive_buffer()

Address = tuple[socket.AddressFamily, tuple[str, int] | tuple[str, int, int, int]]


async def resolve(host: str, port: int) -> list[Address]:
    """The addresses of a host. Raises OSError (socket.gaierror) if the name is not known."""
    found = await trio.socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(family, address) for family, _, _, _, address in found]  # type: ignore[misc]


async def connect(address: Address, interface: str | None = None) -> "PlainWire":
    """Connect to one address, over one network interface if told. Raises OSError; cancelling closes the socket."""
    family, where = address
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        if SETS_RECEIVE_BUFFER:  # before connect: the window's scale is agreed on then
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if interface is not None:
            _bind(sock, interface)
        await trio.lowlevel.checkpoint_if_cancelled()
        result = sock.connect_ex(where)
        if result == errno.EINPROGRESS:
            await trio.lowlevel.wait_writable(sock)
            result = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if result != 0:
            raise OSError(result, os.strerror(result))
    except BaseException:
        sock.close()
        raise
    return PlainWire(sock)


def _bind(sock: socket.socket, interface: str) -> None:
    """Send by this interface only. Since Linux 5.7 any user may, once a socket."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode() + b"\0")
    except OSError as error:
        why = "is not there" if error.errno == errno.ENODEV else f"can't be used: {os.strerror(error.errno or 0)}"
        raise OSError(error.errno, f"interface {interface!r} (bind) {why}") from error


class PlainWire:
    """A TCP connection. Takes ownership of the socket."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._low_water = 1
        self._low_water_max = LOW_WATER_BYTES
        self._emptied = True  # by the last receive: to look again at once finds nothing, or little

    async def send(self, data: bytes) -> None:
        """Send all of it."""
        await trio.lowlevel.checkpoint_if_cancelled()
        left = memoryview(data)
        while left:
            try:
                left = left[self._sock.send(left) :]
            except BlockingIOError:
                await trio.lowlevel.wait_writable(self._sock)

    @property
    def unsent(self) -> bool:
        """What was taken has gone."""
        return False

    def push(self, buffers: Sequence[memoryview]) -> int:
        """Send what the kernel takes now, straight from the buffers."""
        if not buffers:
            return 0
        try:
            return self._sock.sendmsg(buffers)
        except BlockingIOError:
            return 0

    async def writable(self) -> None:
        """Wait until the kernel takes more."""
        await trio.lowlevel.wait_writable(self._sock)

    async def hear(self, view: memoryview) -> int:
        """Place at least one byte at the front of `view`; 0 at the stream's end."""
        return await self.receive_into(view, 1)

    async def receive_into(self, view: memoryview, to_come: int) -> int:
        """Place at least one byte at the front of `view`; 0 at the stream's end."""
        while True:
            if self._emptied:
                await self.wait(to_come)
            try:
                count = self._sock.recv_into(view)
            except BlockingIOError:
                self._emptied = True
            else:
                self._emptied = count < len(view)
                return count

    async def wait(self, to_come: int) -> None:
        """Wait until LOW_WATER_BYTES are here, or `to_come` if that is less."""
        self._set_low_water(max(1, min(self._low_water_max, to_come)))
        await trio.lowlevel.wait_readable(self._sock)

    def receive_now(self, view: memoryview) -> int:
        """Place what is here already, maybe nothing."""
        try:
            return self._sock.recv_into(view)
        except BlockingIOError:
            return 0

    def alert(self) -> None:
        """Wake up for every byte, until this answer is complete."""
        self._low_water_max = 1

    def rest(self) -> None:
        """Wake up for the first byte again."""
        self._set_low_water(1)
        self._low_water_max = LOW_WATER_BYTES

    def alive(self) -> bool:
        """Nothing to read and no end: the server has neither closed nor sent anything unasked."""
        try:
            self._sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def at_end(self) -> bool:
        """Has the server closed? Unlike `alive`, bytes that wait to be read are no harm."""
        try:
            return not self._sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def close(self) -> None:
        """Close the socket. Doing it twice does no harm."""
        self._sock.close()

    def _set_low_water(self, count: int) -> None:
        if count != self._low_water:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, count)
            self._low_water = count
