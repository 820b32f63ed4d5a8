"""Many deaths, one after the other, while programs read, list, stat and write: none of them sees anything."""

import contextlib
import os
import signal
from typing import Any

import pytest

from mountctl.supervisor.abilities import FORCE_VARIABLE
from tests.servers import MotoServer
from tests.service.programs import Writer, filled, reading
from tests.service.running import Running, poll_until

READERS = 4


@pytest.fixture
def bucket(moto: MotoServer) -> str:
    return filled(moto)


# What the readers are to have had of an engine before the next one dies.
ANSWERS = 20


def kill_engine(running: Running, number: int) -> None:
    """Kill the engine, and wait until another one serves, and has answered something."""
    before = running.mount("m")

    def answered(mount: dict[str, Any]) -> int:
        return sum(mount["stats"]["fuse_requests"].values())

    os.kill(before["engine"]["pid"], number)

    def served() -> bool:
        mount = running.mount("m")
        taken = mount["engine"]["takeovers"] > before["engine"]["takeovers"]
        return bool(taken and mount["state"] == "ready" and answered(mount) >= answered(before) + ANSWERS)

    poll_until(served, "another engine to answer")


def storm(running: Running, moto: MotoServer, bucket: str, kills: int, *, exact: bool = True) -> None:
    running.configure(moto, m={"bucket": bucket})
    with running.running():
        with reading(running.mountpoint("m"), READERS, exact=exact) as longest:
            for _ in range(kills):
                kill_engine(running, signal.SIGKILL)
        assert running.mount("m")["engine"]["takeovers"] == kills
    print(f"{kills} engines killed: longest calls {sorted(longest)} s")


def test_engines_killed_one_after_the_other_are_not_noticed(running: Running, moto: MotoServer, bucket: str) -> None:
    storm(running, moto, bucket, 5)


@pytest.mark.slow
def test_50_engines_killed_one_after_the_other_are_not_noticed(running: Running, moto: MotoServer, bucket: str) -> None:
    storm(running, moto, bucket, 50)


@pytest.mark.slow
def test_50_engines_killed_on_an_old_kernel_are_not_noticed_by_those_who_repeat_what_was_interrupted(
    running: Running, moto: MotoServer, bucket: str
) -> None:
    running.environment[FORCE_VARIABLE] = "no-resend,no-beneath"
    storm(running, moto, bucket, 50, exact=False)


@pytest.mark.slow
def test_supervisors_killed_one_after_the_other_are_not_noticed(
    running: Running, moto: MotoServer, bucket: str
) -> None:
    running.configure(moto, m={"bucket": bucket})
    with running.running(), contextlib.ExitStack() as stack:
        engine = running.mount("m")["engine"]["pid"]
        writer = Writer(running.mountpoint("m") / "new", 21)
        stack.callback(writer.close)
        with reading(running.mountpoint("m"), READERS) as longest:
            for _ in range(10):
                assert running.process is not None
                running.process.kill()
                running.process.wait()
                writer.go_on(1)
                running.start()
                running.wait_for_states("ready")
                writer.go_on(1)
        assert running.mount("m")["engine"]["pid"] == engine
        writer.finish()
        assert moto.boto.get_object(Bucket=bucket, Key="new")["Body"].read() == writer.content
    print(f"10 supervisors killed: longest calls {sorted(longest)} s")


@pytest.mark.slow
def test_handovers_deaths_and_stops_in_turn_are_not_noticed(running: Running, moto: MotoServer, bucket: str) -> None:
    running.configure(moto, m={"bucket": bucket})
    with running.running(), contextlib.ExitStack() as stack:
        with reading(running.mountpoint("m"), READERS) as longest:
            for number in range(6):
                writer = Writer(running.mountpoint("m") / f"new{number}", 20)
                stack.callback(writer.close)
                for _ in range(3):
                    writer.go_on(5)
                    assert running.run("restart", "m").stdout == "m: restarted\n"
                writer.finish()
                found = moto.boto.get_object(Bucket=bucket, Key=f"new{number}")["Body"].read()
                assert found == writer.content
                kill_engine(running, signal.SIGSTOP if number in (1, 4) else signal.SIGKILL)
        assert "Uploads" not in moto.boto.list_multipart_uploads(Bucket=bucket)
    print(f"18 handovers, 4 deaths, 2 stops: longest calls {sorted(longest)} s")
