"""Engines that live and do nothing: stopped, busy without end, not reading. And S3 that only seems to be like that."""

import os
import signal
import time

import pytest

from mountctl.supervisor.hangs import SILENT_SECONDS
from tests.faults import Answer, FaultyProxy
from tests.servers import S3Server
from tests.service.poison import end_of, looking_up
from tests.service.running import Running, poll_until

# What whoever asks for the status waits for it, whatever hangs: a second, and what a busy machine adds.
STATUS_SECONDS_MAX = 5.0


def told_in_time(running: Running) -> dict[str, object]:
    """The mount, while something hangs: an answer that never comes fails the test."""
    started = time.monotonic()
    mount = running.mount("data")
    assert time.monotonic() - started < STATUS_SECONDS_MAX
    return mount


def recovered(running: Running) -> dict[str, object]:
    """The mount once another engine serves it, asked for all the while."""
    return poll_until(
        lambda: (
            (mount := told_in_time(running))["state"] == "ready"
            and mount["engine"]["takeovers"] > 0  # type: ignore[index]
            and mount
        ),
        "another engine",
    )  # type: ignore[return-value]


def test_a_stopped_engine_is_noticed_and_replaced_and_its_readers_go_on(running: Running, moto: S3Server) -> None:
    bucket = moto.bucket()
    moto.put(bucket, "x", b"x" * 300_000)
    running.configure(moto, data={"bucket": bucket}, other={"bucket": bucket})

    with running.running():
        other, old = (running.mount(name)["engine"]["pid"] for name in ("other", "data"))
        os.kill(old, signal.SIGSTOP)
        assert (running.mountpoint("data") / "x").read_bytes() == b"x" * 300_000
        mount = recovered(running)

        assert mount["engine"]["last_exit"].startswith("killed: no heartbeat for ")  # type: ignore[index]
        assert "it is stopped" in mount["engine"]["last_exit"]  # type: ignore[index]
        assert running.mount("other")["engine"]["pid"] == other
    assert "the engine hung: no heartbeat for" in running.log_text()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("poison", "why"), [("spin", "busy with something that has no end"), ("wedge", "has read no request for")]
)
def test_an_engine_that_hangs_on_a_request_is_replaced_in_the_end_with_its_session(
    poisoned: Running, moto: S3Server, poison: str, why: str
) -> None:
    """Its successors are sent the same request, and hang as well: then it is failed, and all others are served."""
    bucket = moto.bucket()
    moto.put(bucket, "x", b"x")
    poisoned.configure(moto, data={"bucket": bucket})

    with poisoned.running():
        program = looking_up(poisoned.mountpoint("data") / f"poison-{poison}")
        others = []
        if poison == "wedge":  # only what comes behind shows that nobody reads
            poll_until(
                lambda: poisoned.mount("data")["stats"]["fuse_requests"].get("lookup"), "the request that wedges it"
            )
            others = [looking_up(poisoned.mountpoint("data") / "nothing") for _ in range(2)]
        last_exit = poll_until(lambda: told_in_time(poisoned)["engine"]["last_exit"], "the first to be replaced")  # type: ignore[index]
        assert why in last_exit
        assert end_of(program) in ("103", "107")  # ECONNABORTED, ENOTCONN
        for other in others:
            end_of(other)
        poisoned.wait_for("data", "ready")
        assert (poisoned.mountpoint("data") / "x").read_bytes() == b"x"
        assert poisoned.mounted() == [str(poisoned.mountpoint("data"))]


@pytest.mark.slow
def test_an_engine_that_waits_for_an_s3_that_accepts_and_never_answers_is_left_alone(
    running: Running, moto: S3Server
) -> None:
    bucket = moto.bucket()
    moto.put(bucket, "x", b"x" * 300_000)
    with FaultyProxy(moto.endpoint) as proxy:
        running.configure(proxy.endpoint, data={"bucket": bucket, "max_threads": 2})
        with running.running():
            engine = running.mount("data")["engine"]["pid"]
            proxy.decide = lambda _seen: Answer(never=True)
            # More than it reads at once: the kernel keeps requests that nobody has read.
            programs = [looking_up(running.mountpoint("data") / f"name-{number}") for number in range(4)]
            degraded = running.wait_for("data", "degraded")
            assert degraded["engine"]["pid"] == engine
            proxy.decide = lambda _seen: None
            running.wait_for("data", "ready")
            assert [end_of(program) for program in programs] == ["2"] * 4  # ENOENT
            mount = told_in_time(running)
            assert mount["engine"]["pid"] == engine  # type: ignore[index]
            assert mount["engine"]["last_exit"] is None  # type: ignore[index]


def test_a_stopped_engine_does_not_hold_up_the_end_of_its_supervisor(running: Running, moto: S3Server) -> None:
    running.configure(moto, data={"bucket": moto.bucket()})

    with running.running():  # asserts that it ends well and that nothing is mounted afterwards
        os.kill(running.mount("data")["engine"]["pid"], signal.SIGSTOP)
        program = looking_up(running.mountpoint("data") / "x")

    assert end_of(program) in ("2", "103", "107")  # ENOENT: it came too late for the mount


@pytest.mark.slow
def test_a_supervisor_that_was_stopped_for_a_while_kills_no_engine(running: Running, moto: S3Server) -> None:
    bucket = moto.bucket()
    moto.put(bucket, "x", b"x")
    running.configure(moto, data={"bucket": bucket})

    with running.running():
        assert running.process is not None
        engine = running.mount("data")["engine"]["pid"]
        os.kill(running.process.pid, signal.SIGSTOP)
        time.sleep(2 * SILENT_SECONDS)
        os.kill(running.process.pid, signal.SIGCONT)
        before = running.mount("data")["stats"]["fuse_requests"].get("lookup", 0)
        (running.mountpoint("data") / "x").read_bytes()
        poll_until(
            lambda: running.mount("data")["stats"]["fuse_requests"].get("lookup", 0) > before, "another heartbeat"
        )
        assert running.mount("data")["engine"]["pid"] == engine
