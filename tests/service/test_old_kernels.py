"""What is done on kernels that can less: requests in flight at a crash, and sessions that take another's place."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from mountctl.supervisor.abilities import FORCE_VARIABLE
from tests.faults import Answer, FaultyProxy
from tests.servers import S3Server
from tests.service.poison import end_of, looking_up
from tests.service.running import Running, poll_until

EINTR: Final = "4"
ENOENT: Final = "2"

# Opens and reads until it is ended. Python makes most calls again that end with EINTR, but not fstat in its open.
_READER: Final = """
import os, sys
paths = [os.path.join(sys.argv[1], f"f{number}") for number in range(10)]
while True:
    for number, path in enumerate(paths):
        while True:
            try:
                file = open(path, "rb", buffering=0)
                break
            except InterruptedError:
                continue
        found = b""
        while True:
            try:
                piece = file.read(20_000)
            except InterruptedError:
                continue
            found += piece
            if not piece:
                break
        assert found == b"%d" % number * 70_000, path
        try:
            file.close()
        except InterruptedError:
            continue
"""


@pytest.fixture
def old(running: Running) -> Running:
    """A supervisor that takes its kernel for an old one, such as Debian 12's."""
    running.environment[FORCE_VARIABLE] = "no-resend,no-beneath"
    return running


def kill_engine(running: Running) -> None:
    """Kill the engine and wait for its successor."""
    engine = running.mount("data")["engine"]
    os.kill(engine["pid"], signal.SIGKILL)
    poll_until(lambda: running.mount("data")["engine"]["takeovers"] > engine["takeovers"], "the takeover")


def opened(running: Running) -> int:
    """How many files were opened. (What is read of them, the kernel soon has.)"""
    count: int = running.mount("data")["stats"]["fuse_requests"].get("open", 0)
    return count


def test_what_a_killed_engine_had_read_ends_with_eintr_and_what_it_had_not_is_served(
    old: Running, moto: S3Server
) -> None:
    with FaultyProxy(moto.endpoint) as proxy:
        old.configure(proxy.endpoint, data={"bucket": moto.bucket(), "max_threads": 2})
        with old.running():
            assert old.mount("data")["session"]["takeover"] == "interrupt"
            assert old.mount("data")["session"]["replace"] == "gap"
            proxy.decide = lambda _seen: Answer(never=True)
            taken = old.mount("data")["stats"]["fuse_requests"].get("lookup", 0) + 2
            programs = [looking_up(old.mountpoint("data") / f"name-{number}") for number in range(6)]
            poll_until(
                lambda: old.mount("data")["stats"]["fuse_requests"].get("lookup", 0) >= taken, "requests to be read"
            )
            proxy.decide = lambda _seen: None
            kill_engine(old)
            said = [end_of(program) for program in programs]
            last_exit = old.wait_for("data", "ready")["engine"]["last_exit"]

    assert last_exit.startswith("killed by SIGKILL, while it served lookup of ")
    assert set(said) == {EINTR, ENOENT}
    # Two were read by the engine, one by who looked for the newest number.
    assert 2 <= said.count(EINTR) <= 3


def test_readers_that_repeat_what_was_interrupted_see_no_error_over_many_crashes(old: Running, moto: S3Server) -> None:
    bucket = moto.bucket()
    for number in range(10):
        moto.put(bucket, f"f{number}", b"%d" % number * 70_000)
    old.configure(moto, data={"bucket": bucket})

    with old.running():
        readers = [
            subprocess.Popen([sys.executable, "-c", _READER, old.mountpoint("data")], stderr=subprocess.PIPE)
            for _ in range(2)
        ]
        try:
            for _ in range(3):
                before = opened(old)
                poll_until(lambda b=before: opened(old) > b, "the readers to go on")  # type: ignore[misc]
                kill_engine(old)
            assert [reader.poll() for reader in readers] == [None, None]
        finally:
            for reader in readers:
                reader.terminate()
            errors = [reader.communicate(timeout=60)[1] for reader in readers]

    assert errors == [b"", b""]


def test_a_session_that_is_given_up_is_replaced_with_a_gap(old: Running, moto: S3Server) -> None:
    bucket = moto.bucket()
    moto.put(bucket, "x", b"x")
    old.configure(moto, data={"bucket": bucket})

    with old.running():
        # The directory it is: an aborted mount that is busy stays.
        holder = os.open(old.mountpoint("data"), os.O_PATH)
        subprocess.run(["umount", "--force", old.mountpoint("data")], stderr=subprocess.DEVNULL)
        os.close(holder)
        assert old.wait_for("data", "ready")
        poll_until(lambda: _answers(old.mountpoint("data") / "x"), "a new session")
        assert old.mounted() == [str(old.mountpoint("data"))]
    assert "somebody else ended its FUSE connection" in old.log_text()


def _answers(path: Path) -> bool:
    try:
        return path.read_bytes() == b"x"
    except OSError:
        return False
