"""Writes and completions of one file: one at a time, in order, and at once where nobody else is."""

import trio
import trio.testing

from engine.write.turns import Turns


def test_who_is_alone_goes_on_before_any_other_task_runs() -> None:
    seen: list[str] = []

    async def other() -> None:
        seen.append("other")

    async def test() -> None:
        turns = Turns()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(other)
            for _ in range(3):
                async with turns:
                    seen.append("alone")

    trio.run(test)
    assert seen == ["alone", "alone", "alone", "other"]


def test_others_wait_and_have_their_turn_in_the_order_of_their_asking() -> None:
    seen: list[int] = []

    async def test() -> None:
        turns = Turns()

        async def take(number: int) -> None:
            async with turns:
                seen.append(number)
                await trio.testing.wait_all_tasks_blocked()
                seen.append(number)

        async with trio.open_nursery() as nursery, turns:
            for number in range(3):
                nursery.start_soon(take, number)
                await trio.testing.wait_all_tasks_blocked()
            assert not seen

    trio.run(test)
    assert seen == [0, 0, 1, 1, 2, 2]


def test_who_fails_or_gives_up_waiting_stands_in_nobodys_way() -> None:
    async def test() -> None:
        turns = Turns()
        try:
            async with turns:
                raise ValueError
        except ValueError:
            pass
        async with turns, trio.open_nursery() as nursery:

            async def wait() -> None:
                async with turns:
                    raise AssertionError("it was cancelled")

            nursery.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        async with turns:
            pass

    trio.run(test)
