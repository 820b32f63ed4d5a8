"""Mounts that supervisors before have left, with nothing to go on with: taken away; those of others are left alone."""

import os
import signal
import subprocess
from collections.abc import Iterator

import pytest

from mountctl.supervisor import mountinfo
from tests.servers import S3Server
from tests.service.running import Running, gone, poll_until


@pytest.fixture
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A place for another supervisor, with another runtime directory."""
    it = Running(tmp_path_factory.mktemp("other"))
    yield it
    it.kill()


@pytest.fixture
def bucket(moto: S3Server) -> str:
    bucket = moto.bucket()
    moto.put(bucket, "x", b"here")
    return bucket


def leave_dead(running: Running) -> None:
    """Kill the supervisor and all that outlives it: what it has mounted stays, dead."""
    holder, engines = running.holder(), [mount["engine"]["pid"] for mount in running.status()["mounts"]]
    assert holder is not None
    running.crash()
    os.kill(holder, signal.SIGKILL)
    poll_until(lambda: all(gone(pid) for pid in engines), "the engines that nobody holds to end")


def test_a_dead_mount_at_a_path_that_the_file_no_longer_has_is_taken_away(
    running: Running, moto: S3Server, bucket: str
) -> None:
    running.configure(moto, old={"bucket": bucket})
    running.start()
    running.wait_for("old", "ready")
    leave_dead(running)
    running.configure(moto, new={"bucket": bucket})

    with running.running():
        assert running.mounted() == [str(running.mountpoint("new"))]


def test_a_dead_mount_is_taken_away_without_a_state_file_too(running: Running, moto: S3Server, bucket: str) -> None:
    running.configure(moto, old={"bucket": bucket})
    running.start()
    running.wait_for("old", "ready")
    leave_dead(running)
    (state,) = (running.work / "state" / "mounts").iterdir()
    state.unlink()
    running.configure(moto, new={"bucket": bucket})

    with running.running():
        poll_until(lambda: running.mounted() == [str(running.mountpoint("new"))], "the old one to be taken away")


def test_what_is_mounted_over_a_dead_mount_is_left_alone_and_named(
    running: Running, moto: S3Server, bucket: str
) -> None:
    running.configure(moto, data={"bucket": bucket})
    running.start()
    running.wait_for("data", "ready")
    place = str(running.mountpoint("data"))
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", place], check=True)
    leave_dead(running)

    with running.running("backoff"):
        assert "tmpfs (tmpfs) is already mounted" in running.mount("data")["reason"]
        assert "tmpfs is mounted over it" in running.log_text()
        top = mountinfo.at(place)
        assert top is not None
        assert top.fstype == "tmpfs"
        subprocess.run(["umount", place], check=True)
        running.wait_for("data", "ready")
        assert (running.mountpoint("data") / "x").read_bytes() == b"here"


def test_the_mounts_of_another_supervisor_are_not_touched(
    running: Running, other: Running, moto: S3Server, bucket: str
) -> None:
    other.configure(moto, theirs={"bucket": bucket})
    running.configure(moto, ours={"bucket": bucket})
    with other.running():
        before = mountinfo.at(str(other.mountpoint("theirs")))
        running.start()
        running.wait_for("ours", "ready")
        leave_dead(running)
        with running.running():
            assert mountinfo.at(str(other.mountpoint("theirs"))) == before
            assert (other.mountpoint("theirs") / "x").read_bytes() == b"here"


def test_a_supervisor_that_was_stopped_leaves_no_state_file(running: Running, moto: S3Server, bucket: str) -> None:
    running.configure(moto, data={"bucket": bucket})
    with running.running():
        assert len(list((running.work / "state" / "mounts").iterdir())) == 1

    assert list((running.work / "state" / "mounts").iterdir()) == []
