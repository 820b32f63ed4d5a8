"""What a reload does not do unasked, or only as a whole, or only in part."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import MotoServer
from tests.service.programs import Writer
from tests.service.running import MOUNTCTL, WAIT_SECONDS_MAX, Running, poll_until


def pids(running: Running) -> dict[str, int]:
    return {mount["name"]: mount["engine"]["pid"] for mount in running.status()["mounts"]}


def test_a_file_that_lacks_most_mounts_is_refused_unless_it_is_meant(
    running: Running, moto: MotoServer, bucket: str
) -> None:
    running.configure(moto, **{name: {"bucket": bucket} for name in ("a", "b", "c", "d", "e")})
    with running.running():
        before = pids(running)
        running.configure(moto, a={"bucket": bucket}, b={"bucket": bucket})
        done = running.run("reload")
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == "mountctl: reload refused, nothing changed: 3 of 5 mounts would go: only with --yes\n"
        assert running.status()["health"] == "degraded"
        planned = running.run("plan")
        assert planned.returncode == 2
        assert "refused without --yes: 3 of 5 mounts would go" in planned.stderr
        running.config.write_text("")
        assert "the file declares no mount: all 5 would go: only with --yes" in running.run("reload").stderr
        assert pids(running) == before
        running.configure(moto, a={"bucket": bucket}, b={"bucket": bucket})
        assert running.run("reload", "--yes").returncode == 0
        assert pids(running) == {name: before[name] for name in ("a", "b")}
        # Two of two are no more than an operator takes away, but an empty file is.
        running.configure(moto, a={"bucket": bucket})
        assert running.run("reload").returncode == 0


def test_another_bucket_under_a_writers_hands_is_refused_unless_it_is_meant(
    running: Running, moto: MotoServer, bucket: str
) -> None:
    other = moto.bucket()
    running.configure(moto, m={"bucket": bucket})
    with running.running():
        writer = Writer(running.mountpoint("m") / "new", 10)
        try:
            running.poll_uploads("m", 1)
            running.configure(moto, m={"bucket": other})
            done = running.run("reload")
            assert done.returncode == 1
            assert "m: its bucket would be another while a file is open for writing: only with --yes" in done.stderr
            assert running.run("reload", "--yes").stdout == "m: replaced\n"
            writer.finish()
        finally:
            writer.close()
        assert moto.boto.get_object(Bucket=bucket, Key="new")["Body"].read() == writer.content


def test_a_mount_that_goes_waits_for_what_is_being_written_and_holds_up_nobody(
    running: Running, moto: MotoServer, bucket: str
) -> None:
    running.configure(moto, gone={"bucket": bucket}, handed={"bucket": bucket})
    with running.running():
        before = pids(running)
        writer = Writer(running.mountpoint("gone") / "new", 10)
        try:
            running.poll_uploads("gone", 1)
            running.configure(moto, handed={"bucket": bucket, "uid": 5}, new={"bucket": bucket})
            reload = subprocess.Popen(
                [MOUNTCTL, "reload"], env=running.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
            with reload:
                running.wait_for("new", "ready")
                assert pids(running)["handed"] != before["handed"]
                assert reload.poll() is None
                writer.finish()
                told, errors = reload.communicate(timeout=WAIT_SECONDS_MAX)
        finally:
            writer.close()
        assert (told, errors) == ("gone: removed\nhanded: handed over\nnew: added\n", "")
        assert moto.boto.get_object(Bucket=bucket, Key="new")["Body"].read() == writer.content
        assert set(running.mounted()) == {str(running.mountpoint(name)) for name in ("handed", "new")}


@pytest.mark.slow
def test_a_mount_that_goes_waits_for_a_file_that_is_never_complete_until_its_deadline(
    running: Running, moto: MotoServer, bucket: str
) -> None:
    running.configure(moto, gone={"bucket": bucket}, same={"bucket": bucket})
    with running.running():
        writer = Writer(running.mountpoint("gone") / "new", 10)
        try:
            running.poll_uploads("gone", 1)
            running.configure(moto, same={"bucket": bucket})
            done = subprocess.run(
                [MOUNTCTL, "reload"], env=running.environment, capture_output=True, text=True, check=False
            )
        finally:
            writer.close()
        assert done.stdout == "gone: removed, while 1 files were being written\nsame: unchanged\n"
        assert done.returncode == 1
        assert running.mounted() == [str(running.mountpoint("same"))]


@pytest.fixture
def full(running: Running) -> Iterator[Path]:
    """A file system that is writable, and has no room for another directory."""
    path = running.work / "full"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "nr_inodes=2", "tmpfs", path], check=True)
    (path / "last").touch()
    yield path
    subprocess.run(["umount", path], check=True)


def test_with_atomic_one_that_fails_when_all_were_asked_takes_all_back(
    running: Running, moto: MotoServer, bucket: str, full: Path
) -> None:
    running.configure(moto, a={"bucket": bucket}, gone={"bucket": bucket}, moved={"bucket": bucket})
    running.start()
    running.wait_for_states("ready")
    with (running.mountpoint("gone") / "x").open("rb") as file:
        before = pids(running)
        wanted = {
            "a": {"bucket": bucket, "uid": 5},
            "moved": {"bucket": bucket, "mountpoint": str(running.mountpoint("there"))},
            "new": {"bucket": bucket},
        }
        running.configure(moto, **wanted, bad={"bucket": bucket, "mountpoint": str(full / "bad")})
        done = running.run("reload", "--atomic")
        assert done.returncode == 1
        assert "not reloaded: all went back to what it was, because of bad (added, backoff: " in done.stderr
        assert "a: handed over, went back: handed over\n" in done.stdout
        assert "gone: unchanged\n" in done.stdout
        assert "moved: moved, went back: moved\n" in done.stdout
        assert "new: added, went back: removed\n" in done.stdout
        after = running.status()
        assert {m["name"]: m["mountpoint"] for m in after["mounts"]} == {
            name: str(running.mountpoint(name)) for name in before
        }
        assert os.stat(running.mountpoint("a") / "x").st_uid == 0
        assert file.read() == b"x"
        assert pids(running)["moved"] == before["moved"]
        assert after["supervisor"]["generation"] == 1
        assert after["health"] == "degraded"
    assert running.stop() == 0
    running.configure(moto, **wanted)
    running.start()
    running.wait_for_states("ready")
    assert set(pids(running)) == set(wanted)


def test_with_only_the_other_mounts_stay_as_they_are(running: Running, moto: MotoServer, bucket: str) -> None:
    running.configure(moto, a={"bucket": bucket}, b={"bucket": bucket})
    with running.running():
        before = pids(running)
        running.configure(
            moto, a={"bucket": bucket, "debug": True}, b={"bucket": bucket, "uid": 5}, c={"bucket": bucket}
        )
        assert running.run("reload", "--only", "a", "--only", "c").stdout == "a: changed live\nb: unchanged\nc: added\n"
        assert pids(running) | {"c": 0} == before | {"c": 0}
        unknown = running.run("reload", "--only", "nobody")
        assert unknown.returncode == 1
        assert "nobody: neither the file nor the supervisor has a mount of that name" in unknown.stderr
        assert running.run("reload").stdout == "a: unchanged\nb: handed over\nc: unchanged\n"


def test_a_reload_on_trial_goes_back_by_itself_and_one_that_is_confirmed_stays(
    running: Running, moto: MotoServer, bucket: str
) -> None:
    running.configure(moto, a={"bucket": bucket})
    with running.running():
        assert "there is nothing to confirm" in running.run("confirm").stderr
        before = pids(running)["a"]
        running.configure(moto, a={"bucket": bucket, "debug": True}, b={"bucket": bucket})
        done = running.run("reload", "--confirm", "1")
        assert (done.returncode, done.stdout) == (0, "a: changed live\nb: added\n")
        assert "`mountctl confirm` keeps it" in done.stderr
        poll_until(lambda: set(pids(running)) == {"a"}, "what was in force before")
        poll_until(lambda: not running.status()["supervisor"]["config"]["last_reload"]["ok"], "the word on it")
        told = running.status()["supervisor"]["config"]
        assert told["confirm_by"] is None
        assert "nobody confirmed the last reload within 1 s" in told["last_reload"]["errors"][0]
        assert pids(running)["a"] == before

        assert running.run("reload", "--confirm", "60").stdout == "a: changed live\nb: added\n"
        assert running.status()["supervisor"]["config"]["confirm_by"] is not None
        refused = running.run("reload")
        assert refused.returncode == 1
        assert "waits for `mountctl confirm`" in refused.stderr
        assert running.run("confirm").returncode == 0
        assert running.run("reload").stdout == "a: unchanged\nb: unchanged\n"
        assert running.status()["health"] == "ready"
        assert set(pids(running)) == {"a", "b"}


def test_a_trial_goes_on_when_its_supervisor_is_killed_and_what_was_before_comes_back(
    running: Running, moto: MotoServer, bucket: str
) -> None:
    running.configure(moto, a={"bucket": bucket})
    running.start()
    running.wait_for("a", "ready")
    running.configure(moto, a={"bucket": bucket, "debug": True}, b={"bucket": bucket})
    assert running.run("reload", "--confirm", "20").stdout == "a: changed live\nb: added\n"
    pid = pids(running)["a"]
    running.crash()
    running.start()
    poll_until(
        lambda: running.status() and not running.status()["supervisor"]["config"]["last_reload"]["ok"], "its end"
    )
    assert set(pids(running)) == {"a"}
    assert pids(running)["a"] == pid
    assert "nobody confirmed the last reload within 20 s" in running.run("status").stdout
    running.crash()
    running.start()  # the same file is not believed a second time
    running.wait_for("a", "ready")
    assert [mount["name"] for mount in running.status()["mounts"]] == ["a"]
    assert running.run("reload").stdout == "a: changed live\nb: added\n"
    running.crash()
    with running.running():
        assert set(pids(running)) == {"a", "b"}
