"""mountctl/control/listener.py without a supervisor: who is answered, how often an answer is made, who is dropped."""

import contextlib
from collections.abc import AsyncIterator

import pytest
import trio
import trio.testing

from mountctl.config.address import Address
from mountctl.control.listener import (
    CONNECTIONS_MAX,
    PEER_SECONDS_MAX,
    REQUEST_BYTES_MAX,
    CannotListen,
    PageServer,
    bind,
    is_own_name,
)
from mountctl.status import ConfigStatus, LastReload, MountStatus, Status, SupervisorStatus, utc

GET = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Statuses:
    """What is asked for the status. Mounts make it long."""

    def __init__(self, mounts: int = 1) -> None:
        self.asked = 0
        self.fails = False
        config = ConfigStatus(path="/x", last_reload=LastReload(ok=True, at=utc(0)))
        self._status = Status(
            health="ready",
            supervisor=SupervisorStatus(pid=1, version="1", generation=1, config=config),
            mounts=[
                MountStatus(name=f"m{number}", mountpoint="/m", source="s3://b/", state="ready", since=utc(0))
                for number in range(mounts)
            ],
        )

    def __call__(self) -> Status:
        self.asked += 1
        if self.fails:
            raise RuntimeError("a bug")
        return self._status


class Server:
    def __init__(self, listener: trio.SocketListener) -> None:
        self._address = listener.socket.getsockname()

    async def connect(self) -> trio.SocketStream:
        sock = trio.socket.socket()
        await sock.connect(self._address)
        return trio.SocketStream(sock)

    async def ask(self, request: bytes) -> bytes:
        """The whole answer."""
        answer = b""
        async with await self.connect() as stream:
            await stream.send_all(request)
            while data := await stream.receive_some():
                answer += data
        return answer


@contextlib.asynccontextmanager
async def serving(statuses: Statuses) -> AsyncIterator[Server]:
    listener = bind(Address("127.0.0.1", 0))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(PageServer(statuses, is_loopback=True).serve, listener)
        yield Server(listener)
        nursery.cancel_scope.cancel()


def test_however_many_ask_at_once_one_answer_is_made() -> None:
    async def main() -> int:
        statuses = Statuses()
        async with serving(statuses) as server:
            for _ in range(20):
                assert b"mountctl_up 1" in await server.ask(GET)
        return statuses.asked

    # A clock that stands still: it is always the same second.
    assert trio.run(main, clock=trio.testing.MockClock()) == 1


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (GET, b"200"),
        (b"HEAD / HTTP/1.1\r\nHost: 127.0.0.1:1\r\n\r\n", b"200"),
        (b"GET /v1/metrics?x=1 HTTP/1.1\r\nHost: [::1]:9464\r\n\r\n", b"200"),
        (b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n", b"404"),
        (b"POST /v1/reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999999\r\n\r\n", b"405"),
        (b"GET / HTTP/1.1\r\nHost: rebound.example\r\n\r\n", b"403"),
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * REQUEST_BYTES_MAX, b"431"),
    ],
)
def test_only_pages_are_answered(request_: bytes, status: bytes) -> None:
    async def main() -> bytes:
        async with serving(Statuses()) as server:
            return await server.ask(request_)

    head, _, body = trio.run(main).partition(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 " + status)
    assert bool(body) is not request_.startswith(b"HEAD")
    assert b"content-security-policy: default-src 'none'" in head.lower()


def test_a_bug_in_an_answer_ends_one_connection() -> None:
    async def main() -> None:
        statuses = Statuses()
        async with serving(statuses) as server:
            statuses.fails = True
            assert await server.ask(GET) == b""
            statuses.fails = False
            assert b"mountctl_up 1" in await server.ask(GET)

    trio.run(main)


def test_who_asks_nothing_makes_room_for_who_does() -> None:
    async def main() -> None:
        async with serving(Statuses()) as server:
            idle = [await server.connect() for _ in range(2 * CONNECTIONS_MAX)]
            assert b"mountctl_up 1" in await server.ask(GET)
            for stream in idle:
                await stream.aclose()

    trio.run(main)


def test_who_is_silent_or_reads_nothing_is_dropped_in_time() -> None:
    async def main() -> bytes:
        received = b""
        async with serving(Statuses(mounts=10_000)) as server:
            silent, slow = await server.connect(), await server.connect()
            async with silent, slow:
                await slow.send_all(GET)  # more comes than the kernel keeps
                await trio.sleep(PEER_SECONDS_MAX + 1)  # by a clock that jumps
                assert await silent.receive_some() == b""
                with contextlib.suppress(trio.BrokenResourceError):
                    while data := await slow.receive_some(1 << 20):
                        received += data
        return received

    received = trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0.2))

    length = int(received.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    assert len(received) < length


def test_an_address_that_is_taken_is_told() -> None:
    async def main() -> None:
        async with bind(Address("127.0.0.1", 0)) as listener:
            port = listener.socket.getsockname()[1]
            with pytest.raises(CannotListen, match=rf"cannot listen on 127\.0\.0\.1:{port}: Address already in use"):
                bind(Address("127.0.0.1", port))

    trio.run(main)


@pytest.mark.parametrize("host", ["", "localhost", "localhost:9464", "127.0.0.1", "127.0.0.1:1", "[::1]", "[::1]:1"])
def test_a_name_of_this_host(host: str) -> None:
    assert is_own_name(host)


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example:1", "127.0.0.1.evil:1", "[", "localhost:"])
def test_no_name_of_this_host(host: str) -> None:
    assert not is_own_name(host)
