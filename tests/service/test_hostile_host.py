"""A host that does not play along: file systems that hang, processes that are killed or stay behind."""

import os
import signal
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from engine.spec import MountSpec
from mountctl.supervisor import mount_api
from mountctl.supervisor.session import Session
from tests.servers import S3Server
from tests.service.running import Running, poll_until

# A look-up that takes longer than any test.
SLOW_KEYS = """#!/bin/sh
echo $$ > {pid_file}.new
mv {pid_file}.new {pid_file}
exec sleep 1000
"""


@pytest.fixture
def hanging(tmp_path: Path) -> Iterator[Session]:
    """A file system that never answers: this process must not touch it either."""
    (tmp_path / "hanging").mkdir()
    session = Session.create(
        MountSpec(name="h", bucket="hangs", mountpoint=str(tmp_path / "hanging"), allow_other=True)
    )
    session.attach()
    yield session
    session.detach()
    session.close()


def child(parent: int, name: str) -> int | None:
    """The child of `parent` whose process name starts so."""
    for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
        if Path(f"/proc/{pid}/comm").read_text().startswith(name):
            return int(pid)
    return None


@pytest.mark.parametrize("through_a_link", [False, True])
def test_a_mountpoint_on_a_file_system_that_hangs_holds_up_nobody(
    running: Running, moto: S3Server, hanging: Session, through_a_link: bool
) -> None:
    mountpoint = Path(hanging.mountpoint) / "deep" / "x"
    if through_a_link:
        mountpoint = running.work / "link"
        mountpoint.symlink_to(hanging.mountpoint)
    bucket = moto.bucket()
    running.configure(moto, good={"bucket": bucket}, hung={"bucket": bucket, "mountpoint": str(mountpoint)})

    with running.running("ready", "backoff"):
        mount = running.wait_for("hung", "backoff")
        assert f"{mountpoint}: the file system it is on does not answer" in mount["reason"]
        assert running.mount("good")["state"] == "ready"
        hanging.detach()
        running.wait_for("hung", "ready")
    assert "supervisor is gone" not in running.log_text()


def test_an_engine_whose_zygote_is_gone_too_is_replaced_at_once(running: Running, moto: S3Server) -> None:
    bucket = moto.bucket()
    moto.put(bucket, "x", b"still here")
    running.configure(moto, data={"bucket": bucket})

    with running.running():
        assert running.process is not None
        zygote = child(running.process.pid, "python")
        assert zygote is not None
        os.kill(zygote, signal.SIGKILL)
        os.kill(running.mount("data")["engine"]["pid"], signal.SIGKILL)
        assert (running.mountpoint("data") / "x").read_bytes() == b"still here"
        assert running.wait_for("data", "ready")["engine"]["takeovers"] == 1

    assert "the zygote is gone; starting another" in running.log_text()
    assert "recovering -> recovering" not in running.log_text()


def test_what_a_killed_broker_was_running_is_gone_with_the_supervisor(running: Running, moto: S3Server) -> None:
    pid_file, program, config = running.work / "pid", running.work / "keys", running.work / "aws"
    program.write_text(SLOW_KEYS.format(pid_file=pid_file))
    program.chmod(stat.S_IRWXU)
    config.write_text(f"[profile slow]\ncredential_process = {program}\n")
    running.environment["AWS_CONFIG_FILE"] = str(config)
    bucket = moto.bucket()
    running.configure(moto, good={"bucket": bucket}, slow={"bucket": bucket, "profile": "slow"})

    with running.running("ready", "starting"):
        pid = int(poll_until(lambda: pid_file.exists() and pid_file.read_text(), "the look-up"))
        assert running.process is not None
        broker = child(running.process.pid, "s3:broker")
        assert broker is not None
        os.kill(broker, signal.SIGKILL)
        poll_until(lambda: child(running.process.pid, "s3:broker") not in (None, broker), "another broker")
        assert Path(f"/proc/{pid}").exists()

    assert not Path(f"/proc/{pid}").exists()


@pytest.fixture
def covers(running: Running) -> Iterator[Callable[[str], None]]:
    """Mounts a tmpfs over a mount, by its name."""
    covered: list[Path] = []

    def cover(name: str) -> None:
        subprocess.run(["mount", "-t", "tmpfs", "theirs", running.mountpoint(name)], check=True)
        covered.append(running.mountpoint(name))
        (running.mountpoint(name) / "mine").touch()

    yield cover
    for path in covered:
        subprocess.run(["umount", path], check=False)


THEIRS: Final = "theirs (tmpfs) is mounted over it at {}"


def test_what_somebody_mounts_over_mounts_is_told_and_no_reload_takes_it_away(
    running: Running, moto: S3Server, covers: Callable[[str], None]
) -> None:
    plain = {"bucket": moto.bucket()}
    names = ("removed", "replaced", "moved", "handed")
    running.configure(moto, same=plain, **dict.fromkeys(names, plain))
    with running.running():
        for name in names:
            covers(name)
        for name in names:
            assert THEIRS.format(running.mountpoint(name)) in running.wait_for(name, "degraded")["reason"]
        assert running.mount("same")["state"] == "ready"
        before = sorted(running.mounted())
        running.configure(
            moto,
            same=plain,
            replaced=plain | {"prefix": "p/"},
            moved=plain | {"mountpoint": str(running.mountpoint("there"))},
            handed=plain | {"uid": 5},
        )
        done = running.run("reload")
        assert done.returncode == 1
        left = {name: f"{THEIRS.format(running.mountpoint(name))}: unmount that first" for name in names}
        assert done.stdout.splitlines() == [
            "handed: handed over",
            f"moved: not moved: {left['moved']}",
            f"removed: not removed: {left['removed']}",
            f"replaced: not replaced: {left['replaced']}",
            "same: unchanged",
        ]
        assert sorted(running.mounted()) == before
        for name in names:
            assert (running.mountpoint(name) / "mine").exists()
            mount_api.umount(str(running.mountpoint(name)))
        for name in names:
            running.wait_for(name, "ready")
        assert running.run("reload").stdout.splitlines() == [
            "handed: unchanged",
            "moved: moved",
            "removed: removed",
            "replaced: replaced",
            "same: unchanged",
        ]


def test_a_mount_over_another_whose_name_is_no_text_and_steers_terminals_is_told_as_text(
    running: Running, moto: S3Server
) -> None:
    plain = {"bucket": moto.bucket()}
    running.configure(moto, data=plain)
    place = str(running.mountpoint("data"))
    with running.running():
        subprocess.run(["mount", "-t", "tmpfs", b"th\xff\x1b[31mirs", place], check=True)
        try:
            told = rf"th\udcff\x1b[31mirs (tmpfs) is mounted over it at {place}"
            assert told in running.wait_for("data", "degraded")["reason"]
            running.configure(moto, data=plain | {"prefix": "p/"})
            done = running.run("reload")
            assert done.stdout == f"data: not replaced: {told}: unmount that first\n", done.stderr
        finally:
            mount_api.umount(place)


def test_a_supervisor_that_ends_leaves_what_is_mounted_over_its_mount_and_the_next_one_clears_its_own(
    running: Running, moto: S3Server, covers: Callable[[str], None]
) -> None:
    running.configure(moto, data={"bucket": moto.bucket()})
    path = str(running.mountpoint("data"))
    running.start()
    running.wait_for("data", "ready")
    covers("data")
    assert running.stop() == 0
    assert THEIRS.format(path) in running.log_text()
    assert running.mounted() == [path, path]
    mount_api.umount(path)
    with running.running():
        assert running.mounted() == [path]


def test_a_mount_that_is_elsewhere_since_a_directory_was_renamed_is_told(running: Running, moto: S3Server) -> None:
    running.configure(moto, data={"bucket": moto.bucket()})
    above = running.mountpoint("data").parent
    with running.running():
        above.rename(above.with_name("renamed"))
        told = running.wait_for("data", "degraded")["reason"]
        assert f"it is at {above.with_name('renamed') / 'data'} now" in told
        above.with_name("renamed").rename(above)
        running.wait_for("data", "ready")


def test_unmounted_lazily_by_somebody_else_is_told_and_mended_when_nobody_uses_it(
    running: Running, moto: S3Server
) -> None:
    bucket = moto.bucket()
    moto.put(bucket, "x", b"still readable")
    running.configure(moto, data={"bucket": bucket})

    with running.running():
        with (running.mountpoint("data") / "x").open("rb") as file:
            mount_api.umount(str(running.mountpoint("data")), lazily=True)
            told = running.wait_for("data", "starting")
            assert "somebody unmounted it while it was in use" in told["reason"]
            assert file.read() == b"still readable"
        running.wait_for("data", "ready")
        assert running.mounted() == [str(running.mountpoint("data"))]
