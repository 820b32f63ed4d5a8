"""A reload changes mounts by the class of each change, and programs that use them notice as little as can be."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.servers import MotoServer
from tests.service.programs import MiB, Writer, filled, reading
from tests.service.running import Running, gone, poll_until

# Looks for a name until it is told to stop, and says what went wrong.
_LOOKER: Final = """
import os, select, sys
print("begun", flush=True)
looks = 0
while not select.select([sys.stdin], [], [], 0)[0]:
    try:
        os.stat(sys.argv[1])
    except OSError as error:
        print(f"look {looks}: {error!r}", flush=True)
    looks += 1
print("done", flush=True)
"""


@pytest.fixture
def bucket(moto: MotoServer) -> str:
    return filled(moto, "a/", "b/")


@pytest.fixture
def looker(running: Running) -> Iterator[subprocess.Popen[str]]:
    """Looks at `name` of the mount m while the test runs; to be started by a line."""
    path = running.mountpoint("m") / "name"
    process = subprocess.Popen(
        ["/bin/sh", "-c", 'read x; exec "$@"', "sh", sys.executable, "-c", _LOOKER, path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    yield process
    process.kill()
    process.communicate()


def test_another_prefix_replaces_the_session_and_no_look_fails_and_open_files_go_on(
    running: Running, moto: MotoServer, bucket: str, looker: "subprocess.Popen[str]"
) -> None:
    running.configure(moto, m={"bucket": bucket, "prefix": "a/"})
    with running.running():
        before = running.mount("m")["engine"]["pid"]
        assert looker.stdin is not None
        assert looker.stdout is not None
        looker.stdin.write("go\n")
        looker.stdin.flush()
        assert looker.stdout.readline() == "begun\n"
        with (running.mountpoint("m") / "name").open("rb", buffering=0) as file:
            assert file.read(2) == b"a/"
            running.configure(moto, m={"bucket": bucket, "prefix": "b/"})
            done = running.run("reload")
            assert (done.returncode, done.stdout) == (0, "m: replaced\n"), done.stderr
            assert (running.mountpoint("m") / "name").read_bytes()[:2] == b"b/"
            assert running.mount("m")["engine"]["pid"] != before
            assert running.mounted() == [str(running.mountpoint("m"))]
            # What lies far behind was not read ahead: the old engine gives it.
            assert os.pread(file.fileno(), 2, 2 * MiB - 2) == b"a/"
            assert not gone(before)
        assert looker.communicate("stop\n", timeout=30)[0] == "done\n"
        poll_until(lambda: gone(before), "the old engine to end with its last file")
        assert running.mount("m")["state"] == "ready"
        assert running.run("reload").stdout == "m: unchanged\n"


def test_a_file_that_is_being_written_on_a_replaced_session_is_finished_there(
    running: Running, moto: MotoServer, bucket: str
) -> None:
    running.configure(moto, m={"bucket": bucket, "prefix": "a/"})
    with running.running():
        writer = Writer(running.mountpoint("m") / "new", 12)
        try:
            writer.go_on(9)
            running.configure(moto, m={"bucket": bucket, "prefix": "b/"})
            assert running.run("reload").stdout == "m: replaced\n"
            writer.finish()
        finally:
            writer.close()
        assert moto.boto.get_object(Bucket=bucket, Key="a/new")["Body"].read() == writer.content
        assert not (running.mountpoint("m") / "new").exists()


def test_a_session_that_does_not_come_up_leaves_the_one_there_is(
    running: Running, moto: MotoServer, bucket: str
) -> None:
    running.configure(moto, m={"bucket": bucket, "prefix": "a/"}, other={"bucket": bucket})
    with running.running():
        before = running.mount("m")
        running.configure(moto, m={"bucket": "not-there-at-all"}, other={"bucket": bucket, "uid": 5})
        done = running.run("reload")
        assert done.returncode == 1
        assert "m: not replaced: " in done.stdout
        assert "not-there-at-all" in done.stdout
        assert "other: handed over\n" in done.stdout
        after = running.mount("m")
        assert (after["engine"], after["source"]) == (before["engine"], before["source"])
        assert (running.mountpoint("m") / "name").read_bytes()[:2] == b"a/"
        # Its keys are renewed as ever, and the next reload tries again.
        assert after["credentials"]["source"] == before["credentials"]["source"]
        running.configure(moto, m={"bucket": bucket, "prefix": "b/"}, other={"bucket": bucket, "uid": 5})
        assert running.run("reload").stdout == "m: replaced\nother: unchanged\n"


def test_a_kernel_without_beneath_has_a_gap_and_the_same_result(
    running: Running, moto: MotoServer, bucket: str
) -> None:
    running.environment["MOUNTCTL_FORCE_FALLBACK"] = "no-beneath"
    running.configure(moto, m={"bucket": bucket, "prefix": "a/"})
    with running.running(), (running.mountpoint("m") / "name").open("rb", buffering=0) as file:
        running.configure(moto, m={"bucket": bucket, "prefix": "b/"})
        assert running.run("reload").stdout == "m: replaced\n"
        assert os.pread(file.fileno(), 2, 2 * MiB - 2) == b"a/"
        assert (running.mountpoint("m") / "name").read_bytes()[:2] == b"b/"


def test_a_replaced_mount_survives_its_supervisor(running: Running, moto: MotoServer, bucket: str) -> None:
    running.configure(moto, m={"bucket": bucket, "prefix": "a/"})
    running.start()
    running.wait_for("m", "ready")
    running.configure(moto, m={"bucket": bucket, "prefix": "b/"})
    assert running.run("reload").stdout == "m: replaced\n"
    pid = running.mount("m")["engine"]["pid"]
    running.crash()
    with running.running():
        assert running.mount("m")["engine"]["pid"] == pid
        assert (running.mountpoint("m") / "name").read_bytes()[:2] == b"b/"


def test_a_moved_mount_has_the_same_engine_and_open_files_go_on(
    running: Running, moto: MotoServer, bucket: str
) -> None:
    running.configure(moto, m={"bucket": bucket})
    there = running.mountpoint("there")
    running.start()
    running.wait_for("m", "ready")
    pid = running.mount("m")["engine"]["pid"]
    file = os.open(running.mountpoint("m") / "a" / "name", os.O_RDONLY)
    try:
        running.configure(moto, m={"bucket": bucket, "mountpoint": str(there)})
        done = running.run("reload")
        assert (done.returncode, done.stdout) == (0, "m: moved\n"), done.stderr
        assert running.mounted() == [str(there)]
        assert not running.mountpoint("m").exists()  # made by us, so gone with us
        assert os.pread(file, 2, 2 * MiB - 2) == b"a/"
        with reading(there):
            assert running.mount("m")["engine"]["pid"] == pid
        assert running.mount("m")["mountpoint"] == str(there)
        running.crash()
        with running.running():  # the supervisor that comes next finds it where it is
            assert running.mount("m")["engine"]["pid"] == pid
            assert os.pread(file, 2, MiB) == b"a/"
            os.close(file)
            file = -1
    finally:
        if file >= 0:
            os.close(file)


def test_a_place_that_is_taken_leaves_the_mount_where_it_is(running: Running, moto: MotoServer, bucket: str) -> None:
    running.configure(moto, m={"bucket": bucket})
    with running.running():
        there = running.work / "file"
        there.write_text("x")
        running.configure(moto, m={"bucket": bucket, "mountpoint": str(there)})
        done = running.run("reload")
        assert (done.returncode, done.stdout) == (1, f"m: not moved: {there} is not a directory\n")
        assert running.mounted() == [str(running.mountpoint("m"))]
        assert running.mount("m")["state"] == "ready"
        assert (running.mountpoint("m") / "a" / "name").exists()


def test_mounts_that_change_places_are_mounted_anew(running: Running, moto: MotoServer, bucket: str) -> None:
    places = {name: str(running.mountpoint(name)) for name in ("one", "two")}
    running.configure(moto, one={"bucket": bucket, "prefix": "a/"}, two={"bucket": bucket, "prefix": "b/"})
    with running.running():
        running.configure(
            moto,
            one={"bucket": bucket, "prefix": "a/", "mountpoint": places["two"]},
            two={"bucket": bucket, "prefix": "b/", "mountpoint": places["one"]},
        )
        assert running.run("reload").stdout == "one: restarted\ntwo: restarted\n"
        assert Path(places["two"], "name").read_bytes()[:2] == b"a/"
        assert Path(places["one"], "name").read_bytes()[:2] == b"b/"


def test_a_live_change_is_taken_by_the_engine_that_serves_and_by_those_after_it(
    running: Running, moto: MotoServer, bucket: str
) -> None:
    logs = running.work / "logs"
    running.configure(moto, m={"bucket": bucket, "log_directory": str(logs)})
    with running.running():
        before = running.mount("m")["engine"]
        assert "DEBUG" not in (logs / "mountctl-m.log").read_text()
        running.configure(moto, m={"bucket": bucket, "log_directory": str(logs), "debug": True, "auto_unmount": True})
        done = running.run("reload")
        assert (done.returncode, done.stdout) == (0, "m: changed live\n"), done.stderr
        assert running.mount("m")["engine"] == before
        assert running.run("plan").returncode == 0
        with reading(running.mountpoint("m")):
            os.kill(before["pid"], 9)
            poll_until(lambda: running.mount("m")["engine"]["takeovers"] == 1, "the next engine")
        poll_until(lambda: "DEBUG" in (logs / "mountctl-m.log").read_text(), "the next engine to log at debug level")
