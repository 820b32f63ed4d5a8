"""What an operator does to mounts by hand, while the supervisor does other things as well."""

from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trio
import trio.testing

from engine.spec import MountSpec
from mountctl.errors import UnknownMount
from mountctl.supervisor import by_hand
from mountctl.supervisor.events import Events
from mountctl.supervisor.holds import Holds
from mountctl.supervisor.state import MountState

SPEC = MountSpec(name="m", bucket="bucket", mountpoint="/mnt/m")


class Supervised:
    """A supervisor of one mount, which is held, as far as `start` concerns it."""

    def __init__(self, state_dir: Path | None = None) -> None:
        self.running, self.reloading = trio.Event(), trio.Lock()
        self.config = SimpleNamespace(mounts={"m": SPEC})
        self.mounts: dict[str, Any] = {}
        self.holds, self.events = Holds(state_dir, Path("/run/x")), Events(first=1)
        self.holds.add("m", "root")
        self.started: list[str] = []

    async def start(self, specs: Iterable[MountSpec]) -> None:
        for spec in specs:
            self.started.append(spec.name)
            self.mounts[spec.name] = SimpleNamespace(state=MountState.READY, reason=None)


def test_a_mount_that_is_named_twice_is_started_once() -> None:
    supervised: Any = Supervised()
    supervised.running.set()

    assert trio.run(by_hand.start, supervised, ["m", "m"]) == {"m": "started"}
    assert supervised.started == ["m"]


def test_what_is_started_before_the_supervisor_has_begun_is_started_when_it_has() -> None:
    supervised: Any = Supervised()

    async def start_early() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(by_hand.start, supervised, ["m"])
            await trio.testing.wait_all_tasks_blocked()
            assert list(supervised.holds.held()) == ["m"]  # so it is nothing that the supervisor begins with
            supervised.running.set()
        assert (supervised.started, supervised.holds.held()) == (["m"], {})

    trio.run(start_early)


def test_a_mount_that_a_reload_has_taken_away_meanwhile_is_told_to_be_none() -> None:
    supervised: Any = Supervised()
    supervised.running.set()

    async def start_in_a_reload() -> None:
        async with trio.open_nursery() as nursery, supervised.reloading:
            nursery.start_soon(refused)
            await trio.testing.wait_all_tasks_blocked()
            supervised.config.mounts.clear()

    async def refused() -> None:
        with pytest.raises(UnknownMount, match="no mount 'm'"):
            await by_hand.start(supervised, ["m"])

    trio.run(start_in_a_reload)
    assert supervised.started == []


def test_a_start_that_cannot_be_remembered_says_so_as_the_next_supervisor_would_hold_it(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    supervised: Any = Supervised(tmp_path / "file")
    supervised.running.set()

    assert trio.run(by_hand.start, supervised, ["m"]) == {
        "m": "started, not remembered over a restart: Not a directory"
    }
    assert trio.run(by_hand.start, supervised, ["m"]) == {"m": "not held"}
