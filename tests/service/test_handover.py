"""A planned change of engines: by an option, by hand, by an upgrade; programs that use the mount notice nothing."""

import contextlib
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

import engine
from tests.servers import MotoServer
from tests.service.programs import Writer, filled, reading
from tests.service.running import MOUNTCTL, Running, gone, poll_until


@pytest.fixture
def bucket(moto: MotoServer) -> str:
    return filled(moto)


def mount_ids(running: Running) -> set[str]:
    """The kernel's numbers of our mounts: another number is another mount."""
    lines = Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines()
    return {line.split()[0] for line in lines if line.split()[4].startswith(str(running.work))}


def test_a_changed_option_is_taken_by_another_engine_while_programs_read(
    running: Running, moto: MotoServer, bucket: str
) -> None:
    """S112: programs that read notice nothing of a handover."""
    running.configure(moto, m={"bucket": bucket})
    with running.running():
        before, ids = running.mount("m"), mount_ids(running)
        with reading(running.mountpoint("m")):
            for mode in ("0400", "0440", "0444"):
                running.configure(moto, m={"bucket": bucket, "file-mode": mode})
                done = running.run("reload")
                assert (done.returncode, done.stdout) == (0, "m: handed over\n"), done.stderr
        after = running.mount("m")
        assert after["engine"]["pid"] != before["engine"]["pid"]
        assert (after["engine"]["handovers"], after["engine"]["takeovers"]) == (3, 0)
        assert mount_ids(running) == ids
        assert os.stat(running.mountpoint("m") / "d" / "f0").st_mode & 0o777 == 0o444
        assert after["state"] == "ready"


def test_a_restart_by_hand_is_a_handover(running: Running, moto: MotoServer, bucket: str) -> None:
    running.configure(moto, m={"bucket": bucket})
    with running.running():
        pid = running.mount("m")["engine"]["pid"]
        with reading(running.mountpoint("m")):
            done = running.run("restart", "m")
            assert (done.returncode, done.stdout) == (0, "m: restarted\n"), done.stderr
        after = running.mount("m")
        assert after["engine"]["pid"] != pid
        assert after["engine"]["handovers"] == 1


def test_a_successor_that_does_not_come_up_leaves_the_engine_that_serves(
    running: Running, moto: MotoServer, bucket: str
) -> None:
    running.configure(moto, m={"bucket": bucket})
    with running.running():
        before = running.mount("m")["engine"]["pid"]
        with reading(running.mountpoint("m")):
            running.configure("http://127.0.0.1:9", m={"bucket": bucket})
            done = running.run("reload")
        assert done.returncode == 1
        assert "m: not handed over: no successor came up, its engine goes on: cannot reach" in done.stdout
        assert running.mount("m")["engine"]["pid"] == before
        assert running.mount("m")["state"] == "ready"
        # Once the file is right, all is well.
        running.configure(moto, m={"bucket": bucket, "file-mode": "0400"})
        assert running.run("reload").stdout == "m: handed over\n"


def test_an_engine_that_does_not_hand_over_is_killed_and_succeeded(
    running: Running, moto: MotoServer, bucket: str
) -> None:
    running.configure(moto, m={"bucket": bucket})
    with running.running():
        pid = running.mount("m")["engine"]["pid"]
        with reading(running.mountpoint("m")):
            os.kill(pid, signal.SIGSTOP)
            done = running.run("restart", "m")
        assert done.returncode == 0, done.stdout
        assert running.mount("m")["engine"]["pid"] != pid
        assert not Path(f"/proc/{pid}").exists()


def keys(moto: MotoServer, bucket: str) -> list[str]:
    return [each["Key"] for each in moto.boto.list_objects_v2(Bucket=bucket)["Contents"]]


def content(moto: MotoServer, bucket: str, key: str) -> bytes:
    return moto.boto.get_object(Bucket=bucket, Key=key)["Body"].read()


def uploads(moto: MotoServer, bucket: str) -> list[Any]:
    return moto.boto.list_multipart_uploads(Bucket=bucket).get("Uploads", [])


@pytest.mark.parametrize("pieces", [3, 9, 30])
def test_files_that_are_being_written_go_on_in_the_next_engine(
    running: Running, moto: MotoServer, bucket: str, pieces: int
) -> None:
    """S112: programs that write notice nothing of a handover."""
    running.configure(moto, m={"bucket": bucket, "allow-overwrite": True})
    with running.running(), contextlib.ExitStack() as stack:
        mountpoint = running.mountpoint("m")
        new, old = Writer(mountpoint / "new", pieces), Writer(mountpoint / "big", pieces)
        stack.callback(new.close)
        stack.callback(old.close)
        for part in range(1, 4):
            for writer in (new, old):
                writer.go_on(part * pieces // 4 + 1 - writer.written)
            assert running.run("restart", "m").stdout == "m: restarted\n"
            assert "new" in os.listdir(mountpoint)
            assert os.stat(mountpoint / "new").st_size == new.written << 20
            with pytest.raises(PermissionError):  # it is being written still
                (mountpoint / "new").read_bytes()
            assert "new" not in keys(moto, bucket)
        new.finish()
        old.finish()
        assert content(moto, bucket, "new") == new.content
        assert content(moto, bucket, "big") == old.content
        assert uploads(moto, bucket) == []
        assert (mountpoint / "new").read_bytes() == new.content


def test_a_crash_after_a_handover_loses_the_upload_and_nothing_of_it_stays(
    running: Running, moto: MotoServer, bucket: str
) -> None:
    running.configure(moto, m={"bucket": bucket})
    with running.running():
        mountpoint = running.mountpoint("m")
        out = os.open(mountpoint / "new", os.O_WRONLY | os.O_CREAT)
        for _ in range(10):
            os.write(out, bytes(1 << 20))
        assert running.run("restart", "m").returncode == 0
        os.write(out, bytes(1 << 20))
        os.kill(running.mount("m")["engine"]["pid"], signal.SIGKILL)
        with pytest.raises(OSError, match="Input/output error"):
            os.write(out, bytes(1 << 20))
        with pytest.raises(OSError, match="Input/output error"):
            os.close(out)
        assert not (mountpoint / "new").exists()
        poll_until(lambda: uploads(moto, bucket) == [], "the multipart upload to be aborted")


class Installed:
    """A copy of the engine's code that a supervisor runs, to be changed under it."""

    def __init__(self, running: Running) -> None:
        self.path = running.work / "code"
        source = Path(engine.__file__).parent
        shutil.copytree(source, self.path / "engine", ignore=shutil.ignore_patterns("__pycache__"))
        others = running.environment.get("PYTHONPATH")
        running.environment["PYTHONPATH"] = os.pathsep.join([str(self.path), *([others] if others else [])])
        running.environment["PYTHONDONTWRITEBYTECODE"] = "1"

    def change(self, before: str, after: str, file: str = "__init__.py") -> None:
        path = self.path / "engine" / file
        text = path.read_text()
        assert before in text
        path.write_text(text.replace(before, after))


# The first successor, at the moment when it is told to take over.
TAKE_OVER = "def _take_over(self, message: TakeOver, fds: list[int]) -> None:\n"
DIES = f"{TAKE_OVER}        if self._order.generation == 1:\n            os._exit(9)\n"
HANGS = f"{TAKE_OVER}        if self._order.generation == 1:\n            __import__('time').sleep(1000)\n"


def test_files_that_are_being_written_go_on_when_the_successor_dies_as_it_takes_over(
    running: Running, moto: MotoServer, bucket: str
) -> None:
    Installed(running).change(TAKE_OVER, DIES, "run.py")
    running.configure(moto, m={"bucket": bucket})
    with running.running(), contextlib.closing(Writer(running.mountpoint("m") / "new", 20)) as writer:
        writer.go_on(11)
        assert "the successor ended when it took over" in running.run("restart", "m").stdout
        running.wait_for("m", "ready")
        writer.finish()
        assert content(moto, bucket, "new") == writer.content
        assert uploads(moto, bucket) == []


def test_files_that_are_being_written_go_on_when_supervisor_and_successor_die_before_it_has_taken_over(
    running: Running, moto: MotoServer, bucket: str
) -> None:
    Installed(running).change(TAKE_OVER, HANGS, "run.py")
    running.configure(moto, m={"bucket": bucket})
    with running.running(), contextlib.closing(Writer(running.mountpoint("m") / "new", 20)) as writer:
        writer.go_on(11)
        old = running.mount("m")["engine"]["pid"]
        restart = subprocess.Popen(
            [MOUNTCTL, "restart", "m"],
            env=running.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        poll_until(lambda: gone(old) and running.held_processes() - {old}, "the old engine to be gone")
        (successor,) = running.held_processes() - {old}
        running.crash()
        os.kill(successor, signal.SIGKILL)
        restart.wait()
        running.start()
        running.wait_for("m", "ready")
        writer.finish()
        assert content(moto, bucket, "new") == writer.content
        assert uploads(moto, bucket) == []


def test_an_upgrade_has_every_mount_served_by_the_code_that_is_installed_now(
    running: Running, moto: MotoServer, bucket: str
) -> None:
    installed = Installed(running)
    running.configure(moto, one={"bucket": bucket}, two={"bucket": bucket})
    with running.running():
        assert running.mount("one")["engine"]["version"] == engine.__version__
        with reading(running.mountpoint("one")), reading(running.mountpoint("two"), 1):
            installed.change(engine.__version__, "77.1.2")
            done = running.run("upgrade")
        assert (done.returncode, done.stdout) == (0, "one: handed over\ntwo: handed over\n"), done.stderr
        assert [running.mount(name)["engine"]["version"] for name in ("one", "two")] == ["77.1.2"] * 2
        # Engines to come are of the new code, too.
        pid = running.mount("one")["engine"]["pid"]
        os.kill(pid, signal.SIGKILL)
        poll_until(lambda: running.mount("one")["engine"]["takeovers"] == 1, "another engine")
        assert running.mount("one")["engine"]["version"] == "77.1.2"


def test_code_that_does_not_start_changes_nothing(running: Running, moto: MotoServer, bucket: str) -> None:
    installed = Installed(running)
    running.configure(moto, m={"bucket": bucket})
    with running.running():
        pid = running.mount("m")["engine"]["pid"]
        installed.change("def main(", "def main_that_is_missing(", "zygote.py")
        done = running.run("upgrade")
        assert done.returncode == 1
        assert "not upgraded, nothing changed: the code that is installed now does not start" in done.stderr
        assert running.mount("m")["engine"]["pid"] == pid
        os.kill(pid, signal.SIGKILL)
        poll_until(lambda: running.mount("m")["engine"]["takeovers"] == 1, "an engine of the code before")
        assert (running.mountpoint("m") / "d" / "f1").read_text() == "content 1"


def test_a_successor_of_new_code_that_fails_leaves_each_mount_with_its_engine(
    running: Running, moto: MotoServer, bucket: str
) -> None:
    installed = Installed(running)
    running.configure(moto, m={"bucket": bucket})
    with running.running():
        pid = running.mount("m")["engine"]["pid"]
        installed.change("        self._sock = sock\n", "        raise SystemExit(9)\n", "run.py")
        with reading(running.mountpoint("m")):
            done = running.run("upgrade")
        assert done.returncode == 1
        assert "m: not handed over: no successor came up, its engine goes on" in done.stdout
        assert running.mount("m")["engine"]["pid"] == pid
