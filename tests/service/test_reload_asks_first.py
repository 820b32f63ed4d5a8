"""A reload has S3 asked for every mount that is new or changed, once, before it touches any; and for no other mount."""

import os
import signal
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from mountctl.supervisor import mount_api
from tests.faults import Answer, FaultyProxy, Seen
from tests.servers import MotoServer
from tests.service.running import MOUNTCTL, WAIT_SECONDS_MAX, Running, gone, poll_until
from tests.sink import SinkServer


class Gate:
    """A proxy that notes who is asked for what, by bucket, and lets requests for one bucket wait."""

    def __init__(self, proxy: FaultyProxy) -> None:
        self.proxy = proxy
        self.endpoint = proxy.endpoint
        self.shut: str | None = None
        self._open = threading.Event()
        proxy.decide = self._decide

    def _decide(self, seen: Seen) -> Answer | None:
        if self.shut is not None and bucket_of(seen) == self.shut:
            self._open.wait(WAIT_SECONDS_MAX)
        return None

    def open(self) -> None:
        self._open.set()

    def asked(self) -> Counter[str]:
        """Requests by bucket since the last call, but for signs of life every ten seconds (engine/health.py)."""
        seen, self.proxy.seen[:] = self.proxy.seen[:], []
        return Counter(bucket_of(each) for each in seen if each.method != "HEAD")


def bucket_of(seen: Seen) -> str:
    return urlsplit(seen.target).path.split("/")[1]


@pytest.fixture
def gate(moto: MotoServer) -> Iterator[Gate]:
    with FaultyProxy(moto.endpoint) as proxy:
        it = Gate(proxy)
        yield it
        it.open()


@pytest.fixture
def buckets(moto: MotoServer) -> dict[str, str]:
    """One for each mount, so that it is known whose requests come."""
    return {name: moto.bucket() for name in ("same", "gone", "handed", "moved", "replaced", "slow")}


def declared(running: Running, buckets: dict[str, str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What is in force, and what is wanted: a change of each class, and a new mount, `slow`."""
    before: dict[str, Any] = {name: {"bucket": bucket} for name, bucket in buckets.items() if name != "slow"}
    after = {name: dict(options) for name, options in before.items() if name != "gone"}
    after["handed"]["uid"] = 5
    after["moved"]["mountpoint"] = str(running.mountpoint("there"))
    after["replaced"]["prefix"] = "p/"
    after["slow"] = {"bucket": buckets["slow"]}
    return before, after


def known(running: Running) -> dict[str, tuple[str, int]]:
    """Place and engine of each mount that is mounted."""
    return {
        mount["name"]: (mount["mountpoint"], mount["engine"]["pid"])
        for mount in running.status()["mounts"]
        if mount["state"] in ("ready", "degraded")  # a busy machine may answer no sign of life in time
    }


def asking(running: Running, *arguments: str) -> "subprocess.Popen[str]":
    """A reload under way."""
    return subprocess.Popen(
        [MOUNTCTL, "reload", *arguments],
        env=running.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_nothing_is_touched_before_all_have_been_answered_and_each_is_asked_once(
    running: Running, gate: Gate, buckets: dict[str, str]
) -> None:
    before, after = declared(running, buckets)
    running.configure(gate.endpoint, **before)
    with running.running():
        places, serving = running.mounted(), known(running)
        assert gate.asked() == dict.fromkeys((buckets[name] for name in before), 1)
        gate.shut = buckets["slow"]
        running.configure(gate.endpoint, **after)
        with asking(running) as reload:
            asked: Counter[str] = Counter()
            changed = Counter({buckets[name]: 1 for name in ("handed", "replaced", "slow")})

            def all_asked() -> bool:
                asked.update(gate.asked())
                return asked >= changed

            poll_until(all_asked, "the changed mounts to be asked for")
            assert (running.mounted(), known(running)) == (places, serving)
            gate.open()
            told, errors = reload.communicate(timeout=WAIT_SECONDS_MAX)
        assert told.splitlines() == [
            "gone: removed",
            "handed: handed over",
            "moved: moved",
            "replaced: replaced",
            "same: unchanged",
            "slow: added",
        ], errors
        asked.update(gate.asked())
        assert asked == changed
        now = known(running)
        assert {name for name in serving.keys() & now.keys() if serving[name][1] == now[name][1]} == {"same", "moved"}


def test_with_atomic_one_that_is_refused_keeps_all_from_being_touched(
    running: Running, gate: Gate, buckets: dict[str, str]
) -> None:
    before, after = declared(running, buckets)
    running.configure(gate.endpoint, **before)
    with running.running():
        places, serving = running.mounted(), running.status()["mounts"]
        running.configure(gate.endpoint, **after | {"slow": {"bucket": "not-there-at-all"}})
        done = running.run("reload", "--atomic")
        assert done.returncode == 1
        assert "not reloaded: nothing was changed, because of slow (not added: " in done.stderr
        assert "not-there-at-all" in done.stderr
        assert [line for line in done.stdout.splitlines() if not line.endswith(": unchanged")] == [
            line for line in done.stdout.splitlines() if line.startswith("slow: not added: ")
        ]
        assert running.mounted() == places
        status = running.status()
        assert [(m["name"], m["engine"], m["mountpoint"]) for m in status["mounts"]] == [
            (m["name"], m["engine"], m["mountpoint"]) for m in serving
        ]
        assert (status["supervisor"]["generation"], status["health"]) == (1, "degraded")
        # What was prepared has been called off, and can be had the next time.
        running.configure(gate.endpoint, **after)
        assert "handed: handed over\n" in running.run("reload", "--atomic").stdout


def test_an_engine_that_dies_while_it_waits_for_the_others_changes_nothing_of_its_mount(
    running: Running, gate: Gate, buckets: dict[str, str]
) -> None:
    before, after = declared(running, buckets)
    running.configure(gate.endpoint, **before)
    with running.running():
        serving = known(running)
        gate.asked()
        gate.shut = buckets["slow"]
        running.configure(gate.endpoint, **after)
        with asking(running) as reload:
            waiting = {
                name: poll_until(lambda name=name: others(running, name), name) for name in ("handed", "replaced")
            }  # type: ignore[misc]
            poll_until(lambda: buckets["slow"] in gate.asked(), "the slow one to be asked for")
            for pid in waiting.values():
                os.kill(pid, signal.SIGKILL)
            poll_until(lambda: all(gone(pid) for pid in waiting.values()), "them to be dead")
            gate.open()
            told, errors = reload.communicate(timeout=WAIT_SECONDS_MAX)
        assert "handed: not handed over: " in told, errors
        assert "slow: added\n" in told
        now = known(running)
        assert now["handed"] == serving["handed"]
        running.wait_for("replaced", "ready")
        assert running.run("reload").returncode == 0


def test_an_engine_that_dies_while_others_are_asked_is_followed_by_one_that_asks_where_the_mount_is_served_from(
    running: Running, gate: Gate, moto: MotoServer, buckets: dict[str, str]
) -> None:
    names = ("handed", "replaced")
    for name in names:
        moto.put(buckets[name], "x", b"x")
    before: dict[str, Any] = {name: {"bucket": buckets[name], "metadata_ttl": 0} for name in names}
    running.configure(gate.endpoint, **before)
    with running.running(), FaultyProxy(moto.endpoint) as elsewhere:
        gate.shut = buckets["slow"]
        after = {name: options | {"endpoint_url": elsewhere.endpoint} for name, options in before.items()}
        after["replaced"] |= {"read_only": True}
        running.configure(gate.endpoint, **after, slow={"bucket": buckets["slow"]})
        with asking(running) as reload:
            asked = {buckets[name] for name in names}
            poll_until(lambda: asked <= {bucket_of(each) for each in elsewhere.seen}, "both to be asked for elsewhere")
            poll_until(lambda: buckets["slow"] in gate.asked(), "the slow one to be asked for")
            for name in names:
                os.kill(running.mount(name)["engine"]["pid"], signal.SIGKILL)
                assert (running.mountpoint(name) / "x").read_bytes() == b"x"
            assert asked <= gate.asked().keys()
            gate.open()
            told, errors = reload.communicate(timeout=WAIT_SECONDS_MAX)
        assert "handed: not handed over: its engine ended by itself meanwhile\n" in told, errors
        running.wait_for_states("ready")
        assert running.run("reload").stdout.splitlines()[0] == "handed: handed over"


def others(running: Running, name: str) -> int:
    """The process of a mount's engine that does not serve yet; 0 if there is none."""
    assert running.process is not None
    serving = running.mount(name)["engine"]["pid"]
    for pid in Path(f"/proc/{running.process.pid}/task/{running.process.pid}/children").read_text().split():
        if int(pid) != serving and Path(f"/proc/{pid}/comm").read_text().strip() == f"s3:{name}":
            return int(pid)
    return 0


@pytest.mark.parametrize("count", [12, pytest.param(200, marks=pytest.mark.slow)])
def test_a_reload_of_one_mount_asks_for_that_one_once_and_for_no_other(running: Running, count: int) -> None:
    with SinkServer() as sink, FaultyProxy(sink.endpoint) as proxy:
        gate = Gate(proxy)
        mounts: dict[str, dict[str, Any]] = {f"m{number}": {"bucket": sink.bucket()} for number in range(count)}
        bucket = mounts["m0"]["bucket"]
        running.configure(gate.endpoint, **mounts)
        with running.running():
            before = known(running)
            assert gate.asked() == dict.fromkeys((mount["bucket"] for mount in mounts.values()), 1)
            changes: list[tuple[dict[str, Any], str, dict[str, int]]] = [
                ({"debug": True}, "changed live", {}),
                ({"uid": 5}, "handed over", {bucket: 1}),
                ({"prefix": "p/"}, "replaced", {bucket: 1}),
                ({"mountpoint": str(running.mountpoint("there"))}, "moved", {}),
            ]
            for options, result, requests in changes:
                mounts["m0"] |= options
                running.configure(gate.endpoint, **mounts)
                done = running.run("reload")
                told = [line for line in done.stdout.splitlines() if not line.endswith(": unchanged")]
                assert (told, done.returncode) == ([f"m0: {result}"], 0), done.stderr
                assert gate.asked() == requests
            now = known(running)
            assert {name for name in before if now[name] != before[name]} == {"m0"}


def test_what_somebody_does_to_mounts_during_a_reload_is_told_and_what_is_his_stays(
    running: Running, gate: Gate, buckets: dict[str, str]
) -> None:
    before, after = declared(running, buckets)
    running.configure(gate.endpoint, **before)
    with running.running():
        gate.asked()
        gate.shut = buckets["slow"]
        running.configure(gate.endpoint, **after)
        covered = [running.mountpoint(name) for name in ("gone", "moved", "slow")]
        running.mountpoint("slow").mkdir()
        with asking(running) as reload:
            poll_until(lambda: others(running, "replaced"), "the other engine")
            poll_until(lambda: buckets["slow"] in gate.asked(), "the slow one to be asked for")
            mount_api.umount(str(running.mountpoint("replaced")), lazily=True)
            for path in covered:
                subprocess.run(["mount", "-t", "tmpfs", "theirs", path], check=True)
            gate.open()
            told, errors = reload.communicate(timeout=WAIT_SECONDS_MAX)
        over, there = "theirs (tmpfs) is mounted over it at {}", "theirs (tmpfs) is already mounted at {}"
        results = dict(line.split(": ", 1) for line in told.splitlines())
        # It is made anew as it was, or was replaced before that.
        assert results.pop("replaced").removeprefix("not ").startswith("replaced"), errors
        assert results == {
            "gone": f"removed, but its mount is left: {over.format(covered[0])}",
            "handed": "handed over",
            "moved": f"not moved: {over.format(covered[1])}: unmount that first",
            "same": "unchanged",
            "slow": f"added, backoff: {there.format(covered[2])}: unmount it or choose another mountpoint",
        }, errors
        for path in covered:
            mount_api.umount(str(path))  # theirs is on top still
        mount_api.umount(str(covered[0]), lazily=True)  # ours, dead
        running.wait_for_states("ready")
        told = running.run("reload").stdout
        assert "moved: moved\n" in told
        assert running.mount("replaced")["source"].endswith("/p/")
        assert running.run("plan").returncode == 0
