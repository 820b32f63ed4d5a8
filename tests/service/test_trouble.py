"""What goes wrong around a supervisor, and what it makes of it."""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.ports import reserved_port
from tests.servers import MotoServer, S3Server
from tests.service.running import Running, poll_until


def test_a_killed_engine_is_replaced_on_the_same_mount(running: Running, moto: S3Server) -> None:
    bucket = moto.bucket()
    moto.put(bucket, "x", b"before and after")
    running.configure(moto, data={"bucket": bucket}, other={"bucket": bucket})

    with running.running():
        path = running.mountpoint("data") / "x"
        assert path.read_bytes() == b"before and after"
        other = running.mount("other")["engine"]["pid"]
        old = running.mount("data")["engine"]["pid"]
        os.kill(old, signal.SIGKILL)
        assert path.read_bytes() == b"before and after"  # waits for the new engine
        mount = running.wait_for("data", "ready")

        assert mount["engine"]["pid"] != old
        assert mount["engine"]["takeovers"] == 1
        # It may have been about to answer the close of the read before.
        assert mount["engine"]["last_exit"].partition(",")[0] == "killed by SIGKILL"
        assert running.mounted().count(str(running.mountpoint("data"))) == 1
        assert running.mount("other")["engine"]["pid"] == other


def test_what_was_open_when_an_engine_was_killed_goes_on(running: Running, moto: S3Server) -> None:
    bucket = moto.bucket()
    body = random.Random(2).randbytes(12_000_000)
    moto.put(bucket, "big", body)
    names = [f"dir/{number:04}" for number in range(1100)]
    for name in names:
        moto.put(bucket, name)
    running.configure(moto, data={"bucket": bucket})
    # In a process of its own: a fork of this one would close the files, and wait for an engine that is gone.
    script = """
import os, sys
os.chdir(sys.argv[1])
file = os.open("big", os.O_RDONLY)
first = os.pread(file, 5_000_000, 0)
listing = os.scandir("dir")
names = [next(listing).name for _ in range(400)]
os.chdir("dir")
input()
sys.stdout.buffer.write(first + os.pread(file, 100_000_000, len(first)))
names += [entry.name for entry in listing]
os.stat("0007")
sys.stderr.write(" ".join(names))
"""

    with running.running():
        program = subprocess.Popen(
            [sys.executable, "-c", script, running.mountpoint("data")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        poll_until(lambda: running.mount("data")["stats"]["open_directories"], "the program to have all open")
        for takeovers in (1, 2):
            os.kill(running.mount("data")["engine"]["pid"], signal.SIGKILL)
            poll_until(lambda n=takeovers: running.mount("data")["engine"]["takeovers"] == n, "a takeover")  # type: ignore[misc]
        read, told = program.communicate(b"\n", timeout=60)

    assert read == body
    assert told.decode().split() == [name.removeprefix("dir/") for name in names]


def test_programs_in_flight_at_an_engine_crash_are_answered(running: Running, moto: S3Server) -> None:
    bucket = moto.bucket()
    names = [f"f{i}" for i in range(20)]
    for name in names:
        moto.put(bucket, name, name.encode() * 1000)
    running.configure(moto, data={"bucket": bucket})

    with running.running():
        script = 'cd "$1" && while :; do for f in f*; do cat "$f" >/dev/null; done; done'
        reader = subprocess.Popen(["bash", "-c", script, "reader", running.mountpoint("data")], stderr=subprocess.PIPE)
        try:
            poll_until(lambda: running.mount("data")["stats"]["bytes_read"], "the reader to begin")
            os.kill(running.mount("data")["engine"]["pid"], signal.SIGKILL)
            poll_until(lambda: running.mount("data")["engine"]["takeovers"] == 1, "the takeover")
            opens = running.wait_for("data", "ready")["stats"]["fuse_requests"]["open"]
            poll_until(
                lambda: running.mount("data")["stats"]["fuse_requests"]["open"] > opens + 20, "the reader to go on"
            )
        finally:
            reader.terminate()
            _, errors = reader.communicate(timeout=60)

    assert errors == b""


def test_a_missing_bucket_is_backoff_with_a_reason_and_mounts_by_itself_once_there(
    running: Running, moto: MotoServer
) -> None:
    good = moto.bucket()
    running.configure(moto, good={"bucket": good}, late={"bucket": "late-bucket-of-trouble"})

    with running.running("ready", "backoff", "starting"):
        late = running.wait_for("late", "backoff")
        assert "late-bucket-of-trouble" in late["reason"]
        assert "does not exist" in late["reason"]
        running.wait_for("good", "ready")
        assert running.run("status").returncode == 3
        assert running.run("status", "late").returncode == 4
        moto.bucket("late-bucket-of-trouble")
        running.wait_for("late", "ready")
        assert running.run("status").returncode == 0


def test_wrong_keys_are_told_as_access_denied(running: Running, rclone: S3Server) -> None:
    running.environment |= {"AWS_ACCESS_KEY_ID": "unknown-key", "AWS_SECRET_ACCESS_KEY": "very-secret-thing"}
    running.configure(rclone, data={"bucket": rclone.bucket()})

    with running.running("backoff", "starting"):
        reason = running.wait_for("data", "backoff")["reason"]

    assert "access denied" in reason
    assert "unknown-key" in reason
    assert "very-secret-thing" not in reason + running.log_text()


def test_an_endpoint_where_nobody_listens_is_told(running: Running) -> None:
    with reserved_port() as port:
        running.configure(f"http://127.0.0.1:{port}", data={"bucket": "some-bucket"})
        with running.running("backoff", "starting"):
            reason = running.wait_for("data", "backoff")["reason"]

    assert f"127.0.0.1:{port}" in reason
    assert "refused" in reason


def test_no_credentials_at_all_is_told(running: Running, moto: S3Server) -> None:
    del running.environment["AWS_ACCESS_KEY_ID"], running.environment["AWS_SECRET_ACCESS_KEY"]
    running.configure(moto, data={"bucket": moto.bucket()}, profiled={"bucket": moto.bucket(), "profile": "nobody"})

    with running.running("backoff", "starting"):
        none = running.wait_for("data", "backoff")["reason"]
        profiled = running.wait_for("profiled", "backoff")["reason"]

    assert "credentials" in none
    assert "no-sign-request" in none
    assert "nobody" in profiled


def test_a_stopped_server_is_degraded_and_ready_again_when_it_is_back(running: Running) -> None:
    with MotoServer() as server:
        bucket = server.bucket()
        running.configure(server, data={"bucket": bucket})
        with running.running():
            pid = running.mount("data")["engine"]["pid"]
            os.kill(server.pid, signal.SIGSTOP)
            try:
                degraded = running.wait_for("data", "degraded")
            finally:
                os.kill(server.pid, signal.SIGCONT)
            assert degraded["backend"]["reachable"] is False
            assert degraded["backend"]["error"]
            assert running.run("status").returncode == 3
            assert running.wait_for("data", "ready")["engine"]["pid"] == pid


def test_sigterm_with_a_file_open_unmounts_lazily_and_says_so(running: Running, moto: S3Server) -> None:
    bucket = moto.bucket()
    moto.put(bucket, "x", b"x")
    running.configure(moto, data={"bucket": bucket})

    with running.running():
        fd = os.open(running.mountpoint("data") / "x", os.O_RDONLY)

    assert "unmounted lazily" in running.log_text()
    with pytest.raises(OSError, match="not connected"):
        os.pread(fd, 1, 0)
    with pytest.raises(OSError, match="not connected"):  # FLUSH; the descriptor is closed all the same
        os.close(fd)
    assert not (running.work / "run").exists()


def test_a_second_supervisor_on_the_same_runtime_directory_is_refused(running: Running, moto: S3Server) -> None:
    running.configure(moto, data={"bucket": moto.bucket()})

    with running.running():
        assert running.process is not None
        second = running.run("run")
        assert second.returncode == 1
        assert f"pid {running.process.pid}" in second.stderr
        assert running.mount("data")["state"] == "ready"


def test_broker_zygote_and_holder_killed_are_replaced_and_mounts_do_not_care(running: Running, moto: S3Server) -> None:
    bucket = moto.bucket()
    moto.put(bucket, "x", b"still here")
    running.configure(moto, data={"bucket": bucket})

    with running.running():
        engine = running.mount("data")["engine"]["pid"]
        supervisor = running.process
        assert supervisor is not None
        children = Path(f"/proc/{supervisor.pid}/task/{supervisor.pid}/children")

        def the_three() -> set[int]:
            """Without what asks whether the mount answers, for a moment."""
            others = set(map(int, children.read_text().split())) - {engine}
            return others if len(others) == 3 else set()

        for pid in poll_until(the_three, "three that are there for long"):
            os.kill(pid, signal.SIGKILL)
        assert (running.mountpoint("data") / "x").read_bytes() == b"still here"
        os.kill(engine, signal.SIGKILL)
        assert (running.mountpoint("data") / "x").read_bytes() == b"still here"
        assert running.wait_for("data", "ready")["engine"]["takeovers"] == 1


def test_unmounted_by_somebody_else_is_mounted_again(running: Running, moto: S3Server) -> None:
    bucket = moto.bucket()
    moto.put(bucket, "x", b"back")
    running.configure(moto, data={"bucket": bucket})

    with running.running():
        subprocess.run(["umount", running.mountpoint("data")], check=True)
        poll_until(running.mounted, "it to be mounted again")
        assert (running.mountpoint("data") / "x").read_bytes() == b"back"


def test_something_else_mounted_there_is_left_alone_and_named(running: Running, moto: S3Server) -> None:
    running.configure(moto, data={"bucket": moto.bucket()})
    running.mountpoint("data").mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "somebodys", running.mountpoint("data")], check=True)

    running.start()
    reason = running.wait_for("data", "backoff")["reason"]
    assert running.stop() == 0

    assert "somebodys (tmpfs) is already mounted" in reason
    assert running.mounted() == [str(running.mountpoint("data"))]
