"""The supervisor's side of the broker, when the broker does not listen."""

from typing import cast

import pytest
import trio
import trio.testing

from engine.link import LinkClosed, Message, WatchAccess
from engine.logged import Form
from engine.spec import MountSpec
from mountctl.supervisor import access
from mountctl.supervisor.access import AccessHub
from mountctl.supervisor.log_lines import Logs
from mountctl.supervisor.process import Exit, ForkedProcess
from mountctl.supervisor.zygote import Zygote


class DeafBroker:
    """A broker that reads nothing and lives until it is killed; its own link too."""

    def __init__(self) -> None:
        self.killed = trio.Event()
        self.link = self

    async def send(self, _message: Message) -> None:
        await self.killed.wait()
        raise LinkClosed

    async def receive(self) -> tuple[Message, list[int]]:
        await self.killed.wait()
        raise LinkClosed

    def kill(self) -> None:
        self.killed.set()

    async def end(self, _grace_seconds: float) -> Exit:
        return Exit(signal=9)

    def close(self) -> None:
        """Nothing is open."""


class Forks:
    """Forks deaf brokers."""

    def __init__(self) -> None:
        self.brokers: list[DeafBroker] = []
        self.second = trio.Event()

    async def fork_broker(self, _log_form: Form | None) -> ForkedProcess:
        self.brokers.append(DeafBroker())
        if len(self.brokers) == 2:
            self.second.set()
        return cast("ForkedProcess", self.brokers[-1])


def test_a_broker_that_reads_no_orders_is_killed_and_nobody_who_orders_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "_ORDERS_MAX", 4)

    async def body() -> None:
        forks = Forks()
        hub = AccessHub(cast("Zygote", forks), Logs())
        hub.watch(MountSpec(name="m", bucket="some-bucket", mountpoint="/mnt/m"), lambda _message: None)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(hub.run)
            await trio.testing.wait_all_tasks_blocked()
            for _ in range(10):
                hub.refresh("m")
            with trio.fail_after(30):
                await forks.second.wait()
            nursery.cancel_scope.cancel()
        assert forks.brokers[0].killed.is_set()

    trio.run(body)


def test_a_mount_whose_environment_has_changed_is_asked_for_anew_and_for_another_option_nobody_is_asked() -> None:
    hub = AccessHub(cast("Zygote", Forks()), Logs())
    before = MountSpec(name="m", bucket="some-bucket", mountpoint="/mnt/m")
    hub.watch(before, lambda _message: None)
    orders = hub._receive
    assert orders.receive_nowait() == WatchAccess(spec=before)

    hub.changed(before.model_copy(update={"debug": True}))
    assert orders.statistics().current_buffer_used == 0
    after = before.model_copy(update={"environment": ("AWS_PROFILE=batch",)})
    hub.changed(after)
    assert orders.receive_nowait() == WatchAccess(spec=after)
