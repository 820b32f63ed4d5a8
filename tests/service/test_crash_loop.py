"""Engines that die again and again on the same mount, and the operator who has it tried again."""

import os
import signal
from typing import Any

import pytest

from tests.servers import S3Server
from tests.service.poison import end_of, looking_up
from tests.service.running import Running, poll_until


def test_a_crash_loop_ends_as_failed_with_the_reason_and_programs_get_errors(poisoned: Running, moto: S3Server) -> None:
    bucket = moto.bucket()
    moto.put(bucket, "x", b"again")
    poisoned.configure(moto, data={"bucket": bucket}, other={"bucket": bucket})

    with poisoned.running():
        program = looking_up(poisoned.mountpoint("data") / "poison-crash")
        failed = poisoned.wait_for("data", "failed")
        assert end_of(program) in ("103", "107")  # ECONNABORTED, ENOTCONN
        assert "5 engines died within 60 s" in failed["reason"]
        assert "SIGABRT" in failed["reason"]
        assert "poison-crash" in failed["reason"]
        assert failed["engine"]["pid"] is None
        assert poisoned.mount("other")["state"] == "ready"
        assert poisoned.run("status").returncode == 3
        assert poisoned.run("status", "data").returncode == 4
        # The path is no empty directory that programs could take for an empty bucket: it gives errors.
        with pytest.raises(OSError, match="not connected"):
            os.listdir(poisoned.mountpoint("data"))

        restarted = poisoned.run("restart", "data")
        assert restarted.stdout == "data: restarted\n"
        assert restarted.returncode == 0
        assert (poisoned.mountpoint("data") / "x").read_bytes() == b"again"
        assert poisoned.mounted().count(str(poisoned.mountpoint("data"))) == 1


def test_a_failed_mount_is_unmounted_at_the_end(poisoned: Running, moto: S3Server) -> None:
    poisoned.configure(moto, data={"bucket": moto.bucket()})

    with poisoned.running():  # asserts that nothing is mounted when it is over
        program = looking_up(poisoned.mountpoint("data") / "poison-exit")
        assert "exited with 9" in poisoned.wait_for("data", "failed")["reason"]
        end_of(program)


def test_engines_killed_by_somebody_often_are_no_crash_loop(running: Running, moto: S3Server) -> None:
    bucket = moto.bucket()
    moto.put(bucket, "x", b"still")
    running.configure(moto, data={"bucket": bucket})

    with running.running():
        for takeovers in range(1, 9):
            os.kill(running.mount("data")["engine"]["pid"], signal.SIGKILL)
            poll_until(lambda n=takeovers: running.mount("data")["engine"]["takeovers"] == n, "a takeover")  # type: ignore[misc]
        assert (running.mountpoint("data") / "x").read_bytes() == b"still"
        assert running.mount("data")["state"] == "ready"


def test_a_restart_of_a_ready_mount_is_another_engine_on_the_same_mount(running: Running, moto: S3Server) -> None:
    bucket = moto.bucket()
    moto.put(bucket, "x", b"x" * 100_000)
    running.configure(moto, data={"bucket": bucket})

    with running.running():
        before = running.mount("data")["engine"]["pid"]
        fd = os.open(running.mountpoint("data") / "x", os.O_RDONLY)
        try:
            assert running.run("restart", "data").stdout == "data: restarted\n"
            assert os.pread(fd, 100_000, 0) == b"x" * 100_000
        finally:
            os.close(fd)
        mount = running.mount("data")
        assert mount["engine"]["pid"] != before
        assert mount["engine"]["takeovers"] == 0
        assert mount["engine"]["handovers"] == 1
        assert running.run("restart", "nobody").returncode == 1


def test_a_restart_of_a_mount_in_backoff_tries_it_now(running: Running, moto: Any) -> None:
    running.configure(moto, data={"bucket": "bucket-for-a-restart"})

    with running.running("backoff", "starting"):
        running.wait_for("data", "backoff")
        refused = running.run("restart", "data")
        assert refused.returncode == 1
        assert refused.stdout.startswith("data: restarted, backoff: ")
        moto.bucket("bucket-for-a-restart")
        poll_until(lambda: running.run("restart", "data").returncode == 0, "a restart to succeed")
