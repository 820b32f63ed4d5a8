"""The control socket: who may come in, what is answered, and how little a bad peer can do."""

import json
import os
import socket
from pathlib import Path

import pytest
import trio
import trio.testing

from mountctl.control import server
from mountctl.control.client import ControlClient
from mountctl.control.connections import Connections
from mountctl.control.protocol import ReloadResult
from mountctl.errors import (
    ControlSocketUnusable,
    MountctlError,
    Refused,
    SupervisorBusy,
    SupervisorNotRunning,
    SupervisorSilent,
    UnknownMount,
)
from mountctl.volume import Cause
from tests.unit.controlled import Supervisor, serving

STATUS = b"GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n"
RELOAD = b"POST /v1/reload HTTP/1.1\r\nHost: x\r\n\r\n"


async def exchange(runtime_dir: Path, sent: bytes) -> bytes:
    """Send these bytes; returns all that comes back."""
    stream = await trio.open_unix_socket(runtime_dir / "control.sock")
    async with stream:
        await stream.send_all(sent)
        received = b""
        while data := await stream.receive_some():
            received += data
        return received


def error_of(answer: bytes) -> str:
    return str(json.loads(answer.partition(b"\r\n\r\n")[2])["error"])


def test_a_client_gets_the_status_of_all_or_of_some_mounts(tmp_path: Path) -> None:
    async def body(runtime_dir: Path, supervisor: Supervisor) -> None:
        client = ControlClient(runtime_dir)
        everything = await trio.to_thread.run_sync(client.status)
        some = await trio.to_thread.run_sync(client.status, ["zwei ü"])
        assert (everything["schema"], everything["health"]) == (1, "ready")
        assert [mount["name"] for mount in everything["mounts"]] == ["one", "zwei ü"]
        assert [mount["name"] for mount in some["mounts"]] == ["zwei ü"]

    serving(tmp_path, body)


def test_an_unknown_name_is_answered_with_those_there_are(tmp_path: Path) -> None:
    async def body(runtime_dir: Path, supervisor: Supervisor) -> None:
        with pytest.raises(UnknownMount, match="'three'; there is: one"):
            await trio.to_thread.run_sync(ControlClient(runtime_dir).status, ["three"])
        assert (await exchange(runtime_dir, b"GET /v1/status?name=three HTTP/1.1\r\nHost: x\r\n\r\n")).startswith(
            b"HTTP/1.1 404 "
        )

    serving(tmp_path, body)


def test_a_name_that_is_no_text_is_answered_as_one_that_nothing_has(tmp_path: Path) -> None:
    async def body(runtime_dir: Path, supervisor: Supervisor) -> None:
        with pytest.raises(UnknownMount):
            await trio.to_thread.run_sync(ControlClient(runtime_dir).status, ["\udcff"])

    serving(tmp_path, body)


def test_a_reload_answers_when_it_is_done_and_status_answers_meanwhile(tmp_path: Path) -> None:
    async def body(runtime_dir: Path, supervisor: Supervisor) -> None:
        client = ControlClient(runtime_dir)
        supervisor.reload_may_end = trio.Event()
        results: list[ReloadResult] = []

        async def reload() -> None:
            results.append(await trio.to_thread.run_sync(client.reload))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(reload)
            while not supervisor.reloads:
                await trio.lowlevel.checkpoint()
            assert (await trio.to_thread.run_sync(client.status))["health"] == "ready"
            assert not results
            supervisor.reload_may_end.set()
        assert results[0].ok
        assert results[0].troubled == ["two"]

    serving(tmp_path, body)


def test_what_is_no_text_is_answered_all_the_same(tmp_path: Path) -> None:
    async def body(runtime_dir: Path, supervisor: Supervisor) -> None:
        supervisor.result = ReloadResult(ok=True, mounts={"one": "/mnt/\udcff", "two": "\U0001f600"})
        done = await trio.to_thread.run_sync(ControlClient(runtime_dir).reload)
        assert done == supervisor.result

    serving(tmp_path, body)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\x00\xff\x13garbage\r\n\r\n", 400),
        (b"GET /v1/status HTTP/1.1\r\n\r\n", 400),  # no Host
        (b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (b"GET /v1/reload HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        (b"GET /v1/restart?name=one HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        (b"POST /v1/restart HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"POST /v1/restart?name=three HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (b"DELETE /v1/status HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        (b"GET http://[/ HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (b"CONNECT x HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (b"POST /v1/reload HTTP/1.1\r\nHost: x\r\nContent-Length: 70000\r\n\r\n" + b"x" * 70_000, 413),
        (b"GET /v1/status HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 70_000, 413),
    ],
)
def test_what_is_no_request_is_answered_as_such_and_the_next_is_served(
    tmp_path: Path, sent: bytes, status: int
) -> None:
    async def body(runtime_dir: Path, supervisor: Supervisor) -> None:
        answer = await exchange(runtime_dir, sent)
        assert answer.startswith(f"HTTP/1.1 {status} ".encode())
        assert error_of(answer)
        assert (await trio.to_thread.run_sync(ControlClient(runtime_dir).status))["schema"] == 1
        assert supervisor.reloads == 0

    serving(tmp_path, body)


def test_a_head_request_is_answered_without_a_body(tmp_path: Path) -> None:
    async def body(runtime_dir: Path, supervisor: Supervisor) -> None:
        answer = await exchange(runtime_dir, b"HEAD /v1/status HTTP/1.1\r\nHost: x\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 405 ")
        assert answer.endswith(b"\r\n\r\n")

    serving(tmp_path, body)


def test_a_silent_peer_is_told_after_the_limit_and_others_are_served_meanwhile(tmp_path: Path) -> None:
    clock = trio.testing.MockClock()

    async def body(runtime_dir: Path, supervisor: Supervisor) -> None:
        async with await trio.open_unix_socket(runtime_dir / "control.sock") as silent:
            await trio.testing.wait_all_tasks_blocked()
            answer = await exchange(runtime_dir, STATUS)
            assert answer.startswith(b"HTTP/1.1 200 ")
            clock.jump(server.PEER_SECONDS_MAX)
            assert (await silent.receive_some()).startswith(b"HTTP/1.1 408 ")

    serving(tmp_path, body, clock=clock)


def test_a_peer_that_never_reads_its_answer_is_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = trio.testing.MockClock()
    big = ReloadResult(ok=True, mounts={"x" * 5_000_000: "added"})

    async def answer_at_length(supervisor: Supervisor) -> ReloadResult:
        return big

    monkeypatch.setattr(Supervisor, "reload", answer_at_length)

    async def body(runtime_dir: Path, supervisor: Supervisor) -> None:
        async with await trio.open_unix_socket(runtime_dir / "control.sock") as deaf:
            await deaf.send_all(RELOAD)
            await trio.testing.wait_all_tasks_blocked()
            clock.jump(server.PEER_SECONDS_MAX)
            await trio.testing.wait_all_tasks_blocked()
            received = 0
            while data := await deaf.receive_some(1 << 20):
                received += len(data)
            assert 0 < received < 5_000_000

    serving(tmp_path, body, clock=clock)


def test_a_peer_that_leaves_in_the_middle_harms_nobody(tmp_path: Path) -> None:
    async def body(runtime_dir: Path, supervisor: Supervisor) -> None:
        supervisor.reload_may_end = trio.Event()
        for sent in (b"", b"GET /v1", RELOAD):
            stream = await trio.open_unix_socket(runtime_dir / "control.sock")
            await stream.send_all(sent)
            await trio.testing.wait_all_tasks_blocked()
            await stream.aclose()
        supervisor.reload_may_end.set()
        assert (await trio.to_thread.run_sync(ControlClient(runtime_dir).status))["schema"] == 1

    serving(tmp_path, body)


def test_one_more_than_may_be_open_is_served_in_place_of_the_oldest_that_asks_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "CONNECTIONS_MAX", 2)

    async def body(runtime_dir: Path, supervisor: Supervisor) -> None:
        silent = [await trio.open_unix_socket(runtime_dir / "control.sock") for _ in range(2)]
        await trio.testing.wait_all_tasks_blocked()
        assert (await trio.to_thread.run_sync(ControlClient(runtime_dir).status))["schema"] == 1
        first, second = silent
        assert (await first.receive_some()).startswith(b"HTTP/1.1 503 ")
        await second.send_all(STATUS)
        assert (await second.receive_some()).startswith(b"HTTP/1.1 200 ")
        await first.aclose()
        await second.aclose()

    serving(tmp_path, body)


def test_one_more_than_may_be_open_is_told_when_all_are_at_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "CONNECTIONS_MAX", 2)

    async def body(runtime_dir: Path, supervisor: Supervisor) -> None:
        supervisor.reload_may_end = trio.Event()
        working = [await trio.open_unix_socket(runtime_dir / "control.sock") for _ in range(2)]
        for each in working:
            await each.send_all(RELOAD)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(SupervisorBusy, match="2 connections are open") as caught:
            await trio.to_thread.run_sync(ControlClient(runtime_dir).status)
        assert caught.value.cause is Cause.BUSY
        supervisor.reload_may_end.set()
        for each in working:
            assert (await each.receive_some()).startswith(b"HTTP/1.1 200 ")
            await each.aclose()

    serving(tmp_path, body)


def test_commands_that_take_their_time_leave_places_for_those_who_watch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "COMMANDS_MAX", 1)

    async def body(runtime_dir: Path, supervisor: Supervisor) -> None:
        supervisor.reload_may_end = trio.Event()
        async with await trio.open_unix_socket(runtime_dir / "control.sock") as working:
            await working.send_all(RELOAD)
            await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(Refused, match="1 commands are at work; try again"):
                await trio.to_thread.run_sync(ControlClient(runtime_dir).reload)
            assert (await trio.to_thread.run_sync(ControlClient(runtime_dir).status))["schema"] == 1
            supervisor.reload_may_end.set()
            assert (await working.receive_some()).startswith(b"HTTP/1.1 200 ")
        assert (await trio.to_thread.run_sync(ControlClient(runtime_dir).reload)).ok
        assert supervisor.reloads == 2

    serving(tmp_path, body)


def test_room_is_made_by_the_oldest_idle_connection_of_the_user_who_has_most_of_them() -> None:
    async def main() -> None:
        connections = Connections()
        roots, one, two, busy = (connections.enter(uid) for uid in (0, 7, 7, 7))
        busy.at_work = True

        assert connections.make_room()
        assert one.scope.cancel_called
        assert connections.count == 3
        connections.leave(two)
        assert connections.make_room()
        assert roots.scope.cancel_called
        assert not connections.make_room()
        assert not busy.scope.cancel_called

    trio.run(main)


@pytest.mark.parametrize(("error", "told"), [(MountctlError("not now"), "not now"), (KeyError("x"), "internal error")])
def test_an_error_in_an_answer_is_told_and_ends_nothing(tmp_path: Path, error: Exception, told: str) -> None:
    async def body(runtime_dir: Path, supervisor: Supervisor) -> None:
        supervisor.error = error
        with pytest.raises(Refused, match=told):
            await trio.to_thread.run_sync(ControlClient(runtime_dir).status)
        supervisor.error = None
        assert (await trio.to_thread.run_sync(ControlClient(runtime_dir).status))["schema"] == 1

    serving(tmp_path, body)


def test_a_socket_left_by_a_killed_supervisor_is_replaced(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "control.sock"))

    async def body(runtime_dir: Path, supervisor: Supervisor) -> None:
        assert (await trio.to_thread.run_sync(ControlClient(runtime_dir).status))["schema"] == 1

    serving(tmp_path, body)


@pytest.mark.parametrize("group", [None, "no-such-group-here"])
def test_a_place_or_group_that_cannot_be_is_told(tmp_path: Path, group: str | None) -> None:
    runtime_dir = tmp_path if group else tmp_path / ("long" * 40)
    runtime_dir.mkdir(exist_ok=True)

    async def main() -> None:
        await server.serve(runtime_dir / "control.sock", Supervisor(), group=group)

    with pytest.raises(ControlSocketUnusable, match=group or "cannot listen on"):
        trio.run(main)


def test_without_a_supervisor_the_client_says_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(SupervisorNotRunning, match=rf"{tmp_path}/control.sock.*mountctl run"):
        ControlClient(tmp_path).status()


def test_a_supervisor_that_does_not_answer_is_told_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mountctl.control.client.STATUS_SECONDS_MAX", 0.05)
    with socket.socket(socket.AF_UNIX) as stuck:
        stuck.bind(str(tmp_path / "control.sock"))
        stuck.listen()
        with pytest.raises(SupervisorSilent, match="did not answer within"):
            ControlClient(tmp_path).status()


@pytest.mark.parametrize("seconds", [1e300, float("inf")])
def test_who_would_wait_longer_than_a_socket_can_is_answered(tmp_path: Path, seconds: float) -> None:
    async def body(runtime_dir: Path, supervisor: Supervisor) -> None:
        with pytest.raises(Refused, match="seconds must be from 0 to 86400"):
            await trio.to_thread.run_sync(ControlClient(runtime_dir).stop, ["one"], seconds)

    serving(tmp_path, body)


def test_a_log_level_is_changed_for_one_mount(tmp_path: Path) -> None:
    async def body(runtime_dir: Path, supervisor: Supervisor) -> None:
        client = ControlClient(runtime_dir)

        async def ask(*arguments: object) -> dict[str, str]:
            return await trio.to_thread.run_sync(client.set_log_level, *arguments)

        assert await ask("zwei ü", "debug", 60.0) == {"zwei ü": "debug for 60.0"}
        assert await ask("one", "default", None) == {"one": "None for None"}
        uid = os.getuid()
        assert supervisor.levels == [("zwei ü", "debug", 60.0, uid), ("one", None, None, uid)]
        for name, level, seconds, about in (
            ("one", "loud", None, "level must be one of debug, info, warning, error, default"),
            ("one", "debug", -1.0, "seconds must be more than 0"),
            ("one", "debug", float("nan"), "seconds must be more than 0"),
            ("", "debug", None, "which mount"),
        ):
            with pytest.raises(Refused, match=about):
                await ask(name, level, seconds)
        with pytest.raises(UnknownMount):
            await ask("three", "debug", None)
        assert b"405" in await exchange(runtime_dir, b"GET /v1/log-level?name=one HTTP/1.1\r\nHost: x\r\n\r\n")
        assert len(supervisor.levels) == 2

    serving(tmp_path, body)
