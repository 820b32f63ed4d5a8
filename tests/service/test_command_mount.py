"""`mountctl mount` in the foreground, called as one calls mount-s3: what fails and how, and what the table shows."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.servers import MotoServer, RcloneServer, S3Server
from tests.service.running import MOUNTCTL, Running, poll_until


def mount(running: Running, server: S3Server, bucket: str, name: str, *options: str) -> list[str]:
    """The command line."""
    place = str(running.mountpoint(name))
    return ["mount", bucket, place, "--endpoint-url", server.endpoint, "--force-path-style", *options]


def file_in_the_way(running: Running) -> None:
    running.mountpoint("x").parent.mkdir(parents=True)
    running.mountpoint("x").write_text("a file")


def mount_in_the_way(running: Running) -> None:
    running.mountpoint("x").mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "somebodys", running.mountpoint("x")], check=True)


def wrong_keys(running: Running) -> None:
    running.environment["AWS_ACCESS_KEY_ID"] = "nobodys"


@pytest.mark.parametrize(
    ("prepare", "options", "told"),
    [
        (file_in_the_way, [], "is not a directory"),
        (mount_in_the_way, [], "somebodys (tmpfs) is already mounted at"),
        (wrong_keys, [], "access denied to s3://"),
        (lambda _running: None, ["--profile", "nobody"], "profile 'nobody' is not in"),
        (lambda _running: None, ["--prefix", "p/", "--ca-bundle", "/no/such.pem"], "ca-bundle: cannot read /no/such"),
    ],
    ids=["a file", "a mount", "keys", "profile", "ca-bundle"],
)
def test_what_cannot_be_mounted_is_1_with_a_sentence_and_nothing_is_mounted(
    running: Running,
    rclone: RcloneServer,
    prepare: Callable[[Running], None],
    options: list[str],
    told: str,
) -> None:
    prepare(running)
    before = running.mounted()

    done = running.run(*mount(running, rclone, rclone.bucket(), "x", *options))

    assert done.returncode == 1
    assert done.stdout == ""
    last = done.stderr.splitlines()[-1]
    assert last.startswith("mountctl: ")
    assert told in last
    assert "Traceback" not in done.stderr
    assert running.mounted() == before


@pytest.fixture
def moved_in(running: Running, moto: MotoServer) -> Iterator[Path]:
    """A mount made with the options that change nothing here, too."""
    bucket = moto.bucket()
    moto.put(bucket, "pre/x", b"read me")
    words = ["--read-only", "--auto-unmount", "--bucket-type", "general-purpose", "-f", "-d", "--debug-crt"]
    command = mount(running, moto, f"s3://{bucket}/pre/", "moved", *words)
    process = subprocess.Popen([MOUNTCTL, *command], env=running.environment, stderr=subprocess.DEVNULL)
    try:
        poll_until(lambda: running.mounted() or process.poll() is not None, "the mount")
        yield running.mountpoint("moved")
    finally:
        process.terminate()
        assert process.wait() == 0
    assert not running.mountpoint("moved").exists(), "it was made for the mount"


def test_a_command_line_of_mountpoint_mounts_and_the_table_shows_how(moved_in: Path) -> None:
    assert (moved_in / "x").read_bytes() == b"read me"
    lines = [line.split() for line in Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines()]
    [found] = [line for line in lines if line[4] == str(moved_in)]
    assert {"ro", "nosuid", "nodev", "noatime"} <= set(found[5].split(","))
    assert found[found.index("-") + 1] == "fuse.mountctl"
    assert found[found.index("-") + 2].endswith("/pre/")
