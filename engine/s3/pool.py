"""Connections to one endpoint, kept open between requests: the one used last is used first, so that few stay warm.

Owned by client.py, one pool for each endpoint that an Access names. Opens (TCP to one of addresses.py, TLS) and hands
out; never sends a request and never retries one.
"""

import itertools
import math
import ssl
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import trio

from engine.errors import Unreachable
from engine.s3 import proxy as proxies
from engine.s3 import tls, wire
from engine.s3.addresses import Addresses
from engine.s3.connection import Connection
from engine.s3.proxy import Proxy
from engine.s3.request import Endpoint

# 64 parts on the way fill 40 Gbit/s at 90 MB/s a connection; twice that leaves room for listings and small files.
CONNECTIONS_MAX: Final = 128

# What one of S3's connections brings, in Gbit/s: 90 MB/s.
CONNECTION_GBPS: Final = 0.72

# A mount with a small maximum-throughput-gbps still lists, stats and reads at once.
CONNECTIONS_MIN: Final = 4

# TCP and TLS handshakes are 2-3 round trips: 5 s are ten times those to the other side of the world.
CONNECT_SECONDS_MAX: Final = 5.0

# S3 closes idle connections after about that long; and a NAT that forgets one does not tell.
IDLE_SECONDS_MAX: Final = 20.0

# Of the addresses that a handshake failed with, so many are passed over before that is told.
HANDSHAKES_MAX: Final = 3

# The code of an Unreachable that no retry mends.
CERTIFICATE_REFUSED: Final = "CertificateRefused"


class Pool:
    """The connections to one endpoint.

    Args:
        endpoint: host and port, and whether TLS is spoken.
        proxy: by which it is reached; None: directly.
        connections_max: most connections at a time; who wants one more waits.
        trust: for TLS; None: the system's, or AWS_CA_BUNDLE's.
        interfaces: each new connection takes the next of them; none: as the routes go.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        proxy: Proxy | None = None,
        connections_max: int = CONNECTIONS_MAX,
        trust: ssl.SSLContext | None = None,
        interfaces: Sequence[str] = (),
    ) -> None:
        self._endpoint = endpoint
        self._proxy = proxy
        self._trust = trust
        self._room = trio.Semaphore(connections_max)
        self._interfaces: Iterator[str | None] = itertools.cycle(interfaces or (None,))
        self._idle: list[Connection] = []
        first = proxy or endpoint
        self._first = f"the proxy {first.name}" if proxy is not None else f"S3 at {first.name}"  # who is connected to
        self._addresses = Addresses(first.host, first.port)
        self._sessions = tls.Sessions()
        self._closed = False

    @property
    def idle(self) -> int:
        """Connections open and not in use."""
        return len(self._idle)

    @asynccontextmanager
    async def connection(self, *, fresh: bool = False, but: wire.Address | None = None) -> AsyncIterator[Connection]:
        """A connection for one request; waits for room. `fresh`: not one that was used before; `but`: rather elsewhere.

        Raises Unreachable if none can be opened. Whatever happens inside, a connection goes back only if it is
        reusable, and is closed otherwise.
        """
        try:
            self._room.acquire_nowait()  # `acquire` would have the others run first, even if there is room
        except trio.WouldBlock:
            await self._room.acquire()
        try:
            connection = None if fresh else self._take(but)
            if connection is None:
                connection = await self._open(but)
                connection.taken_at = trio.current_time()
            try:
                yield connection
            finally:
                self._put(connection)
        finally:
            self._room.release()

    @property
    def has_room(self) -> bool:
        """Could one more connection be had without waiting for others?"""
        return self._room.value > 0

    def close(self) -> None:
        """Close the idle connections now and those in use when they come back."""
        self._closed = True
        for connection in self._idle:
            connection.close()
        self._idle.clear()

    def _take(self, but: wire.Address | None) -> Connection | None:
        """The idle connection used last that still lives; to another address than `but`, if there is another."""
        now = trio.current_time()
        self._close_old(now)
        kept = self._idle
        if but is not None and self._addresses.count > 1:
            kept = [connection for connection in self._idle if connection.address != but]
        while kept:
            connection = kept.pop()
            if kept is not self._idle:
                self._idle.remove(connection)
            if connection.alive():
                connection.taken_at = now
                return connection
            connection.close()
        return None

    def _put(self, connection: Connection) -> None:
        now = trio.current_time()
        if connection.reusable and not self._closed:
            connection.idle_since = now
            self._idle.append(connection)
        else:
            connection.close()
        self._close_old(now)

    def _close_old(self, now: float) -> None:
        """Those at the front have been idle for longest."""
        oldest = now - IDLE_SECONDS_MAX
        while self._idle and self._idle[0].idle_since < oldest:
            self._idle.pop(0).close()

    async def _open(self, but: wire.Address | None) -> Connection:
        name = self._endpoint.name
        try:
            return await self._open_any(but)
        except trio.TooSlowError as error:
            reason = f"{self._first} gave no connection within {CONNECT_SECONDS_MAX:.0f} s"
            raise Unreachable(reason) from error
        except ssl.SSLCertVerificationError as error:
            reason = f"the certificate of S3 at {name} is not trusted: {error.verify_message}"
            raise Unreachable(reason, code=CERTIFICATE_REFUSED) from error
        except ssl.SSLError as error:
            raise Unreachable(f"TLS with S3 at {name} failed: {error.reason or error}") from error
        except ConnectionRefusedError as error:
            raise Unreachable(f"{self._first} refused the connection") from error
        except OSError as error:
            raise Unreachable(f"{self._first} cannot be reached: {error.strerror or error}") from error

    async def _open_any(self, but: wire.Address | None) -> Connection:
        """Pass over addresses whose handshake fails; the last one's failure counts."""
        for left in range(HANDSHAKES_MAX - 1, -1, -1):
            with trio.fail_after(CONNECT_SECONDS_MAX):
                address, plain = await self._addresses.connect(self._connect, but)
            if not self._endpoint.tls:
                return Connection(plain, self._endpoint.name, address)
            try:
                if self._proxy is not None:
                    await self._pass(self._proxy, plain)
                with trio.fail_after(CONNECT_SECONDS_MAX):
                    return Connection(await self._encrypt(plain), self._endpoint.name, address)
            except (OSError, trio.TooSlowError):
                if not left or self._addresses.count == 1:
                    raise
                self._addresses.avoid(address)
        raise AssertionError("the last failure is raised")

    async def _connect(self, address: wire.Address) -> wire.PlainWire:
        return await wire.connect(address, next(self._interfaces))

    async def _pass(self, proxy: Proxy, plain: wire.PlainWire) -> None:
        try:
            with trio.fail_after(CONNECT_SECONDS_MAX):
                await proxies.tunnel(plain, proxy, self._endpoint.host, self._endpoint.port)
        except BaseException:
            plain.close()
            raise

    async def _encrypt(self, plain: wire.PlainWire) -> tls.TlsWire:
        try:
            self._trust = self._trust or tls.trust_of_environment()
        except OSError as error:
            plain.close()
            reason = f"AWS_CA_BUNDLE can't be used: {error.strerror or error}"
            raise Unreachable(reason, code=CERTIFICATE_REFUSED) from error
        return await tls.handshake(plain, self._endpoint.host, self._trust, self._sessions)


def connections_for(gbps: int | None) -> int:
    """How many connections `maximum-throughput-gbps` allows: as many as bring it, and as many again for small requests.

    None: CONNECTIONS_MAX, which no number exceeds.
    """
    if gbps is None:
        return CONNECTIONS_MAX
    return min(CONNECTIONS_MAX, max(CONNECTIONS_MIN, 2 * math.ceil(gbps / CONNECTION_GBPS)))
