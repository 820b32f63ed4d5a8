"""`mountctl events`, `wait`, `logs` and `status --watch` of a real supervisor, while things happen to its mounts."""

import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults import Answer, FaultyProxy
from tests.servers import S3Server
from tests.service.running import MOUNTCTL, WAIT_SECONDS_MAX, Running

Event = dict[str, Any]


class Followed:
    """What a command that goes on prints as JSON, a line each."""

    def __init__(self, running: Running, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [MOUNTCTL, *arguments, "--json"], env=running.environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self._limit = threading.Timer(WAIT_SECONDS_MAX, self._process.kill)
        self._limit.start()
        self.seen: list[Event] = []

    def until(self, look: Callable[[Event], bool]) -> Event:
        """The next line of which this is so; fails when none comes in time."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.seen.append(json.loads(line))
            if look(self.seen[-1]):
                return self.seen[-1]
        raise AssertionError(self.seen)

    def close(self) -> None:
        self._limit.cancel()
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def followed(running: Running) -> Iterator[Callable[..., Followed]]:
    every: list[Followed] = []

    def follow(*arguments: str) -> Followed:
        every.append(Followed(running, *arguments))
        return every[-1]

    yield follow
    for each in every:
        each.close()


@pytest.fixture
def bucket(moto: S3Server) -> str:
    made = moto.bucket()
    moto.put(made, "x", b"x")
    return made


def told(running: Running, *arguments: str) -> list[Event]:
    done = running.run("events", "--json", *arguments)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def about(events: list[Event], kind: str, mount: str | None) -> list[str]:
    return [event["text"] for event in events if (event["kind"], event["mount"]) == (kind, mount)]


def test_a_death_and_what_came_after_are_told_to_who_follows(
    running: Running, moto: S3Server, bucket: str, followed: Callable[..., Followed]
) -> None:
    running.configure(moto, data={"bucket": bucket})
    with running.running():
        events = followed("events", "--follow", "data")
        events.until(lambda event: event["state"] == "ready")
        old = running.mount("data")["engine"]["pid"]
        os.kill(old, signal.SIGKILL)
        death = events.until(lambda event: event["kind"] == "engine")
        assert death["text"] == f"engine {old} killed by SIGKILL"
        lost = events.until(lambda event: event["state"] == "recovering")
        assert lost["text"] == "ready -> recovering: the engine killed by SIGKILL"
        taken = events.until(lambda event: event["kind"] == "engine")
        assert taken["text"].endswith("took it over from one that is gone")
        events.until(lambda event: event["state"] == "ready")
        running.run("restart", "data")
        handed = events.until(lambda event: "handed over by the one before" in event["text"])
        ids = [event["id"] for event in events.seen]
        assert ids == sorted(set(ids))
        assert told(running, "--since", str(handed["id"] - 1))[0] == handed


@pytest.mark.slow  # the engine tries for half a minute before it calls S3 away
def test_trouble_of_s3_and_its_end_are_told(
    running: Running, moto: S3Server, bucket: str, followed: Callable[..., Followed]
) -> None:
    broken = threading.Event()
    with FaultyProxy(moto.endpoint, lambda _seen: Answer(status=503) if broken.is_set() else None) as proxy:
        running.configure(proxy.endpoint, data={"bucket": bucket, "metadata_ttl": 0})
        with running.running("ready", "degraded"):
            events, watch = followed("events", "--follow"), followed("status", "--watch")
            assert watch.until(lambda status: status["health"] == "ready")
            broken.set()
            subprocess.run(["ls", running.mountpoint("data")], capture_output=True)
            trouble = events.until(lambda event: event["kind"] == "s3")
            assert trouble["state"] == "degraded"
            assert watch.until(lambda status: status["health"] == "degraded")
            assert running.run("wait", "data", "--timeout", "0.1").returncode == 124
            broken.clear()
            assert events.until(lambda event: event["kind"] == "s3")["text"] == "degraded -> ready"
            assert running.run("wait", "data", "--timeout", "30").returncode == 0


def test_reloads_refused_files_and_holds_are_told(running: Running, moto: S3Server, bucket: str) -> None:
    running.configure(moto, a={"bucket": bucket}, b={"bucket": bucket})
    with running.running("ready", "held"):
        running.configure(moto, a={"bucket": bucket}, c={"bucket": "not-there-at-all"})
        running.run("reload")
        running.config.write_text("nonsense = 1")
        running.run("reload")
        running.run("stop", "a")
        running.run("start", "a")
        events = told(running)
    begun, ended = about(events, "reload", None)
    assert begun == "a reload begins"
    assert ended == "reloaded: 2 of 3 mounts changed, 1 of them not as they should be"
    assert about(events, "reload", "a") == []
    assert about(events, "reload", "b") == ["removed"]
    assert about(events, "reload", "c")[0].startswith("added, backoff: bucket 'not-there-at-all' does not exist")
    [refused] = about(events, "config", None)
    assert "nonsense: unknown key" in refused
    assert about(events, "hold", "a") == ["stopped by root", "started: no longer held"]


def test_who_follows_hears_of_the_next_supervisor_what_he_had_not_heard_before(
    running: Running, moto: S3Server, bucket: str, followed: Callable[..., Followed]
) -> None:
    running.configure(moto, data={"bucket": bucket})
    running.start()
    running.wait_for_states("ready")
    events, watch = followed("events", "--follow"), followed("status", "--watch")
    first = events.until(lambda event: event["kind"] == "supervisor")
    watch.until(lambda status: status["health"] == "ready")
    running.crash()
    assert running.run("wait", "data", "--timeout", "0.3").returncode == 124
    running.start()
    second = events.until(lambda event: event["kind"] == "supervisor")
    assert second["id"] > first["id"]
    events.until(lambda event: "adopted engine" in event["text"])
    pid = running.process and running.process.pid
    watch.until(lambda status: status["supervisor"]["pid"] == pid and status["health"] == "ready")
    assert running.stop() == 0


def test_a_supervisor_that_has_just_begun_shows_what_it_will_mount(
    running: Running, moto: S3Server, bucket: str
) -> None:
    running.configure(moto, a={"bucket": bucket}, b={"bucket": bucket})
    waits = [
        subprocess.Popen([MOUNTCTL, "wait", *which, "--timeout", str(WAIT_SECONDS_MAX)], env=running.environment)
        for which in (["a", "b"], ["--all"])
    ]
    with running.running():
        assert [wait.wait() for wait in waits] == [0, 0]
        assert {mount["state"] for mount in running.status()["mounts"]} == {"ready"}


def test_the_log_of_a_mount_is_shown_from_where_it_is(
    running: Running, moto: S3Server, bucket: str, tmp_path: Path
) -> None:
    missing = {"bucket": "not-there-at-all"}
    running.configure(
        moto, a=missing, b=missing | {"log_directory": str(tmp_path / "logs")}, c=missing | {"no_log": True}
    )
    with running.running("backoff", "starting"):
        for name in "abc":
            running.wait_for(name, "backoff")
        a, b, c = (running.run("logs", name) for name in "abc")
        assert "ListObjectsV2 failed" in a.stdout  # what its engine says
        assert "starting -> backoff: bucket 'not-there-at-all'" in a.stdout  # what the supervisor says
        assert f"all of them go to its standard error, {running.log}" in a.stderr
        assert "ListObjectsV2 failed" in b.stdout
        assert b.stderr == f"mountctl: from {tmp_path}/logs/mountctl-b.log\n"
        assert "ListObjectsV2 failed" not in c.stdout
        assert "the mount has no-log" in c.stderr
        lines = [json.loads(line) for line in running.run("logs", "a", "--json", "--lines", "1").stdout.splitlines()]
        assert [line["mount"] for line in lines] == ["a"]
        assert running.run("logs", "d").returncode == 1
