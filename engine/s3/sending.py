"""A request on its way out: head and body from the caller's memory, while the server may already be answering.

Used by connection.py. A server that denies a request says so without waiting for the body, and closes: so somebody
listens while the body goes, and what was said is read even if sending failed. Never copies a body, never times out by
itself: it moves the caller's limit with each step. OSErrors come up as they are.
"""

from collections.abc import Callable
from typing import Final

import trio

from engine.s3.interface import Body
from engine.s3.wire import SEND_BUFFERS_MAX, Wire
from engine.spec import KiB

# A body that goes goes steadily: a third of the kernel's buffer, at most 1.5 MiB, within this time is 50 KB/s.
SENDING_SECONDS_MAX: Final = 30.0

# An error's head and document.
_EARLY_BYTES: Final = 8 * KiB


class Sending:
    """One request.

    Args:
        wire: where it goes.
        head: the request's head.
        body: buffers, one behind the other; left alone until the request is over.
        sent: told of bytes of the body that are on their way.
    """

    def __init__(self, wire: Wire, head: bytes, body: Body, sent: Callable[[int], None]) -> None:
        self._wire = wire
        self._left = [memoryview(buffer) for buffer in reversed((head, *body)) if len(buffer)]  # the next one is last
        self._head_left = len(head)
        self._sent = sent

    @property
    def done(self) -> bool:
        """All is sent."""
        return not self._left and not self._wire.unsent

    def push(self) -> bool:
        """Send what goes at once; True if that is all: as nearly always without a body. Raises OSError."""
        self._push()
        return self.done

    async def run(self, limit: trio.CancelScope) -> bytes:
        """Send the rest, or as much as S3 wants before it answers; what it said by then. Each step moves the limit.

        Sends and listens at once; whichever ends first ends the other. Raises OSError when the connection broke and
        nothing had been said.
        """
        trouble: list[OSError] = []
        said = b""

        async def hear() -> None:
            nonlocal said
            memory = bytearray(_EARLY_BYTES)
            try:
                count = await self._wire.hear(memoryview(memory))
            except OSError as error:
                trouble.append(error)
            else:
                said = bytes(memory[:count])
                if not count:
                    trouble.append(ConnectionAbortedError("closed while a request was being sent"))
            nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(hear)
            try:
                await self._send_rest(limit)
            except OSError as error:
                trouble.append(error)
            nursery.cancel_scope.cancel()
        if trouble and not said:
            said = self._heard_before_the_end(trouble[0])
        return said

    async def _send_rest(self, limit: trio.CancelScope) -> None:
        while not self.done:
            await self._wire.writable()
            self._push()
            limit.deadline = trio.current_time() + SENDING_SECONDS_MAX

    def _heard_before_the_end(self, trouble: OSError) -> bytes:
        """A server that answers early and closes resets the connection: its answer came before the reset."""
        memory = bytearray(_EARLY_BYTES)
        try:
            count = self._wire.receive_now(memoryview(memory))
        except OSError:
            count = 0
        if not count:
            raise trouble
        return bytes(memory[:count])

    def _push(self) -> None:
        """Send what goes now."""
        count = self._wire.push(self._left[: -SEND_BUFFERS_MAX - 1 : -1])
        of_head = min(count, self._head_left)
        self._head_left -= of_head
        if count > of_head:
            self._sent(count - of_head)
        while count:
            buffer = self._left.pop()
            if count < len(buffer):
                self._left.append(buffer[count:])
            count -= min(count, len(buffer))
