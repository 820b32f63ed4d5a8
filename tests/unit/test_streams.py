"""Answers of the control socket that go on: what a watcher hears, and how little a slow or dead one can do."""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from mountctl.control import server, streams
from mountctl.control.client import ControlClient
from mountctl.control.exchange import lines
from mountctl.errors import ControlDenied, Refused, UnknownMount
from mountctl.supervisor.events import Kind
from tests.unit.controlled import Supervisor, serving
from tests.unit.test_control import exchange
from tests.unit.test_control_peers import NOBODY, as_nobody

WATCH = b"GET /v1/status?watch=1 HTTP/1.1\r\nHost: x\r\n\r\n"
EVENTS = b"GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n"


async def following(stream: Iterator[dict[str, Any] | None]) -> dict[str, Any]:
    """The next thing that is told, behind signs of life."""
    while (told := await trio.to_thread.run_sync(partial(next, stream))) is None:
        pass
    return told


def names(status: dict[str, Any]) -> list[str]:
    return [mount["name"] for mount in status["mounts"]]


def test_a_watcher_hears_the_status_at_once_and_each_change_over_one_request(tmp_path: Path) -> None:
    async def body(runtime_dir: Path, supervisor: Supervisor) -> None:
        watch = ControlClient(runtime_dir).watch()
        assert (await following(watch))["health"] == "ready"
        for state, health in (("degraded", "degraded"), ("backoff", "failed"), ("ready", "ready")):
            supervisor.state = state  # type: ignore[assignment]
            supervisor.changes.tell()
            assert (await following(watch))["health"] == health
        watch.close()  # type: ignore[attr-defined]

    serving(tmp_path, body)


def test_a_watched_mount_that_is_gone_is_left_out_and_one_that_never_was_is_unknown(tmp_path: Path) -> None:
    async def body(runtime_dir: Path, supervisor: Supervisor) -> None:
        watch = ControlClient(runtime_dir).watch(["one"])
        assert names(await following(watch)) == ["one"]
        supervisor.gone.add("one")
        supervisor.changes.tell()
        assert names(await following(watch)) == []
        with pytest.raises(UnknownMount, match="'three'"):
            await following(ControlClient(runtime_dir).watch(["three"]))
        watch.close()  # type: ignore[attr-defined]

    serving(tmp_path, body)


def test_a_watcher_hears_signs_of_life_while_nothing_changes_and_the_counters_now_and_then(tmp_path: Path) -> None:
    clock = trio.testing.MockClock()

    async def body(runtime_dir: Path, supervisor: Supervisor) -> None:
        async with await trio.open_unix_socket(runtime_dir / "control.sock") as watcher:
            await watcher.send_all(WATCH)
            await trio.testing.wait_all_tasks_blocked()
            begin = await watcher.receive_some()
            assert begin.startswith(b"HTTP/1.1 200 ")
            assert b'"health":"ready"' in begin
            clock.jump(streams.PAUSE_SECONDS)
            await trio.testing.wait_all_tasks_blocked()
            for _ in range(int(streams.REFRESH_SECONDS / streams.SIGN_SECONDS)):
                clock.jump(streams.SIGN_SECONDS)
                await trio.testing.wait_all_tasks_blocked()
            *signs, last = (await watcher.receive_some()).split(b"1\r\n\n\r\n")
            assert len(signs) == int(streams.REFRESH_SECONDS / streams.SIGN_SECONDS)
            assert b'"health":"ready"' in last

    serving(tmp_path, body, clock=clock)


def test_changes_that_come_together_are_told_together(tmp_path: Path) -> None:
    async def body(runtime_dir: Path, supervisor: Supervisor) -> None:
        watch = ControlClient(runtime_dir).watch()
        await following(watch)
        for _ in range(1000):
            supervisor.changes.tell()
        supervisor.state = "failed"
        assert (await following(watch))["health"] == "failed"
        assert await trio.to_thread.run_sync(partial(next, watch)) is None
        watch.close()  # type: ignore[attr-defined]

    serving(tmp_path, body)


def test_a_watcher_that_does_not_read_is_dropped_and_holds_up_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = trio.testing.MockClock()
    monkeypatch.setattr(server, "STREAMS_MAX", 1)

    async def body(runtime_dir: Path, supervisor: Supervisor) -> None:
        for number in range(2000):
            supervisor.events.note(Kind.STATE, f"{number} " + "x" * 450, mount="one")
        async with await trio.open_unix_socket(runtime_dir / "control.sock") as deaf:
            await deaf.send_all(EVENTS)
            await trio.testing.wait_all_tasks_blocked()
            assert b"1 streams are open" in await exchange(runtime_dir, WATCH)
            assert (await exchange(runtime_dir, b"GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n")).startswith(
                b"HTTP/1.1 200 "
            )
            clock.jump(server.PEER_SECONDS_MAX)
            await trio.testing.wait_all_tasks_blocked()
            received = b""
            while data := await deaf.receive_some(1 << 20):
                received += data
            assert b'"0 xxx' in received
            assert b'"1999 xxx' not in received
        assert b'"1999 xxx' in await exchange(runtime_dir, EVENTS)

    serving(tmp_path, body, clock=clock)


FOLLOW = b"GET /v1/events?follow=1 HTTP/1.1\r\nHost: x\r\n\r\n"


async def seconds_until_dropped(runtime_dir: Path, clock: trio.testing.MockClock, asked: bytes, read: int) -> float:
    """How long a watcher is served that reads so many bytes a second; 100 s if it is not dropped."""
    async with await trio.open_unix_socket(runtime_dir / "control.sock") as watcher:
        await watcher.send_all(asked)
        for second in range(100):
            await trio.testing.wait_all_tasks_blocked()
            if b"1 streams are open" not in await exchange(runtime_dir, EVENTS):
                return float(second)
            if read:
                await watcher.receive_some(read)
            clock.jump(streams.SIGN_SECONDS)
        return 100.0


@pytest.mark.parametrize("asked", [WATCH, FOLLOW])
def test_a_watcher_that_reads_nothing_is_dropped_in_time_however_little_it_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: bytes
) -> None:
    clock = trio.testing.MockClock()
    monkeypatch.setattr(server, "STREAMS_MAX", 1)

    async def body(runtime_dir: Path, supervisor: Supervisor) -> None:
        seconds = await seconds_until_dropped(runtime_dir, clock, asked, read=0)
        assert server.PEER_SECONDS_MAX <= seconds <= server.PEER_SECONDS_MAX + 3 * streams.SIGN_SECONDS

    serving(tmp_path, body, clock=clock)


def test_a_watcher_that_reads_slowly_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = trio.testing.MockClock()
    monkeypatch.setattr(server, "STREAMS_MAX", 1)

    async def body(runtime_dir: Path, supervisor: Supervisor) -> None:
        for number in range(300):
            supervisor.events.note(Kind.STATE, f"{number} " + "x" * 450, mount="one")
        assert await seconds_until_dropped(runtime_dir, clock, FOLLOW, read=5000) == 100

    serving(tmp_path, body, clock=clock)


def test_a_watcher_that_has_gone_gives_its_place_to_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "STREAMS_MAX", 1)

    async def body(runtime_dir: Path, supervisor: Supervisor) -> None:
        gone = ControlClient(runtime_dir).watch()
        await following(gone)
        with pytest.raises(Refused, match="1 streams are open"):
            await following(ControlClient(runtime_dir).watch())
        gone.close()  # type: ignore[attr-defined]
        while True:
            supervisor.changes.tell()  # it is noticed with the next thing that is sent
            try:
                watch = ControlClient(runtime_dir).watch()
                assert names(await following(watch)) == ["one", "zwei ü"]
                break
            except Refused:
                continue
        watch.close()  # type: ignore[attr-defined]

    serving(tmp_path, body)


def test_a_foreign_user_may_not_watch(tmp_path: Path) -> None:
    async def body(runtime_dir: Path, supervisor: Supervisor) -> None:
        (runtime_dir / "control.sock").chmod(0o666)
        for ask in (lambda client: next(client.watch()), lambda client: next(client.events())):
            told = await trio.to_thread.run_sync(as_nobody, runtime_dir, ask)
            assert told.startswith(f"{ControlDenied.__name__}: user {NOBODY} may not use the control socket")

    serving(tmp_path, body)


def test_events_are_told_from_any_number_on_and_followed(tmp_path: Path) -> None:
    async def body(runtime_dir: Path, supervisor: Supervisor) -> None:
        client = ControlClient(runtime_dir)
        supervisor.events.note(Kind.HOLD, "stopped by root", mount="one", state="held")
        supervisor.events.note(Kind.RELOAD, "a reload begins")
        both = await trio.to_thread.run_sync(lambda: list(client.events()))
        assert [each and each["text"] for each in both] == ["stopped by root", "a reload begins"]
        first, second = both
        assert first is not None
        assert second is not None
        assert (first["kind"], first["mount"], first["state"], second["mount"]) == ("hold", "one", "held", None)
        assert await trio.to_thread.run_sync(lambda: list(client.events(first["id"]))) == [second]
        follow = client.events(second["id"], follow=True)
        supervisor.events.note(Kind.CONFIG, "no")
        assert (await following(follow))["text"] == "no"
        supervisor.events.note(Kind.CONFIG, "never")
        assert (await following(follow))["text"] == "never"
        follow.close()  # type: ignore[attr-defined]

    serving(tmp_path, body)


def test_who_follows_the_log_of_a_mount_that_goes_hears_its_end_and_does_not_wait_for_one_of_its_name(
    tmp_path: Path,
) -> None:
    async def body(runtime_dir: Path, supervisor: Supervisor) -> None:
        supervisor.logs.of("one").add("before")
        follow = ControlClient(runtime_dir).logs("one", 10, follow=True)
        assert await following(follow) == {"line": "before"}
        supervisor.logs.of("one").add("the last")
        supervisor.logs.keep([])
        supervisor.logs.of("one").add("of the next")
        assert await following(follow) == {"line": "the last"}
        with trio.fail_after(server.PEER_SECONDS_MAX):
            while (told := await trio.to_thread.run_sync(partial(next, follow, "the end"))) is None:
                pass
        assert told == "the end"

    serving(tmp_path, body)


@pytest.mark.parametrize(
    ("target", "about"),
    [
        ("/v1/events?since=x", "since must be a whole number"),
        ("/v1/events?since=-1", "since must be a whole number"),
        ("/v1/events?since=%C2%B2", "since must be a whole number"),
        (f"/v1/events?since={'9' * 5000}", "since must be a whole number"),
        ("/v1/logs", "which mount?"),
        ("/v1/logs?name=one&lines=many", "lines must be a whole number"),
    ],
)
def test_a_wrong_question_is_told(tmp_path: Path, target: str, about: str) -> None:
    async def body(runtime_dir: Path, supervisor: Supervisor) -> None:
        answer = await exchange(runtime_dir, f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert about in json.loads(answer.partition(b"\r\n\r\n")[2])["error"]

    serving(tmp_path, body)


def test_lines_are_told_as_soon_as_they_are_whole() -> None:
    assert list(lines(iter([b"a", b"b\n", b"", b"\nc\nd\n", b"rest"]))) == [b"ab", b"", b"c", b"d"]
