"""Mounts outlive the pod of the supervisor and the pod of the node plugin, whichever goes, and however."""

import errno
import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.csi.pods import OWN_PROCESSES, Node
from tests.servers import MotoServer
from tests.service.running import WAIT_SECONDS_MAX, poll_until

# A program with a file open: reads half, and the rest when it is told to.
READER = """
import sys
with open(sys.argv[1], "rb", buffering=0) as file:
    half = file.read(1)
    print("open", flush=True)
    sys.stdin.readline()
    sys.stdout.write((half + file.read()).decode())
"""
# A program that writes a large file: so much of it, and the rest when it is told to.
WRITER = """
import hashlib, os, sys
data = os.urandom(30_000_000)
with open(sys.argv[1], "wb", buffering=0) as file:
    file.write(data[:19_000_000])
    print("written", flush=True)
    sys.stdin.readline()
    file.write(data[19_000_000:25_000_000])
    file.write(data[25_000_000:])
print(hashlib.sha256(data).hexdigest())
"""
CONTENT = b"still here"


class Reader:
    """A program that has a file of the mount open over whatever happens."""

    def __init__(self, node: Node) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", READER, node.mountpoint("data") / "x"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "open\n"

    def rest(self) -> str:
        """What it has read, now that it may read the rest; it must end without an error."""
        told, _ = self.process.communicate("\n", timeout=WAIT_SECONDS_MAX)
        assert self.process.returncode == 0
        return told


class Writer:
    """A program that is writing `big` over whatever happens."""

    def __init__(self, node: Node) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", WRITER, node.mountpoint("data") / "big"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "written\n"

    def rest(self) -> tuple[str, str]:
        """It writes the rest. Returns the digest of all that it has written, and its errors."""
        told, errors = self.process.communicate("\n", timeout=WAIT_SECONDS_MAX)
        return told.strip(), errors


@pytest.fixture
def bucket(moto: MotoServer) -> str:
    made = moto.bucket()
    moto.put(made, "x", CONTENT)
    return made


@pytest.fixture
def served(node: Node, moto: MotoServer, bucket: str) -> Node:
    """One mount, `data`, ready, and the holder has all of it."""
    node.configure(moto, data={"bucket": bucket})
    node.start()
    node.wait_for("data", "ready")
    node.poll_holder("present")
    return node


def follow(node: Node) -> None:
    """Another supervisor's pod comes, and serves the mount."""
    node.start()
    node.wait_for("data", "ready")


def test_readers_go_on_when_all_of_the_supervisors_pod_is_killed(served: Node) -> None:
    reader, number = Reader(served), mount_id(served)
    served.kill_supervisor()
    follow(served)
    assert reader.rest() == CONTENT.decode()
    assert mount_id(served) == number
    assert served.mount("data")["engine"]["takeovers"] == 1
    served.poll_holder("present")


def test_readers_go_on_when_the_supervisors_pod_is_told_to_end(served: Node) -> None:
    reader, number = Reader(served), mount_id(served)

    assert served.stop() == 0, served.log_text()
    follow(served)
    assert reader.rest() == CONTENT.decode()
    assert mount_id(served) == number


def test_readers_and_writers_go_on_where_the_supervisors_pod_does_not_see_the_hosts_processes(
    node: Node, moto: MotoServer, bucket: str
) -> None:
    node.unshared = OWN_PROCESSES
    node.configure(moto, data={"bucket": bucket})
    node.start()
    node.wait_for("data", "ready")
    node.poll_holder("present")
    reader = Reader(node)
    node.kill_supervisor()
    follow(node)
    assert reader.rest() == CONTENT.decode()
    writer = Writer(node)
    digest, errors = writer.rest()
    assert errors == ""
    assert hashlib.sha256((node.mountpoint("data") / "big").read_bytes()).hexdigest() == digest
    assert "pyfuse3" not in node.log_text()


def test_what_is_being_written_goes_on_when_the_supervisors_pod_is_told_to_end(
    served: Node, moto: MotoServer, bucket: str
) -> None:
    writer = Writer(served)
    assert served.stop() == 0, served.log_text()
    follow(served)
    digest, errors = writer.rest()

    assert errors == ""
    assert hashlib.sha256(moto.boto.get_object(Bucket=bucket, Key="big")["Body"].read()).hexdigest() == digest
    assert "Uploads" not in moto.boto.list_multipart_uploads(Bucket=bucket)


def test_what_is_being_written_goes_on_over_two_ends_one_after_the_other(
    served: Node, moto: MotoServer, bucket: str
) -> None:
    writer = Writer(served)
    for _ in range(2):
        assert served.stop() == 0, served.log_text()
        follow(served)
    digest, errors = writer.rest()

    assert errors == ""
    assert hashlib.sha256(moto.boto.get_object(Bucket=bucket, Key="big")["Body"].read()).hexdigest() == digest


def test_what_is_being_written_fails_when_all_of_the_supervisors_pod_is_killed(
    served: Node, moto: MotoServer, bucket: str
) -> None:
    writer = Writer(served)
    served.kill_supervisor()
    follow(served)
    _, errors = writer.rest()

    assert "Input/output error" in errors
    assert [found["Key"] for found in moto.boto.list_objects_v2(Bucket=bucket)["Contents"]] == ["x"]


def test_a_holder_that_was_killed_is_filled_again(served: Node) -> None:
    reader = Reader(served)
    old = served.holder_process()
    os.kill(old, signal.SIGKILL)
    poll_until(lambda: served.holder_process() != old, "another holder")
    served.poll_holder("present")
    served.kill_supervisor()
    follow(served)
    assert reader.rest() == CONTENT.decode()


def test_the_pod_of_the_node_plugin_may_be_another_one(served: Node) -> None:
    reader = Reader(served)
    served.kill_holder()
    served.poll_holder("absent")
    assert "its mounts end with it" in served.run("status").stdout.replace("\n", " ")
    served.start_holder()
    served.poll_holder("present")
    assert served.status()["supervisor"]["fd_holder_reason"] is None
    served.kill_supervisor()
    follow(served)
    assert reader.rest() == CONTENT.decode()


def test_the_end_of_the_supervisor_waits_for_a_holder_that_is_away(served: Node) -> None:
    reader = Reader(served)
    served.kill_holder()
    served.poll_holder("absent")
    assert served.process is not None
    served.process.send_signal(signal.SIGTERM)
    poll_until(lambda: "waiting for the FD holder" in served.log_text(), "it to wait")
    served.start_holder()
    assert served.process.wait(WAIT_SECONDS_MAX) == 0
    follow(served)
    assert reader.rest() == CONTENT.decode()


def test_without_a_holder_the_end_of_the_supervisor_unmounts(node: Node, moto: MotoServer, bucket: str) -> None:
    node.kill_holder()
    node.environment["MOUNTCTL_LEAVE_SECONDS"] = "0"
    node.configure(moto, data={"bucket": bucket})
    node.start()
    node.wait_for("data", "ready")

    assert node.stop() == 0
    assert str(node.mountpoint("data")) not in node.mounted()


def test_both_pods_killed_at_once_leave_a_dead_mount_that_the_next_supervisor_replaces(served: Node) -> None:
    served.kill_holder()
    served.kill_supervisor()
    # Gone: other supervisors on this host may take away what is dead.
    dead = (errno.ENOTCONN, errno.ENOENT)
    poll_until(lambda: error_of(served.mountpoint("data") / "x") in dead, "the mount to be dead")
    served.start_holder()
    follow(served)

    assert (served.mountpoint("data") / "x").read_bytes() == CONTENT


def test_the_node_plugins_end_waits_for_a_supervisor_that_takes_what_only_it_has(served: Node) -> None:
    reader = Reader(served)
    assert served.stop() == 0
    assert served.pod is not None
    served.pod.send_signal(signal.SIGTERM)
    follow(served)

    served.pod.communicate(timeout=WAIT_SECONDS_MAX)
    assert served.pod.returncode == 0
    served.pod = None
    assert reader.rest() == CONTENT.decode()


def test_a_volume_of_the_same_mount_elsewhere_is_not_taken_for_it(served: Node) -> None:
    volume = served.work / "volume"
    volume.mkdir()
    subprocess.run(["mount", "--bind", served.mountpoint("data"), volume], check=True)
    served.kill_supervisor()
    follow(served)

    assert (volume / "x").read_bytes() == CONTENT
    assert served.run("stop", "data").returncode == 0
    assert str(served.mountpoint("data")) not in served.mounted()
    assert str(volume) not in served.log_text()  # it is dead now, and other supervisors on this host may take it away


def error_of(path: Path) -> int | None:
    """What reading it fails with."""
    try:
        path.read_bytes()
    except OSError as error:
        return error.errno
    return None


def mount_id(node: Node) -> str:
    """Of the mount as this namespace has it: it is the same one as long as nobody has mounted it anew."""
    lines = [line.split() for line in Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines()]
    return next(fields[0] for fields in lines if fields[4] == str(node.mountpoint("data")))
