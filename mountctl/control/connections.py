"""Who is connected to the control socket, and who has to go when there is no room. Used by server.py.

A connection on which a request is being answered stays. One whose peer keeps us waiting, be it for its request or while
it takes the answer, makes room for the next: so peers that ask nothing can shut nobody out.
"""

import fcntl
import struct
import termios
from collections import Counter
from typing import Final

import trio

# A send that took so long had to wait for room: so the peer has read.
_WAITED_SECONDS: Final = 0.5
_INT: Final = struct.Struct("i")


class Connection:
    """One that is open.

    Args:
        uid: the peer's user.
    """

    def __init__(self, uid: int) -> None:
        self.uid: Final = uid
        self.at_work = False  # we are, so the peer waits for us
        self.answering = False  # the beginning of an answer may have been sent
        self.scope: Final = trio.CancelScope()  # cancelled when it has to go


class Connections:
    """Those that are open, the oldest first."""

    def __init__(self) -> None:
        self._open: dict[Connection, None] = {}

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._open)

    def enter(self, uid: int) -> Connection:
        """A new one, of this user."""
        self._open[connection := Connection(uid)] = None
        return connection

    def leave(self, connection: Connection) -> None:
        """It is over."""
        self._open.pop(connection, None)

    def make_room(self) -> bool:
        """End the oldest of those that we wait for, of the user who has most of these. False: there is none."""
        idle = [each for each in self._open if not each.at_work]
        if not idle:
            return False
        [(uid, _)] = Counter(each.uid for each in idle).most_common(1)
        oldest = next(each for each in idle if each.uid == uid)
        oldest.scope.cancel()
        self.leave(oldest)
        return True


class Patience:
    """With a peer that leaves what it was sent: the kernel keeps hundreds of signs of life before it is full.

    Args:
        sock: to the peer, a Unix socket.
        seconds: how long it may read nothing while there is something to read.
    """

    def __init__(self, sock: trio.socket.SocketType, seconds: float) -> None:
        self._sock = sock
        self._seconds = seconds
        self._left = 0
        self._read_at = trio.current_time()

    async def send(self, stream: trio.SocketStream, data: bytes) -> None:
        """Send it all. Raises trio.TooSlowError if the peer does not read."""
        began = trio.current_time()
        if not (left := _unread(self._sock)) or left < self._left:
            self._read_at = began
        elif began - self._read_at >= self._seconds:
            raise trio.TooSlowError
        with trio.fail_after(self._seconds):
            await stream.send_all(data)
        if trio.current_time() - began >= _WAITED_SECONDS:
            self._read_at = trio.current_time()
        self._left = _unread(self._sock)


def _unread(sock: trio.socket.SocketType) -> int:
    """What the peer has not read, by the kernel's measure: a message is counted until it is read whole."""
    return int(_INT.unpack(fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(_INT.size)))[0])
