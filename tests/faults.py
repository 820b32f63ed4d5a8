"""Servers that misbehave as a test says: one that answers by a script, and a proxy in front of a real server.

`ScriptedServer` lives in the test's own trio loop, for tests of the client. `FaultyProxy` runs in a thread, for tests
whose engine is another process. Both note every request. tests/servers.py has the servers that behave.
"""

import contextlib
import http.client
import socket
import socketserver
import ssl
import struct
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import urlsplit

import trio

from engine.link import Access, Credentials
from tests.listening import Listener

_HEAD_BYTES_MAX: Final = 64 * 1024
_TAKEN_BYTES_MAX: Final = 1024 * 1024


@dataclass(frozen=True)
class Seen:
    """A request that came: `headers` have lower-case names; `connection` counts connections from 0.

    `body` is what was taken of it.
    """

    method: str
    target: str
    headers: dict[str, str]
    connection: int
    body: bytes = b""


@dataclass(frozen=True)
class Answer:
    """What to answer with, and how to go wrong over it.

    Args:
        status: HTTP status.
        headers: further headers; Content-Length is the body's length unless it, or Transfer-Encoding, is given.
        body: the body.
        cut: send only so many bytes of the body, then close (None: all of it).
        reset: close with a reset instead of an end.
        close: close after the answer without having said so.
        head_delay: seconds of the trio clock before the answer.
        body_pause: seconds after each `cut` bytes, instead of closing.
        never: answer nothing and keep the connection open.
        raw: these bytes instead of all of the above, then close.
        take: take only so many bytes of the request's body before the answer, and no more after it. (A close then
            resets the connection, as unread bytes make it do.)
        take_pause: seconds before each receive of the request's body.
        done: the proxy only: the request is passed on, and then answered like this all the same.
    """

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    cut: int | None = None
    reset: bool = False
    close: bool = False
    head_delay: float = 0.0
    body_pause: float = 0.0
    never: bool = False
    raw: bytes | None = None
    take: int | None = None
    take_pause: float = 0.0
    done: bool = False


def error(status: int, code: str, message: str = "told by a test", **headers: str) -> Answer:
    """An error answer as S3 gives it, with its document."""
    body = f"<Error><Code>{code}</Code><Message>{message}</Message><RequestId>REQ1</RequestId></Error>".encode()
    return Answer(status, {name.replace("_", "-"): value for name, value in headers.items()}, body)


def ranged(data: bytes, first: int, count: int, etag: str = '"e"', **how: object) -> Answer:
    """A right answer (unless `how` spoils it) to a GET of `count` bytes from `first` on."""
    told = {"Content-Range": f"bytes {first}-{first + count - 1}/{len(data)}", "ETag": etag}
    return Answer(206, told, data[first : first + count], **how)  # type: ignore[arg-type]


def as_asked(data: bytes, **how: object) -> Callable[[Seen], Answer]:
    """A right answer (unless `how` spoils it) to whatever range is asked for."""

    def answer(seen: Seen) -> Answer:
        first, last = map(int, seen.headers["range"].removeprefix("bytes=").split("-"))
        return ranged(data, first, last - first + 1, **how)

    return answer


class ScriptedServer:
    """Answers requests in the order of `script`, across connections; the last answer is for all that follow.

    An answer may depend on the request.
    """

    def __init__(self, script: Sequence[Answer | Callable[[Seen], Answer]]) -> None:
        self.script = list(script)
        self.seen: list[Seen] = []
        self.connections = 0
        self.url = ""
        self.tls: ssl.SSLContext | None = None  # of connections to come
        self.resumed: list[bool] = []  # of TLS connections with a request: was the handshake a short one?

    def access(self, *, access_key: str = "AK", signed: bool = True) -> Access:
        """How a client reaches this server's bucket `b`."""
        keys = Credentials(access_key=access_key, secret_key="SK")
        return Access(name="m", endpoint=f"{self.url}/b", region="us-east-1", credentials=keys if signed else None)

    @contextlib.asynccontextmanager
    async def running(
        self, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1", listen: str = "127.0.0.1"
    ) -> AsyncIterator[None]:
        """Listen on a free port until left. `host` is what the URL says, `listen` an address, or 0.0.0.0."""
        self.tls = tls
        async with trio.open_nursery() as nursery:
            listeners = await trio.open_tcp_listeners(0, host=listen)
            port = listeners[0].socket.getsockname()[1]
            self.url = f"{'https' if tls else 'http'}://{host}:{port}"

            async def serve(stream: trio.SocketStream) -> None:
                encrypted = trio.SSLStream(stream, self.tls, server_side=True) if self.tls else None
                await self._serve(encrypted or stream, stream.socket)

            nursery.start_soon(trio.serve_listeners, serve, listeners)
            yield
            nursery.cancel_scope.cancel()

    async def _serve(self, stream: trio.abc.Stream, sock: trio.socket.SocketType) -> None:
        number, self.connections = self.connections, self.connections + 1
        received = b""
        try:
            while True:
                while b"\r\n\r\n" not in received:
                    more = await stream.receive_some(_HEAD_BYTES_MAX)
                    if not more:
                        return
                    received += more
                head, _, received = received.partition(b"\r\n\r\n")
                seen = _parse(head, number)
                if isinstance(stream, trio.SSLStream) and number not in {known.connection for known in self.seen}:
                    self.resumed.append(stream.session_reused)
                told = self.script[min(len(self.seen), len(self.script) - 1)]
                self.seen.append(seen)
                answer = told(seen) if callable(told) else told
                place = len(self.seen) - 1
                body, received = await _take(stream, seen, answer, received)
                self.seen[place] = seen = replace(seen, body=body)
                if not await _send(stream, sock, seen, answer):
                    return
                if answer.take is not None:
                    await trio.sleep_forever()
        except (trio.BrokenResourceError, ssl.SSLError):
            return  # the client went away, which some tests make it do
        finally:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + 1):
                await trio.aclose_forcefully(stream)


async def _take(stream: trio.abc.Stream, seen: Seen, answer: Answer, received: bytes) -> tuple[bytes, bytes]:
    """As much of the request's body as the answer wants, and what was received behind it."""
    length = int(seen.headers.get("content-length", "0"))
    wanted = length if answer.take is None else min(length, answer.take)
    body = bytearray(received)
    while len(body) < wanted:
        await trio.sleep(answer.take_pause)
        more = await stream.receive_some(min(_TAKEN_BYTES_MAX, wanted - len(body)))
        if not more:
            raise trio.BrokenResourceError
        body += more
    return bytes(body[:wanted]), bytes(body[wanted:])


async def _send(stream: trio.abc.Stream, sock: trio.socket.SocketType, seen: Seen, answer: Answer) -> bool:
    """Send the answer as it wants to be; False if the connection ends with it."""
    if answer.never:
        await trio.sleep_forever()
    await trio.sleep(answer.head_delay)
    if answer.raw is not None:
        await stream.send_all(answer.raw)
        return False
    body = b"" if seen.method == "HEAD" else answer.body
    cut = len(body) if answer.cut is None else answer.cut
    await stream.send_all(_head(answer, len(answer.body)) + body[:cut])
    if cut < len(body) and answer.body_pause:
        for start in range(cut, len(body), cut):
            await trio.sleep(answer.body_pause)
            await stream.send_all(body[start : start + cut])
    elif cut < len(body) or answer.reset or answer.close:
        if answer.reset:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return False
    return True


def _head(answer: Answer, length: int) -> bytes:
    headers = dict(answer.headers)
    if not {"content-length", "transfer-encoding"} & {name.lower() for name in headers}:
        headers["Content-Length"] = str(length)
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {answer.status} Told\r\n{lines}\r\n".encode()


def _parse(head: bytes, connection: int) -> Seen:
    first, *lines = head.decode().split("\r\n")
    method, target, _ = first.split(" ")
    headers = {line.partition(":")[0].lower(): line.partition(":")[2].strip() for line in lines}
    return Seen(method, target, headers, connection)


Decide = Callable[[Seen], Answer | None]


class FaultyProxy(Listener):
    """In front of a real server: `decide` says for each request what goes wrong (None: it is passed on).

    Enter to start, leave to end; `endpoint` is its URL, `seen` what came. `decide` may be replaced at any time. With
    `tls` it is an https server (whoever connects and does not speak TLS holds the others up).
    """

    def __init__(
        self, upstream: str, decide: Decide = lambda _seen: None, *, tls: ssl.SSLContext | None = None
    ) -> None:
        self.decide = decide
        self.tls = tls
        self.seen: list[Seen] = []
        self._upstream = urlsplit(upstream).netloc

    @property
    def endpoint(self) -> str:
        """Its URL."""
        return f"http{'s' if self.tls else ''}://{self.address}"

    def pass_one(self, handler: socketserver.StreamRequestHandler) -> bool:
        lines = []
        while (line := handler.rfile.readline(_HEAD_BYTES_MAX)) not in (b"\r\n", b""):
            lines.append(line.rstrip(b"\r\n"))
        if not lines:
            return False
        seen = _parse(b"\r\n".join(lines), handler.client_address[1])
        seen = replace(seen, body=handler.rfile.read(int(seen.headers.get("content-length", "0"))))
        self.seen.append(seen)
        answer = self.decide(seen)
        if answer is None:
            for piece in self._forward(seen):
                handler.wfile.write(piece)
            return True
        if answer.done:
            list(self._forward(seen))
        if answer.raw is not None:
            handler.wfile.write(answer.raw)
            return False
        if answer.never:
            handler.rfile.read(1)  # until the client gives up
            return False
        cut = len(answer.body) if answer.cut is None else answer.cut
        handler.wfile.write(_head(answer, len(answer.body)))
        handler.wfile.write(b"" if seen.method == "HEAD" else answer.body[:cut])
        if answer.reset:
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return not (answer.close or answer.reset or cut < len(answer.body))

    def _forward(self, seen: Seen) -> Iterator[bytes]:
        """The real server's answer. The Host header stays, since it is signed."""
        with contextlib.closing(http.client.HTTPConnection(self._upstream)) as upstream:
            upstream.putrequest(seen.method, seen.target, skip_host=True, skip_accept_encoding=True)
            for name, value in seen.headers.items():
                upstream.putheader(name, value)
            upstream.endheaders(seen.body)
            answer = upstream.getresponse()
            data = answer.read()
            hop = {"connection", "transfer-encoding", "content-length"}
            headers = {name: value for name, value in answer.getheaders() if name.lower() not in hop}
            length = answer.getheader("content-length") if seen.method == "HEAD" else None
            headers["Content-Length"] = length or str(len(data))
            yield _head(Answer(answer.status, headers), 0) + data
