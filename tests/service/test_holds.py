"""`mountctl stop` and `start`: a hold outlives reloads and restarts, and nobody's upload is cut off unsaid."""

import contextlib
import os
import signal
import subprocess
import threading

from tests.servers import MotoServer
from tests.service.programs import Writer
from tests.service.running import MOUNTCTL, WAIT_SECONDS_MAX, Running


def test_a_stopped_mount_stays_so_over_reload_and_restart_until_it_is_started(
    running: Running, moto: MotoServer, bucket: str
) -> None:
    running.configure(moto, held={"bucket": bucket}, other={"bucket": bucket})
    with running.running():
        done = running.run("stop", "held")
        assert (done.returncode, done.stdout) == (0, "held: stopped\n"), done.stderr
        assert running.mounted() == [str(running.mountpoint("other"))]
        told = running.mount("held")
        assert told["state"] == "held"
        assert told["reason"].startswith("stopped by root at 20")
        assert running.run("reload").stdout == "other: unchanged\n"
        assert running.status()["health"] == "degraded"  # not all is ready, whoever wants it so
        assert running.run("plan").returncode == 0
        assert running.run("stop", "nobody").returncode == 1
    with running.running("ready", "held"):
        assert running.mount("held")["state"] == "held"
        assert running.mounted() == [str(running.mountpoint("other"))]
        assert running.run("start", "held", "other", "held").stdout == "held: started\nother: not held\n"
        assert (running.mountpoint("held") / "x").read_bytes() == b"x"
    assert "was asked to end, and was killed" not in running.log_text()
    with running.running():
        assert running.mount("held")["state"] == "ready"


def test_a_stop_waits_for_what_is_being_written_and_says_who_holds_it_up(
    running: Running, moto: MotoServer, bucket: str
) -> None:
    running.configure(moto, m={"bucket": bucket})
    with running.running():
        writer = Writer(running.mountpoint("m") / "new", 10)
        try:
            running.poll_uploads("m", 1)
            told: list[str] = []

            def stop() -> None:
                done = running.run("stop", "m", "--deadline", "30")
                told.extend([str(done.returncode), done.stdout, done.stderr])

            stopping = threading.Thread(target=stop)
            stopping.start()
            stopping.join(4)  # it says what it waits for every two seconds
            assert stopping.is_alive()
            writer.finish()
            stopping.join()
        finally:
            writer.close()
        assert told[:2] == ["0", "m: stopped\n"], told
        assert "m: waiting for 1 files that are being written; open in: python" in told[2]
        assert moto.boto.get_object(Bucket=bucket, Key="new")["Body"].read() == writer.content


def test_a_stop_at_its_deadline_unmounts_and_says_what_was_open(
    running: Running, moto: MotoServer, bucket: str
) -> None:
    link = running.work / "link"  # where the kernel has it is elsewhere
    link.symlink_to(running.mountpoint("m"))
    running.mountpoint("m").mkdir(parents=True)
    running.configure(moto, m={"bucket": bucket, "mountpoint": str(link)})
    with running.running("ready", "held"):
        there = subprocess.Popen(["cat"], cwd=link, stdin=subprocess.PIPE)
        file = os.open(running.mountpoint("m") / "x", os.O_RDONLY)
        try:
            done = running.run("stop", "m", "--deadline", "0.1")
        finally:
            there.communicate()
            with contextlib.suppress(OSError):  # its mount is gone
                os.close(file)
        assert done.returncode == 1
        assert "m: stopped, while it was open in " in done.stdout
        assert f"({os.getpid()})" in done.stdout
        assert f"cat ({there.pid})" in done.stdout
        assert running.mounted() == []


def test_who_interrupts_a_stop_is_not_kept_waiting_and_the_supervisor_goes_on(
    running: Running, moto: MotoServer, bucket: str
) -> None:
    running.configure(moto, m={"bucket": bucket})
    with running.running("ready", "held"):
        writer = Writer(running.mountpoint("m") / "new", 10)
        try:
            running.poll_uploads("m", 1)
            command = [MOUNTCTL, "stop", "m", "--deadline", "600"]
            stopping = subprocess.Popen(command, env=running.environment, stderr=subprocess.PIPE, text=True)
            try:
                assert stopping.stderr is not None
                assert "waiting for 1 files" in stopping.stderr.readline()
                stopping.send_signal(signal.SIGINT)
                _, told = stopping.communicate(timeout=WAIT_SECONDS_MAX)
            finally:
                stopping.kill()
                stopping.communicate()
            assert stopping.returncode == 130
            assert "the supervisor goes on" in told
            assert running.mount("m")["state"] == "ready"
            writer.finish()
            running.wait_for("m", "held")
        finally:
            writer.close()


def test_a_reload_of_others_alone_leaves_a_held_mount_where_it_can_be_started(
    running: Running, moto: MotoServer, bucket: str
) -> None:
    running.configure(moto, held={"bucket": bucket}, other={"bucket": bucket})
    with running.running():
        assert running.run("stop", "held").returncode == 0
        running.configure(moto, held={"bucket": bucket}, other={"bucket": bucket, "read_only": True})
        assert running.run("reload", "--only", "other").returncode == 0
        assert running.mount("held")["state"] == "held"
        assert running.run("start", "held").stdout == "held: started\n"
