"""`mountctl wait`: exit codes, and patience with a supervisor that comes, goes and comes again."""

import functools
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
import trio
import trio.testing

from mountctl import status as contract
from mountctl.commands.wait import STATES, WaitedTooLong, WaitsInVain, WrongWait, wait
from mountctl.control import server
from mountctl.errors import UnknownMount
from tests.unit.controlled import Supervisor, serving


def waiting(runtime_dir: Path, *names: str, state: str = "ready", seconds: float | None = 60.0) -> Callable[[], int]:
    return lambda: wait(runtime_dir, names, [state], seconds, every=not names, as_json=False)


def test_its_states_are_those_of_status_and_gone() -> None:
    assert (*get_args(contract.State), "gone") == STATES


def test_it_returns_as_soon_as_all_are_so(tmp_path: Path) -> None:
    async def body(runtime_dir: Path, supervisor: Supervisor) -> None:
        supervisor.state = "starting"
        codes: list[int] = []

        async def one(*names: str) -> None:
            codes.append(await trio.to_thread.run_sync(waiting(runtime_dir, *names)))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(one, "one")
            nursery.start_soon(one)
            assert await trio.to_thread.run_sync(waiting(runtime_dir, "one", state="starting")) == 0
            assert codes == []
            supervisor.state = "ready"
            supervisor.changes.tell()
        assert codes == [0, 0]

    serving(tmp_path, body)


def test_it_tells_how_each_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async def body(runtime_dir: Path, supervisor: Supervisor) -> None:
        await trio.to_thread.run_sync(lambda: wait(runtime_dir, (), ["ready"], 9, every=True, as_json=True))
        assert json.loads(capsys.readouterr().out) == {"mounts": {"one": "ready", "zwei ü": "ready"}}

    serving(tmp_path, body)


def test_when_the_time_is_over_it_is_124_and_says_how_they_are(tmp_path: Path) -> None:
    async def body(runtime_dir: Path, supervisor: Supervisor) -> None:
        supervisor.state = "backoff"
        for seconds in (0.0, 0.5):
            with pytest.raises(WaitedTooLong, match=rf"not ready within {seconds:g} s: one is backoff") as error:
                await trio.to_thread.run_sync(waiting(runtime_dir, "one", seconds=seconds))
            assert error.value.exit_code == 124

    serving(tmp_path, body)


def test_without_time_it_looks_once(tmp_path: Path) -> None:
    async def body(runtime_dir: Path, supervisor: Supervisor) -> None:
        assert await trio.to_thread.run_sync(waiting(runtime_dir, "one", seconds=0.0)) == 0

    serving(tmp_path, body)


@pytest.mark.parametrize("state", ["failed", "held"])
def test_it_does_not_wait_for_what_nobody_mends(tmp_path: Path, state: Any) -> None:
    async def body(runtime_dir: Path, supervisor: Supervisor) -> None:
        supervisor.state = state
        with pytest.raises(WaitsInVain, match=f"one is {state}") as error:
            await trio.to_thread.run_sync(waiting(runtime_dir, "one", seconds=None))
        assert error.value.exit_code == 4
        assert await trio.to_thread.run_sync(waiting(runtime_dir, "one", state=state)) == 0

    serving(tmp_path, body)


def test_a_name_that_is_none_is_told_at_once(tmp_path: Path) -> None:
    async def body(runtime_dir: Path, supervisor: Supervisor) -> None:
        with pytest.raises(UnknownMount, match="'three'"):
            await trio.to_thread.run_sync(waiting(runtime_dir, "one", "three", seconds=None))

    serving(tmp_path, body)


def test_it_waits_until_a_mount_is_gone(tmp_path: Path) -> None:
    async def body(runtime_dir: Path, supervisor: Supervisor) -> None:
        with pytest.raises(WaitedTooLong):
            await trio.to_thread.run_sync(waiting(runtime_dir, "one", state="gone", seconds=0.0))
        supervisor.gone.add("one")
        assert await trio.to_thread.run_sync(waiting(runtime_dir, "one", state="gone")) == 0
        assert await trio.to_thread.run_sync(waiting(runtime_dir, "never", state="gone")) == 0

    serving(tmp_path, body)


def test_it_waits_for_a_supervisor_that_comes_later_and_for_the_one_after_it(tmp_path: Path) -> None:
    codes: list[int] = []

    async def wait_for_it() -> None:
        codes.append(await trio.to_thread.run_sync(waiting(tmp_path, "one")))

    async def main() -> None:
        supervisor = Supervisor()
        watched = trio.Event()
        present = supervisor.present

        def noted(*arguments: Any, **options: Any) -> Any:
            watched.set()
            return present(*arguments, **options)

        supervisor.present = noted  # type: ignore[method-assign]
        async with trio.open_nursery() as waits:
            waits.start_soon(wait_for_it)
            for state in ("starting", "recovering", "ready"):
                supervisor.state = state  # type: ignore[assignment]
                watched = trio.Event()
                async with trio.open_nursery() as serves:
                    await serves.start(
                        functools.partial(server.serve, tmp_path / "control.sock", supervisor, group=None)
                    )
                    await watched.wait()
                    await trio.testing.wait_all_tasks_blocked()
                    serves.cancel_scope.cancel()

    trio.run(main)
    assert codes == [0]


def test_without_any_supervisor_the_time_is_over_as_well(tmp_path: Path) -> None:
    with pytest.raises(WaitedTooLong, match=re.escape(f"no supervisor: nothing listens on {tmp_path}")):
        waiting(tmp_path, "one", seconds=0.0)()


@pytest.mark.parametrize(
    ("names", "every", "states", "about"),
    [
        ([], False, ["ready"], "which mounts"),
        (["a"], True, ["ready"], "which mounts"),
        (["a"], False, ["redy"], "'redy' is no state"),
    ],
)
def test_what_cannot_be_waited_for_is_wrong_usage(
    tmp_path: Path, names: list[str], every: bool, states: list[str], about: str
) -> None:
    with pytest.raises(WrongWait, match=about) as error:
        wait(tmp_path, names, states, 1.0, every=every, as_json=False)
    assert error.value.exit_code == 2
