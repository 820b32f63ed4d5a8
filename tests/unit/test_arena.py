"""Slots: who gets one, who waits, what goes back to the system."""

import os

import pytest
import trio
import trio.testing

from engine.arena import SLOT_BYTES, Arena


@pytest.fixture
def arena():
    arena = Arena(3 * SLOT_BYTES + 5)
    yield arena
    arena.close()


def resident(arena):
    """KiB of the arena's memfd that hold pages."""
    return os.fstat(arena.fd).st_blocks // 2


def test_the_capacity_is_whole_slots_and_at_least_one(arena):
    assert arena.slots == 3
    small = Arena(1)
    assert small.slots == 1
    small.close()


def test_slots_are_distinct_memory(arena):
    slots = [arena.acquire_nowait() for _ in range(3)]
    for number, slot in enumerate(slots):
        slot.view[:] = bytes([number + 1]) * SLOT_BYTES
    assert [slot.view[SLOT_BYTES - 1] for slot in slots] == [1, 2, 3]
    assert arena.acquire_nowait() is None
    assert (arena.in_use, arena.available) == (3, 0)


def test_the_slot_released_last_is_used_first(arena):
    one, two = arena.acquire_nowait(), arena.acquire_nowait()
    arena.release(one)
    arena.release(two)
    assert arena.acquire_nowait() is two


def test_who_waits_is_served_in_order_and_before_those_who_need_not_wait(arena):
    async def main():
        slots = [arena.acquire_nowait() for _ in range(3)]
        got = []

        async def take(name):
            got.append((name, await arena.acquire()))

        async with trio.open_nursery() as nursery:
            for name in "ab":
                nursery.start_soon(take, name)
                await trio.testing.wait_all_tasks_blocked()
            assert arena.wanted
            arena.release(slots.pop())
            assert arena.acquire_nowait() is None  # it is reserved
            await trio.testing.wait_all_tasks_blocked()
            assert [name for name, _ in got] == ["a"]
            arena.release(slots.pop())
        assert [name for name, _ in got] == ["a", "b"]
        assert not arena.wanted
        assert arena.in_use == 3

    trio.run(main)


def test_a_waiter_that_goes_away_costs_no_slot(arena):
    async def main():
        slots = [arena.acquire_nowait() for _ in range(3)]
        with trio.move_on_after(0):
            await arena.acquire()
        assert not arena.wanted
        for slot in slots:
            arena.release(slot)
        assert arena.in_use == 0

    trio.run(main)


def test_a_waiter_cancelled_after_its_slot_was_reserved_hands_it_on(arena):
    async def main():
        slots = [arena.acquire_nowait() for _ in range(3)]
        second = trio.Event()

        async def first(scope):
            with scope:
                await arena.acquire()
                await trio.sleep_forever()

        async def wait():
            await arena.acquire()
            second.set()

        async with trio.open_nursery() as nursery:
            scope = trio.CancelScope()
            nursery.start_soon(first, scope)
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked()
            scope.cancel()  # before the release: the waiter is already on its way out
            arena.release(slots.pop())
            with trio.fail_after(5):
                await second.wait()
        assert arena.in_use == 3

    trio.run(main)


def test_reclaimers_are_asked_before_anybody_waits(arena):
    async def main():
        slots = [arena.acquire_nowait() for _ in range(3)]

        def reclaim():
            if len(slots) > 2:
                arena.release(slots.pop())
                return True
            return False

        arena.add_reclaimer(reclaim)
        with trio.fail_after(1):
            await arena.acquire()
        assert len(slots) == 2
        arena.remove_reclaimer(reclaim)

    trio.run(main)


def test_trim_gives_back_the_pages_that_were_not_needed_since_the_last_one(arena):
    slots = [arena.acquire_nowait() for _ in range(3)]
    for slot in slots:
        slot.view[:] = b"x" * SLOT_BYTES
    assert resident(arena) >= 3 * 1024
    for slot in slots:
        arena.release(slot)
    arena.trim()
    assert resident(arena) >= 3 * 1024  # all three were in use a moment ago
    again = arena.acquire_nowait()
    arena.release(again)
    arena.trim()
    assert 1024 <= resident(arena) < 2 * 1024  # one was
    arena.trim()
    assert resident(arena) == 0
    again = arena.acquire_nowait()
    again.view[:1] = b"y"
    assert bytes(again.view[:2]) == b"y\0"


def test_closing_while_a_view_is_out_leaves_the_view_readable():
    arena = Arena(SLOT_BYTES)
    slot = arena.acquire_nowait()
    slot.view[:3] = b"abc"
    arena.close()
    assert bytes(slot.view[:3]) == b"abc"
