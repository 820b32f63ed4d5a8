"""Changes: who waits for a condition looks again at each change, and only then."""

import trio
import trio.testing

from mountctl.supervisor.changes import Changes


def test_what_holds_already_is_not_waited_for() -> None:
    async def test() -> None:
        await Changes().until(lambda: True)

    trio.run(test)


def test_who_waits_for_a_condition_looks_at_each_change() -> None:
    async def test() -> None:
        changes, looked = Changes(), 0
        uploads = iter((2, 2, 1, 0))

        def none_left() -> bool:
            nonlocal looked
            looked += 1
            return not next(uploads)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(changes.until, none_left)
            for told in range(4):
                await trio.testing.wait_all_tasks_blocked()
                assert looked == told + 1
                changes.tell()

    trio.run(test)
