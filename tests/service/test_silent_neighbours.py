"""Whoever the supervisor talks with may stop listening or answering: it tells its status all the same, and mounts
are served.
"""

import contextlib
import fcntl
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Final

import pytest

from tests.servers import S3Server
from tests.service.running import MOUNTCTL, Running, poll_until

# A second, and what a busy machine adds: one that hangs takes for ever.
STATUS_SECONDS_MAX: Final = 5.0
_PIPE_BYTES: Final = 4096


def assert_tells_its_status(running: Running) -> None:
    started = time.monotonic()
    assert running.status()["mounts"]
    assert time.monotonic() - started < STATUS_SECONDS_MAX


def test_a_log_that_nobody_reads_holds_up_neither_supervisor_nor_engines(running: Running, moto: S3Server) -> None:
    bucket = moto.bucket()
    moto.put(bucket, "x", b"read")
    running.configure(moto, data={"bucket": bucket, "debug": True})
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    os.write(writer, b"-" * _PIPE_BYTES)  # full from the start
    running.process = subprocess.Popen(
        [MOUNTCTL, "run"], env=running.environment, stderr=writer, stdin=subprocess.DEVNULL
    )
    try:
        running.wait_for_states("ready")
        for takeovers in (1, 2):
            (running.mountpoint("data") / f"missing-{takeovers}").exists()
            assert (running.mountpoint("data") / "x").read_bytes() == b"read"
            os.kill(running.mount("data")["engine"]["pid"], signal.SIGKILL)
            poll_until(lambda n=takeovers: running.mount("data")["engine"]["takeovers"] == n, "a takeover")  # type: ignore[misc]
            assert_tells_its_status(running)
        assert running.stop() == 0
    finally:
        running.kill()
        os.close(reader)
        os.close(writer)


def child(running: Running, name: str) -> int:
    """The supervisor's child with this in its name or on its command line."""
    assert running.process is not None
    task = Path(f"/proc/{running.process.pid}/task/{running.process.pid}")
    for pid in map(int, (task / "children").read_text().split()):
        told = Path(f"/proc/{pid}/comm").read_text() + Path(f"/proc/{pid}/cmdline").read_text()
        # What the zygote forks has its command line, and a name of its own.
        if name in told and (name.startswith("s3:") or "s3:" not in told):
            return pid
    raise AssertionError(f"no child is {name}")


@pytest.mark.parametrize("stopped", ["engine.zygote", "s3:broker", "holder.py"])
def test_a_helper_of_the_supervisor_that_is_stopped_holds_up_no_mount(
    running: Running, moto: S3Server, stopped: str
) -> None:
    bucket = moto.bucket()
    moto.put(bucket, "x", b"read")
    running.configure(moto, data={"bucket": bucket})

    with running.running():
        pid = child(running, stopped)
        os.kill(pid, signal.SIGSTOP)
        try:
            assert_tells_its_status(running)
            assert (running.mountpoint("data") / "x").read_bytes() == b"read"
            if stopped != "engine.zygote":  # without the broker a successor gets the keys that are known
                os.kill(running.mount("data")["engine"]["pid"], signal.SIGKILL)
                assert (running.mountpoint("data") / "x").read_bytes() == b"read"
            assert_tells_its_status(running)
        finally:
            with contextlib.suppress(ProcessLookupError):  # it was replaced meanwhile
                os.kill(pid, signal.SIGCONT)
