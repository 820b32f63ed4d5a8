"""mount(8): a line of fstab is mounted by the supervisor that runs, or by one of its own in the background."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import S3Server
from tests.service.running import MOUNTCTL, WAIT_SECONDS_MAX, Running, poll_until

Done = subprocess.CompletedProcess[str]


class Helper:
    """mount.mountctl, as mount(8) calls it."""

    def __init__(self, running: Running, server: S3Server) -> None:
        self.running = running
        self.program = running.work / "mount.mountctl"
        self.program.symlink_to(MOUNTCTL)
        self.options = f"endpoint-url={server.endpoint},force-path-style,_netdev,nosuid,nodev,nofail"

    def mount(self, source: str, name: str, options: str = "rw", *flags: str) -> Done:
        return self.run(source, str(self.running.mountpoint(name)), *flags, "-o", f"{options},{self.options}")

    def run(self, *arguments: str) -> Done:
        # Its output is read to the end, as mount(8)'s callers do: nothing in the background may keep it open.
        return subprocess.run(
            [self.program, *arguments],
            env=self.running.environment,
            capture_output=True,
            text=True,
            timeout=WAIT_SECONDS_MAX,
        )

    def background(self) -> list[int]:
        """The processes of this test's own supervisors."""
        ours = f"MOUNTCTL_RUNTIME_DIR={self.running.environment['MOUNTCTL_RUNTIME_DIR']}".encode()
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if ours in process.joinpath("environ").read_bytes().split(b"\0"):
                    found.append(int(process.name))
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue
        return found


@pytest.fixture
def helper(running: Running, moto: S3Server) -> Iterator[Helper]:
    it = Helper(running, moto)
    yield it
    running.kill()
    for pid in it.background():
        os.kill(pid, signal.SIGKILL)
    for mountpoint in running.mounted():
        subprocess.run(["umount", "--lazy", mountpoint], check=True)


def test_without_a_supervisor_the_mount_gets_its_own_which_ends_with_it(helper: Helper, moto: S3Server) -> None:
    bucket = moto.bucket()
    moto.put(bucket, "pre/x", b"from fstab")
    directory = helper.running.mountpoint("one")
    logs = helper.running.work / "logs"

    done = helper.mount(f"s3://{bucket}/pre/", "one", f"ro,log-directory={logs}")

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (directory / "x").read_bytes() == b"from fstab"
    [mount] = helper.running.status()["mounts"]
    assert (mount["mountpoint"], mount["source"], mount["transient"]) == (str(directory), f"s3://{bucket}/pre/", True)
    subprocess.run(["umount", directory], check=True)
    poll_until(lambda: not helper.background(), "the background supervisor's end")
    assert helper.running.mounted() == []
    assert not (helper.running.work / "run").exists()
    [log] = logs.iterdir()
    assert "nothing is mounted any more" in log.read_text()


def test_a_running_supervisor_takes_the_mount_and_lets_it_go_when_it_is_unmounted(
    helper: Helper, moto: S3Server
) -> None:
    running, bucket = helper.running, moto.bucket()
    moto.put(bucket, "x", b"given")
    running.configure(moto, declared={"bucket": bucket})
    directory = running.mountpoint("given")

    with running.running():
        assert helper.mount(f"s3://{bucket}/", "given", "ro").returncode == 0
        assert (directory / "x").read_bytes() == b"given"
        assert {mount["name"]: mount["transient"] for mount in running.status()["mounts"]}["declared"] is False
        assert running.run("reload").returncode == 0
        assert str(directory) in running.mounted()
        subprocess.run(["umount", directory], check=True)
        poll_until(lambda: len(running.status()["mounts"]) == 1, "it to be forgotten")
        subprocess.run(["umount", running.mountpoint("declared")], check=True)  # which the file wants
        poll_until(lambda: str(running.mountpoint("declared")) in running.mounted(), "it to be mounted again")
        assert helper.mount(f"s3://{bucket}/", "given", "ro").returncode == 0
    assert running.mounted() == []


@pytest.mark.parametrize("supervised", [True, False])
def test_a_mount_that_cannot_be_had_is_32_with_the_reason_and_nothing_stays(
    helper: Helper, moto: S3Server, supervised: bool
) -> None:
    running = helper.running
    running.configure(moto)
    if supervised:
        running.start()
        poll_until(lambda: running.status(), "a supervisor")  # noqa: PLW0108
    done = helper.mount("s3://no-such-bucket-here/", "x")

    assert done.returncode == 32
    [line] = done.stderr.splitlines()
    assert line.startswith("mountctl: ")
    assert "'no-such-bucket-here' does not exist" in line
    if supervised:
        assert running.status()["mounts"] == []
        assert running.stop() == 0
    poll_until(lambda: not helper.background(), "the background supervisor's end")
    assert running.mounted() == []


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("cache=/x", "cache: not supported"),
        ("foreground", "foreground: has no"),
        ("ro,rw", "ro and rw"),
        ("uid=0", "uid: "),
    ],
)
def test_a_wrong_line_is_1_with_one_sentence(helper: Helper, options: str, told: str) -> None:
    done = helper.mount("s3://bucket/", "x", options)

    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith(f"mountctl: {told}")


def test_mount_f_only_looks_and_an_unknown_flag_is_1(helper: Helper) -> None:
    assert helper.mount("s3://bucket/", "x", "rw", "-f").returncode == 0
    assert helper.mount("s3://bucket/", "x", "whatever", "-sf").returncode == 0
    assert helper.mount("s3://bucket/", "x", "rw", "-X").returncode == 1
    assert helper.running.mounted() == []


def test_mountctl_mount_with_o_returns_once_it_is_mounted(helper: Helper, moto: S3Server) -> None:
    bucket = moto.bucket()
    moto.put(bucket, "a,b/x", b"comma")
    directory = helper.running.mountpoint("one")
    options = rf"ro,prefix=a\,b/,{helper.options}"

    done = helper.running.run("mount", bucket, str(directory), "-o", options)

    assert (done.returncode, done.stderr) == (0, "")
    assert (directory / "x").read_bytes() == b"comma"
    twice = helper.running.run("mount", bucket, str(directory), "-o", options)
    assert twice.returncode == 32
    assert "already" in twice.stderr
    mixed = helper.running.run("mount", bucket, str(directory), "-o", options, "--read-only")
    assert mixed.returncode == 1
    assert "-o: not together with --read-only" in mixed.stderr
    subprocess.run(["umount", directory], check=True)
    poll_until(lambda: not helper.background(), "the background supervisor's end")


def test_mount_8_itself_mounts_a_line_of_fstab(helper: Helper, moto: S3Server) -> None:
    """In a mount namespace of its own, with a link where mount(8) looks for its helpers."""
    bucket = moto.bucket()
    moto.put(bucket, "x", b"by mount")
    directory = helper.running.mountpoint("one")
    directory.mkdir(parents=True)
    table = helper.running.work / "fstab"
    table.write_text(f"s3://{bucket}/ {directory} mountctl ro,{helper.options} 0 0\n")
    sbin = helper.running.work / "sbin"
    script = f"""
        set -e
        mkdir {sbin} {sbin}/upper {sbin}/work
        mount -t tmpfs none {sbin}
        cp -a $(readlink -f /sbin)/. {sbin}/
        ln -s {MOUNTCTL} {sbin}/mount.mountctl
        mount --bind {sbin} $(readlink -f /sbin)
        mount --fstab {table} {directory}
        cat {directory}/x
        umount {directory}
    """
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script], env=helper.running.environment, capture_output=True, text=True
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "by mount"
    poll_until(lambda: not helper.background(), "the background supervisor's end")


def test_a_mount_of_the_file_is_waited_for_and_made_by_its_supervisor_alone(
    helper: Helper, bucket: str, moto: S3Server
) -> None:
    running = helper.running
    running.configure(moto, data={"bucket": bucket})
    running.start()
    done = helper.run("mountctl", str(running.mountpoint("data")), "-o", "declared=data,_netdev")

    assert (done.returncode, done.stderr) == (0, "")
    [mount] = running.status()["mounts"]
    assert (mount["state"], mount["transient"]) == ("ready", False)

    missing = helper.run("mountctl", str(running.mountpoint("dat")), "-o", "declared=dat,_netdev")
    assert missing.returncode == 32
    assert "dat" in missing.stderr
    assert running.stop() == 0
