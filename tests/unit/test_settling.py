"""Who waits for a mount to settle."""

import trio
import trio.testing

from mountctl.supervisor.settling import Settling


def test_who_waits_when_it_begins_to_change_again_hears_when_it_is_known_how_it_is() -> None:
    async def body() -> None:
        settling, heard = Settling(lambda: None, waits=False), trio.Event()

        async def wait() -> None:
            await settling.wait()
            heard.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked()
            settling.again()
            await trio.testing.wait_all_tasks_blocked()
            assert not heard.is_set()
            settling.settle()
            await trio.testing.wait_all_tasks_blocked()
            assert heard.is_set()
            nursery.cancel_scope.cancel()

    trio.run(body)
