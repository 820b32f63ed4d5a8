"""`mountctl run` reloads by itself when its file has changed, does nothing unasked, and can be told not to."""

from pathlib import Path

import pytest

from tests.servers import MotoServer
from tests.service.programs import fill, reading
from tests.service.running import Running, poll_until

EDITS = 100


@pytest.fixture
def watching(running: Running) -> Running:
    """A supervisor that watches."""
    del running.environment["MOUNTCTL_NO_WATCH"]
    return running


def wait_until_watched(running: Running) -> None:
    poll_until(lambda: running.status()["supervisor"]["config"]["watching"] == "notified", "the watch")


def test_an_edit_is_in_force_by_itself_and_a_broken_one_is_told_and_changes_nothing(
    watching: Running, moto: MotoServer
) -> None:
    running, bucket = watching, moto.bucket()
    running.configure(moto, one={"bucket": bucket})
    with running.running():
        wait_until_watched(running)
        pid = running.mount("one")["engine"]["pid"]
        running.configure(moto, one={"bucket": bucket}, two={"bucket": bucket})
        poll_until(lambda: len(running.status()["mounts"]) == 2, "the new mount")
        running.wait_for("two", "ready")
        good = running.config.read_text()
        running.config.write_text(good + "[mount.")
        poll_until(lambda: not running.status()["supervisor"]["config"]["last_reload"]["ok"], "the broken file")
        assert f"{running.config}:" in running.status()["supervisor"]["config"]["last_reload"]["errors"][0]
        assert len(running.status()["mounts"]) == 2
        running.config.write_text(good)
        poll_until(lambda: running.status()["health"] == "ready", "the good file")
        assert running.mount("one")["engine"]["pid"] == pid
        assert " detected" not in running.log_text(), "that a file lies beside the configuration is no news"


def test_a_file_that_was_emptied_takes_no_mount_away(watching: Running, moto: MotoServer) -> None:
    running, bucket = watching, moto.bucket()
    running.configure(moto, one={"bucket": bucket})
    with running.running():
        wait_until_watched(running)
        running.config.write_text("")
        poll_until(lambda: not running.status()["supervisor"]["config"]["last_reload"]["ok"], "the refusal")
        assert running.mount("one")["state"] == "ready"


def test_a_storm_of_edits_is_fewer_reloads_ends_in_the_last_state_and_nobody_notices(
    watching: Running, moto: MotoServer
) -> None:
    running, bucket = watching, moto.bucket()
    fill(moto, bucket)
    running.configure(moto, one={"bucket": bucket}, same={"bucket": bucket})
    with running.running():
        wait_until_watched(running)
        same = running.mount("same")["engine"]["pid"]
        with reading(running.mountpoint("one"), 1), reading(running.mountpoint("same"), 1):
            for number in range(1, EDITS + 1):
                others = {f"m{number % 7}": {"bucket": bucket}}
                running.configure(moto, one={"bucket": bucket, "uid": number}, same={"bucket": bucket}, **others)
            poll_until(lambda: running.run("plan").returncode == 0, "the last edit to be in force")
        running.wait_for_states("ready")
        assert {mount["name"] for mount in running.status()["mounts"]} == {"one", "same", f"m{EDITS % 7}"}
        assert (running.mountpoint("one") / "big").stat().st_uid == EDITS
        assert running.mount("same")["engine"]["pid"] == same
        assert running.status()["supervisor"]["generation"] < EDITS


def test_watch_can_be_switched_off_in_the_file_and_on_again_by_a_reload(watching: Running, moto: MotoServer) -> None:
    running, bucket = watching, moto.bucket()
    running.configure(moto, one={"bucket": bucket})
    with running.running():
        wait_until_watched(running)
        off = "[supervisor]\nwatch = false\n" + running.config.read_text()
        running.config.write_text(off)
        poll_until(lambda: running.status()["supervisor"]["config"]["watching"] is None, "the end of the watch")
        second = f'\n[mount.two]\nbucket = "{bucket}"\nmountpoint = "{running.mountpoint("two")}"\n'
        running.config.write_text(off + second)
        assert running.run("plan").returncode == 2
        assert running.run("reload").stdout == "one: unchanged\ntwo: added\n"


def test_with_no_watch_nothing_happens_by_itself(running: Running, moto: MotoServer) -> None:
    bucket = moto.bucket()
    running.configure(moto, one={"bucket": bucket})
    with running.running():
        assert running.status()["supervisor"]["config"]["watching"] is None
        assert running.process is not None
        assert all("inotify" not in str(fd.readlink()) for fd in Path(f"/proc/{running.process.pid}/fd").iterdir())
