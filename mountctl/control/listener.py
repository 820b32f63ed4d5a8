"""Metrics and the page of the status over TCP, where metrics-listen says: anybody may ask, and nobody can do a thing.

Run by daemon.py. Only GET and HEAD are answered; a peer that is slow, silent or greedy costs a connection for a while
and nothing else, and however many ask, an answer is made once a second at most.
"""

import errno
import ipaddress
import logging
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import h11
import trio

from mountctl import status_page
from mountctl.config.address import Address
from mountctl.control.connections import Connection, Connections
from mountctl.control.pages import PATHS, Page, page
from mountctl.metrics.exposition import wants_openmetrics
from mountctl.status import Status

# A line and the headers of a scraper or a browser.
REQUEST_BYTES_MAX: Final = 16 * 1024
# Scrapers are few; each connection is a file descriptor that mounts could need.
CONNECTIONS_MAX: Final = 32
# For a peer to send its request, and again to take the answer, which is megabytes for hundreds of mounts.
PEER_SECONDS_MAX: Final = 10.0
# Counters come once a second from the engines (HEARTBEAT_SECONDS), so an answer is as good for so long.
FRESH_SECONDS: Final = 1.0
_RECEIVE_BYTES: Final = 16 * 1024
_BACKLOG: Final = 64
# After these nobody can connect until something else is closed; trio would end over it.
_SHORTAGES: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_SHORTAGE_SECONDS: Final = 1.0

_log = logging.getLogger(__name__)


class CannotListen(Exception):
    """The address is taken, or is not this host's. The message says which."""


def bind(address: Address) -> trio.SocketListener:
    """Listen there. Raises CannotListen."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address.host, address.port))
        sock.listen(_BACKLOG)
    except OSError as error:
        sock.close()
        raise CannotListen(f"cannot listen on {address}: {error.strerror or error}") from error
    return trio.SocketListener(trio.socket.from_stdlib_socket(sock))


class PageServer:
    """Answers from a status.

    Args:
        status: of all mounts.
        is_loopback: refuse requests that a page from elsewhere has a browser make: they have another name for us.
    """

    def __init__(self, status: Callable[[], Status], *, is_loopback: bool) -> None:
        self._status = status
        self._is_loopback = is_loopback
        self._connections = Connections()
        self._made: dict[tuple[str, str], tuple[float, Page | None]] = {}

    async def serve(self, listener: trio.SocketListener) -> None:
        """Until cancelled; the listener is closed then."""
        async with listener, trio.open_nursery() as nursery:
            while True:
                try:
                    stream = await listener.accept()
                except OSError as error:
                    if error.errno not in _SHORTAGES:
                        raise
                    await trio.sleep(_SHORTAGE_SECONDS)
                else:
                    nursery.start_soon(self._greet, stream)

    async def _greet(self, stream: trio.SocketStream) -> None:
        connection: Connection | None = None
        try:
            async with stream:
                if self._connections.count >= CONNECTIONS_MAX and not self._connections.make_room():
                    return
                connection = self._connections.enter(0)  # of what user is not known
                with connection.scope:
                    await self._converse(stream)
        except (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError):
            _log.debug("a peer of the metrics' address went away, or was too slow")
        except Exception:  # noqa: BLE001 - whatever one peer brings about must not end the supervisor
            _log.exception("metrics: internal error")
        finally:
            if connection is not None:
                self._connections.leave(connection)

    async def _converse(self, stream: trio.SocketStream) -> None:
        http, has_body = h11.Connection(h11.SERVER, max_incomplete_event_size=REQUEST_BYTES_MAX), True
        try:
            with trio.fail_after(PEER_SECONDS_MAX):
                request = await _read_head(stream, http)
        except h11.RemoteProtocolError as error:
            status, found = error.error_status_hint, _told(f"that is not HTTP/1.1: {error}")
        else:
            if request is None:
                return
            status, found = self._answer(request)
            has_body = request.method != b"HEAD"
        with trio.fail_after(PEER_SECONDS_MAX):
            await _send(stream, http, status, found, has_body=has_body)

    def _answer(self, request: h11.Request) -> tuple[int, Page]:
        if request.method not in (b"GET", b"HEAD"):
            return 405, _told("only GET is answered here")
        headers = {name: value.decode("latin-1") for name, value in request.headers}
        if self._is_loopback and not is_own_name(headers.get(b"host", "")):
            return 403, _told("this address is asked by IP address, or as localhost")
        path = request.target.decode("latin-1").partition("?")[0]
        found = self._page(path, headers.get(b"accept", "")) if path in PATHS else None
        return (404, _told(f"there are {', '.join(PATHS)}")) if found is None else (200, found)

    def _page(self, path: str, accept: str) -> Page | None:
        now = trio.current_time()
        kind = path, "openmetrics" if wants_openmetrics(accept) else ""
        made = self._made.get(kind)
        if made is None or now - made[0] >= FRESH_SECONDS:
            made = self._made[kind] = now, page(path, accept, self._status)
        return made[1]


def is_own_name(host: str) -> bool:
    """Whether a Host header names this host by its address, or as localhost; none at all is no browser's."""
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() and not host.endswith("]") else host
    if name in ("", "localhost"):
        return True
    with suppress(ValueError):
        ipaddress.ip_address(name.strip("[]"))
        return True
    return False


async def _read_head(stream: trio.SocketStream, http: h11.Connection) -> h11.Request | None:
    """What is asked; None if the peer only came and went. A body is nobody's business."""
    while True:
        match event := http.next_event():
            case h11.Request():
                return event
            case h11.NEED_DATA:
                http.receive_data(await stream.receive_some(_RECEIVE_BYTES))
            case _:
                return None


async def _send(stream: trio.SocketStream, http: h11.Connection, status: int, found: Page, *, has_body: bool) -> None:
    headers = [
        ("Content-Type", found.content_type),
        ("Content-Length", str(len(found.body))),
        ("Content-Security-Policy", status_page.POLICY),
        ("X-Content-Type-Options", "nosniff"),
        ("Cache-Control", "no-store"),
        ("Connection", "close"),
        *([("Allow", "GET, HEAD")] if status == 405 else []),
    ]
    await stream.send_all(http.send(h11.Response(status_code=status, headers=headers)) or b"")
    if has_body:
        await stream.send_all(http.send(h11.Data(data=found.body)) or b"")


def _told(sentence: str) -> Page:
    return Page("text/plain; charset=utf-8", f"{sentence}\n".encode())
