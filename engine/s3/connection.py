"""One HTTP/1.1 connection to S3: a request out, an answer in, bodies straight from and into the caller's memory.

Made and kept by pool.py, used by client.py, one request at a time. Each wait has a limit. Raises Unreachable when
nothing, or nothing more, comes, BadResponse for what is not HTTP or is cut off; both are `cut` where the connection
ended. After either, and after being cancelled, the connection is not `reusable`. Never retries.
"""

import math
import ssl
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, TypeVar

import trio

from engine.errors import BadResponse, S3Error, Unreachable
from engine.s3.http1 import END_OF_HEAD, HEAD_BYTES_MAX, Chunks, Head, parse_head
from engine.s3.interface import Body
from engine.s3.sending import SENDING_SECONDS_MAX, Sending
from engine.s3.wire import Address, Wire
from engine.spec import KiB, MiB

# S3 answers in 10-200 ms; a large LIST, or a store that wakes its disks up, may take seconds.
HEAD_SECONDS_MAX: Final = 30.0

# A body that has begun comes steadily. What came until then is kept, whatever its amount.
BETWEEN_BYTES_SECONDS_MAX: Final = 20.0

# How often a body is looked at that may lag: at S3's usual 90 MB/s the largest part of a read (8 MiB) needs a fifth.
LOOK_SECONDS: Final = 0.5

# A wake-up may wait for what a connection brings in so many seconds: at S3's 90 MB/s that is most of a MiB, and costs
# half a percent of a CPU; on a slow line readers get their bytes as they come.
WAKE_UP_SECONDS: Final = 0.01

# For that many until the connection's pace is known, and whatever it is.
WAKE_UP_BYTES: Final = 128 * KiB

# How often a limit is moved: each time costs ten microseconds.
_MOVE_LIMIT_SECONDS: Final = BETWEEN_BYTES_SECONDS_MAX / 20

# What is received with a head and belongs to the body is copied: 32 KiB in 5 us, and another receive, with a wait and
# its limit, costs 20. So most small files come with their head. Filled and emptied between two awaits, so one for all
# connections will do: of its own each GET that waits for its answer would have it, and there may be a hundred.
_HEAD_RECEIVED: Final = memoryview(bytearray(32 * KiB))
_BODY_RECEIVE_BYTES: Final = 64 * KiB

# 1,000 keys of 1,024 bytes, each three times as long when encoded, and 400 bytes about each: below 4 MiB.
SMALL_BODY_BYTES_MAX: Final = 16 * MiB


class Lagging(Exception):
    """A body comes so slowly that another connection would have its rest sooner; what came until now is good.

    Args:
        address: where it was to come from.
    """

    def __init__(self, address: Address | None) -> None:
        super().__init__()
        self.address = address


class Connection:
    """A connection that is open. Takes ownership of the wire.

    Args:
        wire: the byte stream.
        name: host and port, for messages.
        address: where it leads, of the several that a name may have.
    """

    def __init__(self, wire: Wire, name: str, address: Address | None = None) -> None:
        self.address: Final = address
        self._wire = wire
        self._name = name
        self._rest = b""  # received and not yet used: the body's beginning
        self._head: Head | None = None
        self._heard = False  # a byte of the present answer has come
        self.served = 0  # answers completed
        self.vanished = False  # it ended before the first byte of an answer: the server had closed it before
        self.reusable = True
        self.idle_since = 0.0
        self.taken_at = 0.0  # when it was last handed out, which is when it was asked something

    def alive(self) -> bool:
        """Is it worth a request? Only asked between two."""
        return self._wire.alive()

    def close(self) -> None:
        """Close it. Doing it twice does no harm."""
        self.reusable = False
        self._wire.close()

    async def exchange(
        self,
        head: bytes,
        method: str,
        body: Body = (),
        *,
        sent: Callable[[int], None] = lambda _count: None,
        answer_seconds: float = HEAD_SECONDS_MAX,
    ) -> Head:
        """Send a request and receive the answer's head. One of the `read`s must follow.

        S3 may answer before all is sent, with an error: then the rest is not sent. `sent(n)`: n more bytes of the
        body are on their way. `answer_seconds` count from the last byte sent.
        """
        answer = await self.ask(head, method, body, sent=sent, answer_seconds=answer_seconds)
        assert answer is not None, "patience has no end"
        return answer

    def ask(
        self,
        head: bytes,
        method: str,
        body: Body = (),
        *,
        sent: Callable[[int], None] = lambda _count: None,
        answer_seconds: float = HEAD_SECONDS_MAX,
        patience: float = math.inf,
    ) -> Awaitable[Head | None]:
        """`exchange`, but None if nothing was answered within `patience` seconds: `answer` goes on waiting then."""
        self.reusable = False
        self._method = method
        self._answer_seconds = answer_seconds
        self._sending = Sending(self._wire, head, body, sent)
        return self._answered(answer_seconds, patience)

    async def answer(self, waited: float) -> Head:
        """Go on waiting for an answer's head, after so many seconds."""
        answer = await self._answered(self._answer_seconds - waited, math.inf)
        assert answer is not None, "patience has no end"
        return answer

    async def read(self, lags: Callable[[int, int], bool] | None = None) -> bytes:
        """The whole of a small body: a listing, an error document. Raises BadResponse above SMALL_BODY_BYTES_MAX.

        `lags` as for `read_into`.
        """
        head = self._answer()
        if head.length is not None and head.length <= len(self._rest):  # it came with its head, or is empty
            body, self._rest = self._rest[: head.length], self._rest[head.length :]
        elif head.length is not None:
            if head.length > SMALL_BODY_BYTES_MAX:
                raise BadResponse(f"S3 at {self._name} answered {head.length} bytes where a document was due")
            memory = bytearray(head.length)
            await self.read_into([memoryview(memory)], lambda _count: None, lags)
            return bytes(memory)
        elif head.chunked:
            body = await self._read_chunks()
        else:
            body = await self._read_to_end()
        self._complete()
        return body

    async def read_into(
        self,
        buffers: Sequence[memoryview],
        arrived: Callable[[int], None],
        lags: Callable[[int, int], bool] | None = None,
    ) -> None:
        """Fill `buffers`, which together are as long as the body. `arrived(n)`: n more bytes are in place.

        `lags(count, to_come)` is asked every LOOK_SECONDS, after so many bytes in that time and before so many, and
        ends it with Lagging.
        """
        head = self._answer()
        body = _Body(buffers, arrived)
        assert body.to_come == head.length
        taken = min(len(self._rest), body.to_come)
        body.take(self._rest[:taken])
        self._rest = self._rest[taken:]
        with self._failures():
            while body.to_come:
                with trio.move_on_after(BETWEEN_BYTES_SECONDS_MAX) as limit:
                    await (self._fill(body, limit) if lags is None else self._fill_looking(body, limit, lags))
                # Slow is not dead: less than the low-water mark may have come.
                if limit.cancelled_caught and not self._creeps(body):
                    raise self._stalled()
        self._complete()

    async def _answered(self, seconds: float, patience: float) -> Head | None:
        try:
            with self._failures():
                self._head = await self._exchange(seconds, patience)
        except trio.TooSlowError as error:
            raise Unreachable(f"S3 at {self._name} {error}") from error
        except Unreachable:
            self.vanished = not self._heard
            raise
        return self._head

    async def _exchange(self, seconds: float, patience: float) -> Head | None:
        """Raises trio.TooSlowError, with what S3 did not do, next to what else may go wrong."""
        while True:
            await trio.lowlevel.checkpoint_if_cancelled()
            if not self._sending.push():
                await self._send_rest()
            with trio.move_on_after(patience if patience < seconds else seconds) as limit:
                answer = self._parse(await self._receive_head())
            if limit.cancelled_caught:
                if patience < seconds:
                    return None
                raise trio.TooSlowError(f"did not answer within {self._answer_seconds:.0f} seconds")
            if 200 <= answer.status < 300 and not self._sending.done:
                raise BadResponse(f"S3 at {self._name} took a request before all of it was there")
            if answer.status >= 200:  # 100 Continue and its like precede the answer
                return answer

    async def _send_rest(self) -> None:
        """What did not go at once."""
        with trio.move_on_after(SENDING_SECONDS_MAX) as limit:
            early = await self._sending.run(limit)
            self._heard = self._heard or bool(early)
            self._rest += early
        if limit.cancelled_caught:
            raise trio.TooSlowError(f"took no bytes for {SENDING_SECONDS_MAX:.0f} seconds")

    def _parse(self, text: str) -> Head:
        try:
            return parse_head(text, self._method)
        except ValueError as error:
            raise BadResponse(f"S3 at {self._name} does not speak HTTP: {error}") from error

    def _answer(self) -> Head:
        assert self._head is not None, "exchange comes first"
        return self._head

    def _complete(self) -> None:
        """The answer is all here: is the connection good for another?"""
        head = self._answer()
        self._head = None
        self._heard = False
        self._wire.rest()
        self.served += 1
        self.reusable = head.keep_alive and self._sending.done and not self._rest

    async def _fill_looking(self, body: "_Body", limit: trio.CancelScope, lags: Callable[[int, int], bool]) -> None:
        while body.to_come:
            before = body.to_come
            with trio.move_on_after(LOOK_SECONDS) as look:
                await self._fill(body, limit)
            if not look.cancelled_caught:
                return
            body.placed(self._wire.receive_now(body.view))  # what is below the low-water mark
            count = before - body.to_come
            if count:
                limit.deadline = trio.current_time() + BETWEEN_BYTES_SECONDS_MAX
            if body.to_come and lags(count, body.to_come):
                raise Lagging(self.address)

    def _creeps(self, body: "_Body") -> bool:
        """Did anything come? From now on wake up for every byte."""
        self._wire.alert()
        return body.placed(self._wire.receive_now(body.view))

    async def _fill(self, body: "_Body", limit: trio.CancelScope) -> None:
        """Receive until the body is complete, moving the limit on. All of an engine's bytes come this way."""
        now = moved = trio.current_time()
        while body.to_come:
            if not body.placed(await self._wire.receive_into(body.view, body.worth_a_wake_up(now))):
                short = f"S3 at {self._name} broke off an answer, {body.to_come} bytes before its end"
                raise _cut(BadResponse(short))
            now = trio.current_time()
            if now > moved + _MOVE_LIMIT_SECONDS:
                limit.deadline, moved = now + BETWEEN_BYTES_SECONDS_MAX, now

    async def _receive_head(self) -> str:
        while (end := self._rest.find(END_OF_HEAD)) < 0:
            if len(self._rest) > HEAD_BYTES_MAX:
                raise BadResponse(f"S3 at {self._name} sent headers without an end")
            count = await self._wire.receive_into(_HEAD_RECEIVED, 1)
            if not count:
                raise _cut(Unreachable(f"S3 at {self._name} closed the connection without an answer"))
            self._heard = True
            self._rest += _HEAD_RECEIVED[:count]
        head, self._rest = self._rest[:end], self._rest[end + len(END_OF_HEAD) :]
        return head.decode("latin-1")

    async def _read_chunks(self) -> bytes:
        chunks = Chunks()
        while not chunks.done:
            self._check_small(len(chunks.body))
            received = await self._receive_piece()
            if not received:
                raise _cut(BadResponse(f"S3 at {self._name} broke off an answer in chunks"))
            try:
                chunks.feed(received)
            except ValueError as error:
                raise BadResponse(f"S3 at {self._name} does not speak HTTP: {error}") from error
        self._rest = chunks.rest
        return bytes(chunks.body)

    async def _read_to_end(self) -> bytes:
        """A body without length or chunks ends with the connection (HTTP/1.0)."""
        body = bytearray()
        while received := await self._receive_piece():
            body += received
            self._check_small(len(body))
        return bytes(body)

    async def _receive_piece(self) -> bytes:
        """What comes next of a body whose length is not known; empty at the connection's end."""
        received, self._rest = self._rest, b""
        if received:
            return received
        memory = bytearray(_BODY_RECEIVE_BYTES)
        with self._failures(), trio.move_on_after(BETWEEN_BYTES_SECONDS_MAX):
            return bytes(memory[: await self._wire.receive_into(memoryview(memory), 1)])
        raise self._stalled()

    def _stalled(self) -> Unreachable:
        return Unreachable(f"S3 at {self._name} sent nothing for {BETWEEN_BYTES_SECONDS_MAX:.0f} seconds in mid-answer")

    def _check_small(self, count: int) -> None:
        if count > SMALL_BODY_BYTES_MAX:
            raise BadResponse(f"S3 at {self._name} answered more than {SMALL_BODY_BYTES_MAX} bytes of a document")

    @contextmanager
    def _failures(self) -> Iterator[None]:
        """Say what went wrong in our words. (Cancellation passes.)"""
        try:
            yield
        except ssl.SSLError as error:
            raise _cut(Unreachable(f"TLS to S3 at {self._name} broke: {error.reason or error}")) from error
        except OSError as error:
            raise _cut(Unreachable(f"S3 at {self._name} cut the connection: {error.strerror or error}")) from error


_Failure = TypeVar("_Failure", bound=S3Error)


def _cut(error: _Failure) -> _Failure:
    """The connection is to blame, and not what was asked over it."""
    error.cut = True
    return error


class _Body:
    """Where a body of known length goes, and how far it has come."""

    def __init__(self, buffers: Sequence[memoryview], arrived: Callable[[int], None]) -> None:
        self.to_come = sum(len(buffer) for buffer in buffers)
        self._behind = [buffer for buffer in reversed(buffers) if buffer]
        self.view = self._behind.pop() if self._behind else memoryview(b"")  # what of the present one is still empty
        self._arrived = arrived
        self._receives = 0
        self._paced_from = 0.0, 0  # when, and what was to come, after what had come with the head

    def worth_a_wake_up(self, now: float) -> int:
        """How many bytes the next receive may wait for, of those that are to come."""
        self._receives += 1
        if self._receives <= 2:
            self._paced_from = now, self.to_come
        since, then_to_come = self._paced_from
        wanted = WAKE_UP_BYTES
        if now > since:
            wanted = max(wanted, int((then_to_come - self.to_come) * WAKE_UP_SECONDS / (now - since)))
        return min(wanted, self.to_come)

    def placed(self, count: int) -> bool:
        """`count` bytes more are at the front of `view`; False if that is none."""
        if not count:
            return False
        self.to_come -= count
        self.view = self.view[count:]
        while not self.view and self._behind:
            self.view = self._behind.pop()
        self._arrived(count)
        return True

    def take(self, data: bytes) -> None:
        """Place what was received together with the head."""
        while data:
            count = min(len(data), len(self.view))
            self.view[:count] = data[:count]
            data = data[count:]
            self.placed(count)
