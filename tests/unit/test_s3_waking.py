"""How much a connection waits for before it wakes up: enough to be worth it, and no reader's bytes for long."""

from collections.abc import Callable, Sequence

import pytest
import trio
import trio.testing

from engine.s3.connection import WAKE_UP_BYTES, Connection
from engine.s3.wire import LOW_WATER_BYTES
from engine.spec import KiB, MiB

BODY_BYTES = 8 * MiB


class PacedWire:
    """A wire that brings so many bytes a second, and notes what each wake-up waited for and after how long it came."""

    def __init__(self, per_second: float) -> None:
        self.per_second = per_second
        self.wake_ups: list[int] = []
        self.longest = 0.0
        self._head = f"HTTP/1.1 206 Partial Content\r\nContent-Length: {BODY_BYTES}\r\n\r\n".encode()
        self._began = 0.0
        self._taken = 0

    async def receive_into(self, view: memoryview, to_come: int) -> int:
        if head := self._head:
            view[: len(head)] = head
            self._head, self._began = b"", trio.current_time()
            return len(head)
        if not (ready := self._ready()):
            self.wake_ups.append(to_come)
            seconds = min(to_come, LOW_WATER_BYTES) / self.per_second
            self.longest = max(self.longest, seconds)
            await trio.sleep(seconds)
            ready = self._ready()
        count = min(ready, len(view))
        self._taken += count
        return count

    def _ready(self) -> int:
        come = round((trio.current_time() - self._began) * self.per_second)
        return min(come, BODY_BYTES) - self._taken

    async def send(self, data: bytes) -> None:
        raise NotImplementedError

    def push(self, buffers: Sequence[memoryview]) -> int:
        return sum(len(buffer) for buffer in buffers)

    @property
    def unsent(self) -> bool:
        return False

    async def writable(self) -> None:
        raise NotImplementedError

    async def hear(self, view: memoryview) -> int:
        raise NotImplementedError

    def receive_now(self, view: memoryview) -> int:
        raise NotImplementedError

    def rest(self) -> None:
        pass

    def alive(self) -> bool:
        return True

    def close(self) -> None:
        pass


def received(wire: PacedWire, arrived: Callable[[int], None] = lambda _count: None) -> None:
    """Receive the wire's one answer."""

    async def main() -> None:
        connection = Connection(wire, "s3")
        await connection.exchange(b"GET /object", "GET")
        slots = [memoryview(bytearray(MiB)) for _ in range(BODY_BYTES // MiB)]
        await connection.read_into(slots, arrived)
        assert connection.reusable

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def test_at_s3s_pace_a_wake_up_brings_most_of_a_slot() -> None:
    wire = PacedWire(90e6)
    received(wire)
    assert len(wire.wake_ups) < 14
    assert wire.wake_ups[0] <= WAKE_UP_BYTES  # a reader may be waiting for the first bytes


def test_a_fast_connection_wakes_up_for_no_more_than_a_slot_at_once() -> None:
    wire = PacedWire(2e9)
    received(wire)
    assert len(wire.wake_ups) < 12


@pytest.mark.parametrize("per_second", [100e3, 1e6, 10e6, 90e6])
def test_on_a_slow_line_bytes_are_told_soon_after_they_came(per_second: float) -> None:
    wire = PacedWire(per_second)
    told: list[int] = []
    received(wire, told.append)
    assert wire.longest <= max(0.03, 128 * KiB / per_second + 1e-9)
    assert sum(told) == BODY_BYTES


def test_no_wake_up_waits_for_more_than_is_to_come() -> None:
    wire = PacedWire(90e6)
    told: list[int] = []
    received(wire, told.append)
    assert wire.wake_ups[-1] <= BODY_BYTES - sum(told[:-1])
