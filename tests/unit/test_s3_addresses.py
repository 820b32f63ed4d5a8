"""Connections go to all of a name's addresses in turn, past those that do not answer; DNS holds up nobody."""

import socket
from collections.abc import Callable

import pytest
import trio
import trio.testing

from engine.s3 import wire
from engine.s3.addresses import (
    ADDRESSES_TRIED_MAX,
    AVOIDED_SECONDS,
    KEPT_SECONDS,
    NEXT_ADDRESS_SECONDS,
    RESOLVED_SECONDS_MAX,
    RESOLVING_SECONDS_MAX,
    Addresses,
)
from engine.s3.wire import Address, PlainWire

PORT = 80
V6: list[Address] = [(socket.AF_INET6, (f"::{number}", PORT, 0, 0)) for number in range(1, 6)]
V4: list[Address] = [(socket.AF_INET, (f"127.0.0.{number}", PORT)) for number in range(1, 6)]


class Dns:
    """Stands for wire.resolve: answers with `found`, or fails, once it is let go."""

    def __init__(self, *found: Address) -> None:
        self.found = list(found)
        self.failing = False
        self.asked = 0
        self.silent = False

    async def resolve(self, _host: str, _port: int) -> list[Address]:
        self.asked += 1
        await trio.lowlevel.checkpoint()
        if self.silent:
            await trio.sleep_forever()
        if self.failing:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return self.found


class Network:
    """Stands for wire.connect: who refuses, who never answers; and how often each was asked."""

    def __init__(self) -> None:
        self.refusing: set[Address] = set()
        self.silent: set[Address] = set()
        self.asked: list[Address] = []
        self.open = 0

    async def connect(self, address: Address) -> PlainWire:
        self.asked.append(address)
        if address in self.silent:
            await trio.sleep_forever()
        await trio.lowlevel.checkpoint()
        if address in self.refusing:
            raise ConnectionRefusedError(f"{address} refuses")
        self.open += 1
        network = self

        class Wire(PlainWire):
            def close(self) -> None:
                network.open -= 1
                super().close()

        return Wire(socket.socket())


@pytest.fixture
def dns(monkeypatch: pytest.MonkeyPatch) -> Dns:
    made = Dns(*V4)
    monkeypatch.setattr(wire, "resolve", made.resolve)
    return made


def run(main: Callable[..., object], *arguments: object) -> None:
    trio.run(main, *arguments, clock=trio.testing.MockClock(autojump_threshold=0))  # type: ignore[arg-type]


async def connect(addresses: Addresses, network: Network, but: Address | None = None) -> Address:
    address, opened = await addresses.connect(network.connect, but)
    opened.close()
    assert network.open == 0
    return address


@pytest.mark.parametrize(("found", "first"), [(V6 + V4, socket.AF_INET6), (V4 + V6, socket.AF_INET)])
def test_both_families_are_tried_in_turn_the_systems_choice_first(dns: Dns, found: list[Address], first: int) -> None:
    async def main() -> None:
        dns.found = found
        tried = await Addresses("s3", PORT).to_try()
        assert len(tried) == ADDRESSES_TRIED_MAX
        assert [family == first for family, _ in tried] == [True, False] * (ADDRESSES_TRIED_MAX // 2)

    run(main)


def test_connections_take_a_names_addresses_in_turn(dns: Dns) -> None:
    async def main() -> None:
        addresses, network = Addresses("s3", PORT), Network()
        taken = [await connect(addresses, network) for _ in range(10)]
        assert set(taken[:5]) == set(V4)
        assert taken[5:] == taken[:5]
        assert len(network.asked) == 10

    run(main)
    assert dns.asked == 1


def test_another_address_than_one_that_lags_is_taken_if_there_is_one(dns: Dns) -> None:
    async def main() -> None:
        addresses, network = Addresses("s3", PORT), Network()
        for _ in range(10):
            assert await connect(addresses, network, but=V4[2]) != V4[2]
        dns.found = V4[:1]
        assert await connect(Addresses("s3", PORT), network, but=V4[0]) == V4[0]

    run(main)


def test_one_that_refuses_is_passed_over_at_once_and_then_avoided_for_a_while(dns: Dns) -> None:
    async def main() -> None:
        addresses, network = Addresses("s3", PORT), Network()
        network.refusing = set(V4[:3])
        began = trio.current_time()
        for _ in range(10):
            assert await connect(addresses, network) in V4[3:]
        assert trio.current_time() == began, "nobody waited"
        assert len(network.asked) <= 10 + 3, "each was tried once"
        network.refusing = set()
        await trio.sleep(AVOIDED_SECONDS + 1)
        assert {await connect(addresses, network) for _ in range(10)} == set(V4)

    run(main)


def test_beside_one_that_does_not_answer_the_next_is_tried_and_it_is_avoided_then(dns: Dns) -> None:
    async def main() -> None:
        addresses, network = Addresses("s3", PORT), Network()
        network.silent = {(await addresses.to_try())[1]}  # whose turn is next
        began = trio.current_time()
        await connect(addresses, network)
        assert trio.current_time() - began == NEXT_ADDRESS_SECONDS
        assert len(network.asked) == 2
        network.asked.clear()
        assert not {await connect(addresses, network) for _ in range(10)} & network.silent
        assert len(network.asked) == 10

    run(main)


def test_a_family_that_leads_nowhere_is_avoided_as_a_whole(dns: Dns) -> None:
    async def main() -> None:
        dns.found = V6 + V4
        addresses, network = Addresses("s3", PORT), Network()
        network.silent = set(V6)
        assert await connect(addresses, network) in V4
        network.asked.clear()
        assert {await connect(addresses, network) for _ in range(10)} == set(V4)
        assert len(network.asked) == 10

    run(main)


def test_the_last_failure_is_told_if_none_answers(dns: Dns) -> None:
    async def main() -> None:
        network = Network()
        network.refusing = set(V4)
        with pytest.raises(ConnectionRefusedError):
            await Addresses("s3", PORT).connect(network.connect)
        assert len(network.asked) == ADDRESSES_TRIED_MAX

    run(main)


@pytest.mark.parametrize("seconds", [NEXT_ADDRESS_SECONDS / 2, NEXT_ADDRESS_SECONDS * 1.5])
def test_cancelled_in_between_nothing_stays_open(dns: Dns, seconds: float) -> None:
    async def main() -> None:
        network = Network()
        network.silent = set(V4)
        with trio.move_on_after(seconds) as scope:
            await Addresses("s3", PORT).connect(network.connect)
        assert scope.cancelled_caught
        assert network.open == 0

    run(main)


def test_a_name_is_resolved_again_behind_the_requests_backs(dns: Dns) -> None:
    async def main() -> None:
        addresses, network = Addresses("s3", PORT), Network()
        dns.found = V4[:2]
        await connect(addresses, network)
        dns.found, dns.silent = V4[2:], True
        await trio.sleep(RESOLVED_SECONDS_MAX + 1)
        assert await connect(addresses, network) in V4[:2]
        assert await connect(addresses, network) in V4[:2]
        await trio.testing.wait_all_tasks_blocked()
        assert dns.asked == 2, "one question at a time"
        dns.silent = False
        await trio.sleep(RESOLVING_SECONDS_MAX + RESOLVED_SECONDS_MAX + 1)  # the silent question is given up
        await connect(addresses, network)
        await trio.testing.wait_all_tasks_blocked()
        assert {await connect(addresses, network) for _ in range(10)} == set(V4), "those of before serve for a while"
        await trio.sleep(KEPT_SECONDS + 1)
        assert {await connect(addresses, network) for _ in range(10)} == set(V4[2:])

    run(main)


@pytest.mark.parametrize("how", ["failing", "silent"])
@pytest.mark.parametrize("seconds", [RESOLVED_SECONDS_MAX + 1, 100 * KEPT_SECONDS])
def test_while_dns_is_away_the_addresses_of_before_serve(dns: Dns, how: str, seconds: float) -> None:
    async def main() -> None:
        addresses, network = Addresses("s3", PORT), Network()
        await connect(addresses, network)
        setattr(dns, how, True)
        await trio.sleep(seconds)
        assert {await connect(addresses, network) for _ in range(10)} == set(V4)
        await trio.testing.wait_all_tasks_blocked()
        assert dns.asked == 2, "and it is not asked for each connection"

    run(main)


def test_many_that_start_together_ask_dns_once(dns: Dns) -> None:
    async def main() -> None:
        addresses = Addresses("s3", PORT)
        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(addresses.to_try)

    run(main)
    assert dns.asked == 1


def test_a_name_that_was_never_resolved_is_an_error_each_time(dns: Dns) -> None:
    async def main() -> None:
        addresses, network = Addresses("s3", PORT), Network()
        dns.failing = True
        for _ in range(2):
            with pytest.raises(socket.gaierror):
                await connect(addresses, network)
        dns.failing = False
        await connect(addresses, network)

    run(main)
