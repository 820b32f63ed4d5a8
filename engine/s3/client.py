"""S3 over HTTP: `interface.ObjectClient` for one bucket. The engine has one, and it alone sends requests.

Says what is sent and what answers must be, retries, asks for new keys when S3 refuses them, counts and logs. What is
asked in order to write is in writes.py, what is asked of the unknown in beginning.py, one attempt in attempt.py; rules
are in retry.py, hedging.py and documents.py, sockets in pool.py and connection.py. Never logs a head or a secret;
starts no task that outlives a request.
"""

import logging
import ssl
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, TypeVar

import trio

from engine.errors import (
    AccessDenied,
    ArchivedObject,
    BadResponse,
    NoSuchKey,
    RangeNotSatisfiable,
    S3Error,
    Throttled,
    Unreachable,
)
from engine.facts import about
from engine.link import Access
from engine.message_ids import S3_REQUEST_FAILED
from engine.s3 import refusal, retry
from engine.s3.attempt import Attempter, Current, Receive
from engine.s3.beginning import Beginning
from engine.s3.connection import Connection, Lagging
from engine.s3.documents import check_range, check_version, object_of_headers, parse_list
from engine.s3.http1 import Head
from engine.s3.interface import LIST_ENTRIES_MAX, ListPage, ObjectInfo
from engine.s3.pool import CONNECTIONS_MAX, Pool
from engine.s3.request import Request, Sender
from engine.s3.restoring import Restores
from engine.s3.writes import Writes
from engine.stats import EngineStats

_log = logging.getLogger("engine.s3")
_T = TypeVar("_T")

USER_AGENT: Final = "mountctl-s3"

# The broker asks STS or the instance's metadata, which takes a second or two; a program waits meanwhile.
KEYS_SECONDS_MAX: Final = 10.0

_RESTORE_STATUS: Final = ("x-amz-optional-object-attributes", "RestoreStatus")
_PROBE: Final = "HeadBucket"
_REQUESTER_PAYS: Final = ("x-amz-request-payer", "requester")

# A 404 to these is an answer: not there, or no longer there.
_ASKING_OR_REMOVING: Final = frozenset({"HeadObject", "AbortMultipartUpload", "DeleteObject"})


class HttpClient(Writes, Restores, Beginning):
    """One bucket of S3.

    Args:
        access: endpoint, region, keys. Raises ValueError for an endpoint that is none.
        stats: requests, retries, errors and bytes are counted here, and whether S3 answers.
        requester_pays: accept that requests are charged to us.
        expected_bucket_owner: the account that must own the bucket, told with every request; None: nobody looks.
        user_agent_prefix: comes before USER_AGENT, what S3's logs show.
        rejected: S3 refused the keys; whoever owns the client fetches others and calls `use`. Returns at once.
        connections_max: most connections at a time.
        attempts_max: most attempts for a request, the first included; none is begun after retry.RETRYING_SECONDS_MAX.
        trust: which TLS certificates to believe; None: the system's, or AWS_CA_BUNDLE's.
        interfaces: network interfaces to spread connections over; none: as the routes go.
        clock: seconds since the epoch, for signatures.
    """

    def __init__(
        self,
        access: Access,
        *,
        stats: EngineStats,
        requester_pays: bool = False,
        expected_bucket_owner: str | None = None,
        user_agent_prefix: str | None = None,
        rejected: Callable[[], None] | None = None,
        connections_max: int = CONNECTIONS_MAX,
        attempts_max: int = retry.ATTEMPTS_MAX,
        trust: ssl.SSLContext | None = None,
        interfaces: Sequence[str] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._stats = stats
        owner = (("x-amz-expected-bucket-owner", expected_bucket_owner),) if expected_bucket_owner else ()
        self._always = ((_REQUESTER_PAYS,) if requester_pays else ()) + owner
        self._user_agent = f"{user_agent_prefix} {USER_AGENT}" if user_agent_prefix else USER_AGENT
        self._rejected = rejected
        self._connections_max = connections_max
        self._attempts_max = attempts_max
        self._trust = trust
        self._interfaces = interfaces
        self._clock = clock
        self._attempter = Attempter(stats)
        self._waiting_for_keys = 0
        self._asks_for_restores = True  # until the server says that it knows no such header
        self._current = self._start_using(access, None)

    def use(self, access: Access) -> None:
        """From now on talk to S3 with these keys and this endpoint. Attempts on the way end as they began."""
        old = self._current
        self._current = self._start_using(access, old)
        if self._current.pool is not old.pool:
            old.pool.close()
        old.replaced.set()

    def keep(self) -> None:
        """There are no other keys for now: requests that wait for some fail at once."""
        self._current.replaced.set()
        self._current.replaced = trio.Event()

    async def head_object(self, key: str) -> ObjectInfo:
        """The object's metadata."""
        request = Request("HeadObject", "HEAD", key, amz_headers=self._always)

        async def receive(head: Head, connection: Connection) -> ObjectInfo:
            await connection.read()
            return object_of_headers(key, head.headers, self._clock())

        return await self._perform(lambda: request, receive)

    async def list_objects(
        self, prefix: str, *, delimiter: str = "/", token: str | None = None, max_keys: int = LIST_ENTRIES_MAX
    ) -> ListPage:
        """One page of the keys that start with `prefix`."""
        asked = {"list-type": "2", "encoding-type": "url", "prefix": prefix, "max-keys": str(max_keys)}
        if delimiter:
            asked["delimiter"] = delimiter
        if token is not None:
            asked["continuation-token"] = token
        query = tuple(asked.items())

        async def receive(head: Head, connection: Connection) -> ListPage:
            body = await connection.read(self._lags(head.length or 0))
            self._stats.s3_bytes_received += len(body)
            return parse_list(body, self._clock())

        if self._asks_for_restores:
            headers = (_RESTORE_STATUS, *self._always)
            request = Request("ListObjectsV2", "GET", None, query=query, amz_headers=headers)
            try:
                return await self._perform(lambda: request, receive)
            except S3Error as error:
                if error.status != retry.NOT_IMPLEMENTED:
                    raise
                _log.info("this server does not tell of restored copies in listings: it is not asked for them again")
                self._asks_for_restores = False
        plain = Request("ListObjectsV2", "GET", None, query=query, amz_headers=self._always)
        return await self._perform(lambda: plain, receive)

    async def get_object(
        self,
        key: str,
        *,
        offset: int,
        buffers: Sequence[memoryview],
        if_match: str,
        progress: Callable[[int], None],
    ) -> None:
        """Fill `buffers` with the object's bytes from `offset` on."""
        total = sum(len(buffer) for buffer in buffers)
        placed = 0

        def request() -> Request:
            headers = [("Range", f"bytes={offset + placed}-{offset + total - 1}")]
            if if_match:
                headers.append(("If-Match", if_match))
            return Request("GetObject", "GET", key, amz_headers=self._always, headers=tuple(headers))

        def arrived(count: int) -> None:
            nonlocal placed
            placed += count
            self._stats.s3_bytes_received += count
            progress(placed)

        async def receive(head: Head, connection: Connection) -> None:
            check_version(head.headers, head.status, if_match)
            check_range(head.status, head.headers, head.length, offset + placed, total - placed)
            if head.length is None:
                await _receive_range(connection, behind(buffers, placed), arrived)
                return
            began, left = trio.current_time(), total - placed
            await connection.read_into(behind(buffers, placed), arrived, self._lags(left))
            self._attempter.hedging.finished(left, trio.current_time() - began)

        await self._perform(request, receive)

    async def probe(self) -> None:
        """Ask for the bucket. Raises Unreachable, Throttled, AccessDenied, NoSuchBucket, ..."""
        request = Request(_PROBE, "HEAD", None, amz_headers=self._always)

        async def receive(_head: Head, connection: Connection) -> None:
            await connection.read()

        attempts_max = min(self._attempts_max, retry.PROBE_ATTEMPTS_MAX)
        await self._perform(lambda: request, receive, attempts_max=attempts_max)

    async def aclose(self) -> None:
        """Close all connections: idle ones now, those in use when their request ends."""
        self._current.pool.close()
        await trio.lowlevel.checkpoint()

    def _start_using(self, access: Access, old: Current | None) -> Current:
        sender = Sender(access, self._user_agent, self._clock)
        if old is not None and (old.sender.endpoint, old.sender.proxy) == (sender.endpoint, sender.proxy):
            pool = old.pool  # other keys go over the same connections
        else:
            pool = Pool(
                sender.endpoint,
                proxy=sender.proxy,
                connections_max=self._connections_max,
                trust=self._trust,
                interfaces=self._interfaces,
            )
        current = Current(sender, pool, access.credentials)
        current.worked = old is not None and old.worked and old.credentials == current.credentials
        return current

    async def _perform(
        self, request: Callable[[], Request], receive: Receive[_T], *, attempts_max: int | None = None
    ) -> _T:
        """Attempt until it succeeds or is not worth another attempt. `request()` says what is still to be asked for."""
        most = self._attempts_max if attempts_max is None else attempts_max
        failures, renewed, started = 0, False, trio.current_time()
        before: S3Error | Lagging | None = None
        while True:
            current, asked = self._current, request()
            try:
                return await self._attempter.attempt(current, asked, receive, before)
            except Lagging as lagging:  # a budget says how often
                before = lagging
                continue
            except S3Error as error:
                before = failure = error
            failures += 1
            self._stats.s3_throttles += isinstance(failure, Throttled)
            if isinstance(failure, Throttled) or retry.is_away(failure.status):
                self._attempter.hedging.calm()
            if failures > 1 and isinstance(failure, Unreachable):
                self._stats.unreachable(str(failure.args[0]))  # the next attempts may take a minute: told before
            if not renewed and retry.are_keys_refused(failure, keys_worked=current.worked):
                again = renewed = await self._renew_keys(current)
                pause = 0.0
            else:
                seconds = trio.current_time() - started
                again = retry.is_worth_another(
                    failure, failures=failures, attempts_max=most, seconds=seconds, body_bytes=asked.size
                )
                pause = retry.random_pause(failure, failures)
            if not again:
                raise self._failed(failure, asked, failures, current)
            self._stats.s3_retries += 1
            _log.debug("%s of %r is tried again: %s", asked.operation, asked.subject, failure)
            await trio.sleep(pause)

    def _lags(self, size: int) -> Callable[[int, int], bool]:
        """Tells whether the rest of a body of so many bytes is asked for anew: see Connection.read_into."""
        return partial(self._attempter.lags, self._current.pool, size)

    async def _renew_keys(self, refused: Current) -> bool:
        """Have others fetched, unless somebody asked already; False if none came in time."""
        if self._current is refused:
            if self._rejected is None or refused.sender.signer is None:
                return False
            if not self._waiting_for_keys:
                self._rejected()
            self._waiting_for_keys += 1
            try:
                with trio.move_on_after(KEYS_SECONDS_MAX):
                    await refused.replaced.wait()
            finally:
                self._waiting_for_keys -= 1
        return self._current is not refused

    def _failed(self, error: S3Error, request: Request, failures: int, current: Current) -> S3Error:
        """Count and log a failure for good, and give it its key."""
        error.key = error.key or request.subject
        error.attempts = failures
        is_answer = (error.status == 404 and request.operation in _ASKING_OR_REMOVING) or (
            request.asks and isinstance(error, NoSuchKey | RangeNotSatisfiable | ArchivedObject)
        )
        if not is_answer:
            self._stats.s3_errors[error.code or type(error).__name__] += 1
        if isinstance(error, Unreachable) or retry.is_away(error.status):
            self._stats.unreachable(str(error.args[0]))
        self._note_refusal(error, current)
        # Probes go on every two seconds while S3 is away; that it is away is told once, by whoever watches.
        level = logging.DEBUG if is_answer or request.operation == _PROBE else error.level
        if _log.isEnabledFor(level):
            facts = about(S3_REQUEST_FAILED, verb=request.operation, error=error)
            _log.log(level, "%s failed (attempts: %d): %s", request.operation, failures, error, extra=facts)
        return error

    def _note_refusal(self, error: S3Error, current: Current) -> None:
        """Refused keys are the whole mount's trouble; a denial may be the object's, and somebody is to look into it."""
        if isinstance(error, AccessDenied):
            self._stats.denials += 1
            reason = refusal.of_keys(error.code, current.credentials.access_key) if current.credentials else None
            if reason is not None and current is self._current:
                self._stats.refused(f"S3 refuses this mount's credentials: {reason}")


async def _receive_range(connection: Connection, buffers: Sequence[memoryview], arrived: Callable[[int], None]) -> None:
    """Not S3's way, but a proxy's: without a length in front."""
    body = await connection.read()
    if len(body) != sum(len(buffer) for buffer in buffers):
        raise BadResponse(f"S3 sent {len(body)} bytes of a range of another length")
    start = 0
    for buffer in buffers:
        buffer[:] = body[start : start + len(buffer)]
        start += len(buffer)
        arrived(len(buffer))


def behind(buffers: Sequence[memoryview], placed: int) -> list[memoryview]:
    """What of the buffers is still to be filled."""
    left = []
    for buffer in buffers:
        if placed < len(buffer):
            left.append(buffer[placed:])
        placed = max(0, placed - len(buffer))
    return left
