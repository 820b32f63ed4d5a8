"""The pool keeps few connections warm, gets around broken addresses and leaves none behind."""

import contextlib
import os
import socket

import pytest
import trio
import trio.testing

from engine.errors import Unreachable
from engine.s3 import wire
from engine.s3.connection import Connection
from engine.s3.pool import (
    CONNECTIONS_MAX,
    IDLE_SECONDS_MAX,
    Pool,
    connections_for,
)
from engine.s3.request import Request, Sender, parse_endpoint
from tests.faults import Answer, ScriptedServer


def test_a_broken_address_is_got_around(monkeypatch: pytest.MonkeyPatch) -> None:
    server = ScriptedServer([Answer()])

    async def main() -> None:
        async with server.running():
            endpoint = parse_endpoint(server.access().endpoint)

            async def resolve(_host: str, port: int) -> list[wire.Address]:
                await trio.lowlevel.checkpoint()
                return [(socket.AF_INET6, ("::1", port, 0, 0)), (socket.AF_INET, ("127.0.0.1", port))]

            monkeypatch.setattr(wire, "resolve", resolve)
            pool = Pool(endpoint)
            async with pool.connection() as connection:
                head = Sender(server.access(), "t").head(Request("HeadBucket", "HEAD", None))
                assert (await connection.exchange(head, "HEAD")).status == 200
            pool.close()

    trio.run(main)


def test_connections_are_spread_over_a_names_addresses_and_another_one_is_had_on_demand(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = ScriptedServer([Answer()])
    hosts = [f"127.0.0.{number}" for number in range(1, 6)]

    async def resolve(_host: str, port: int) -> list[wire.Address]:
        await trio.lowlevel.checkpoint()
        return [(socket.AF_INET, (host, port)) for host in hosts]

    async def use(connection: Connection, head: bytes) -> wire.Address | None:
        assert (await connection.exchange(head, "HEAD")).status == 200
        await connection.read()
        return connection.address

    async def main() -> None:
        async with server.running(listen="0.0.0.0"):
            monkeypatch.setattr(wire, "resolve", resolve)
            pool = Pool(parse_endpoint(server.access().endpoint))
            head = Sender(server.access(), "t").head(Request("HeadBucket", "HEAD", None))
            async with contextlib.AsyncExitStack() as stack:
                used = [await stack.enter_async_context(pool.connection()) for _ in range(10)]
                addresses = [await use(connection, head) for connection in used]
            assert len(set(addresses[:5])) == len(hosts)
            assert addresses[5:] == addresses[:5]
            async with pool.connection(but=addresses[0]) as other:
                assert other.address != addresses[0]
            assert (server.connections, pool.idle) == (10, 10)
            pool.close()

    trio.run(main)


@pytest.mark.parametrize("fresh", [False, True])
def test_where_there_is_one_address_a_kept_connection_does_for_another(*, fresh: bool) -> None:
    server = ScriptedServer([Answer()])

    async def main() -> None:
        async with server.running():
            pool = Pool(parse_endpoint(server.access().endpoint))
            head = Sender(server.access(), "t").head(Request("HeadBucket", "HEAD", None))
            async with pool.connection() as connection:
                await connection.exchange(head, "HEAD")
                await connection.read()
            async with pool.connection(fresh=fresh, but=connection.address) as other:
                assert (other is connection) is not fresh
            pool.close()

    trio.run(main)


def test_a_name_that_does_not_exist_is_unreachable() -> None:
    async def main() -> None:
        with pytest.raises(Unreachable, match=r"S3 at nowhere\.invalid:80 cannot be reached"):
            async with Pool(parse_endpoint("http://nowhere.invalid/b")).connection():
                pass

    trio.run(main)


def test_the_connection_used_last_is_used_first_and_old_idle_ones_are_closed() -> None:
    server = ScriptedServer([Answer()])

    async def use(pool: Pool, head: bytes, then: trio.Event) -> None:
        async with pool.connection() as connection:
            await connection.exchange(head, "HEAD")
            await connection.read()
            await then.wait()

    async def main() -> None:
        async with server.running():
            pool = Pool(parse_endpoint(server.access().endpoint))
            head = Sender(server.access(), "t").head(Request("HeadBucket", "HEAD", None))
            async with trio.open_nursery() as nursery:
                together = trio.Event()
                for _ in range(3):
                    nursery.start_soon(use, pool, head, together)
                await trio.testing.wait_all_tasks_blocked(0.02)
                together.set()
            assert pool.idle == 3
            for _ in range(3):  # one warm connection serves a trickle; the others grow old
                await trio.sleep(IDLE_SECONDS_MAX / 2)
                await use(pool, head, together)
            assert pool.idle == 1
            assert len({seen.connection for seen in server.seen[3:]}) == 1
            pool.close()
            assert pool.idle == 0

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0.02))


def test_a_connection_whose_answer_was_not_read_is_not_kept() -> None:
    server = ScriptedServer([Answer(body=b"x" * 10)])

    async def main() -> None:
        async with server.running():
            pool = Pool(parse_endpoint(server.access().endpoint))
            head = Sender(server.access(), "t").head(Request("GetObject", "GET", "k"))
            async with pool.connection() as connection:
                await connection.exchange(head, "GET")
            assert pool.idle == 0

    trio.run(main)


@pytest.mark.parametrize(
    ("gbps", "connections"), [(None, 128), (1, 4), (2, 6), (10, 28), (40, 112), (100, CONNECTIONS_MAX), (10_000, 128)]
)
def test_the_connections_follow_the_throughput_that_is_to_be_had(gbps: int | None, connections: int) -> None:
    assert connections_for(gbps) == connections


@pytest.mark.parametrize(("uid", "interfaces"), [(0, ["lo"]), (65534, ["lo"])])
def test_a_connection_is_bound_to_its_interface_by_any_user(uid: int, interfaces: list[str]) -> None:
    server = ScriptedServer([Answer()])

    async def main() -> None:
        async with server.running():
            pool = Pool(parse_endpoint(server.access().endpoint), interfaces=interfaces)
            os.seteuid(uid)
            try:
                async with pool.connection() as connection:
                    head = Sender(server.access(), "t").head(Request("HeadBucket", "HEAD", None))
                    assert (await connection.exchange(head, "HEAD")).status == 200
                    sock = connection._wire._sock  # type: ignore[attr-defined]
                    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16).rstrip(b"\0") == b"lo"
            finally:
                os.seteuid(0)
                pool.close()

    trio.run(main)


def test_connections_take_the_interfaces_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    server = ScriptedServer([Answer(), Answer(), Answer()])
    taken: list[str | None] = []
    connect = wire.connect

    async def note(address: wire.Address, interface: str | None = None) -> wire.PlainWire:
        taken.append(interface)
        return await connect(address)

    async def main() -> None:
        async with server.running():
            monkeypatch.setattr(wire, "connect", note)
            pool = Pool(parse_endpoint(server.access().endpoint), interfaces=["eth0", "eth1"])
            async with pool.connection(), pool.connection(), pool.connection():
                assert taken == ["eth0", "eth1", "eth0"]
            pool.close()

    trio.run(main)


def test_an_interface_that_is_not_there_is_named() -> None:
    async def main() -> None:
        pool = Pool(parse_endpoint("http://127.0.0.1:9"), interfaces=["nowhere0"])
        with pytest.raises(Unreachable, match=r"127.0.0.1:9 cannot be reached: interface 'nowhere0' \(bind\)"):
            async with pool.connection():
                raise AssertionError("there is no such interface")

    trio.run(main)
