"""`mountctl reload`: add, remove, restart what changed; nothing at all when the file is broken."""

import signal
from pathlib import Path

from tests.servers import S3Server
from tests.service.running import Running, poll_until


def test_reload_adds_removes_and_restarts_only_what_changed(running: Running, moto: S3Server) -> None:
    bucket = moto.bucket()
    moto.put(bucket, "d/x", b"x")
    running.configure(moto, same={"bucket": bucket}, gone={"bucket": bucket}, changed={"bucket": bucket})

    with running.running():
        before = {name: running.mount(name)["engine"]["pid"] for name in ("same", "gone", "changed")}
        running.configure(
            moto, same={"bucket": bucket}, changed={"bucket": bucket, "prefix": "d/"}, new={"bucket": bucket}
        )
        done = running.run("reload")

        assert done.returncode == 0, done.stderr
        after = {mount["name"]: mount["engine"]["pid"] for mount in running.status()["mounts"]}
        assert set(after) == {"same", "changed", "new"}
        assert after["same"] == before["same"]
        assert after["changed"] != before["changed"]
        assert not Path(f"/proc/{before['gone']}").exists()
        assert (running.mountpoint("changed") / "x").read_bytes() == b"x"
        assert str(running.mountpoint("gone")) not in running.mounted()
        assert running.status()["supervisor"]["generation"] == 2


def test_reload_of_a_broken_file_changes_nothing_and_is_told_with_its_line(running: Running, moto: S3Server) -> None:
    running.configure(moto, data={"bucket": moto.bucket()})

    with running.running():
        pid = running.mount("data")["engine"]["pid"]
        running.config.write_text(running.config.read_text() + "\n[mount.bad]\nbuckt = 'abc'\n")
        done = running.run("reload")
        status = running.status()

        assert done.returncode == 1
        told = done.stdout + done.stderr
        assert f"{running.config}:" in told
        assert "bucket" in told
        assert status["supervisor"]["config"]["last_reload"]["ok"] is False
        assert any("mount.bad" in error for error in status["supervisor"]["config"]["last_reload"]["errors"])
        assert status["health"] == "degraded"
        assert running.mount("data")["engine"]["pid"] == pid
        # A broken file is mended, and all is well again.
        running.configure(moto, data={"bucket": running.mount("data")["source"].split("/")[2]})
        assert running.run("reload").returncode == 0
        assert running.status()["health"] == "ready"
        assert running.mount("data")["engine"]["pid"] == pid


def test_sighup_reloads_too(running: Running, moto: S3Server) -> None:
    bucket = moto.bucket()
    running.configure(moto, one={"bucket": bucket})

    with running.running():
        running.configure(moto, one={"bucket": bucket}, two={"bucket": bucket})
        assert running.process is not None
        running.process.send_signal(signal.SIGHUP)
        poll_until(lambda: len(running.status()["mounts"]) == 2, "the second mount")
        running.wait_for("two", "ready")


def test_reload_with_a_mount_that_cannot_come_up_says_which_and_why(running: Running, moto: S3Server) -> None:
    running.configure(moto, good={"bucket": moto.bucket()})

    with running.running():
        bucket = running.mount("good")["source"].split("/")[2]
        running.configure(moto, good={"bucket": bucket}, bad={"bucket": "not-there-at-all"})
        done = running.run("reload")

        assert done.returncode == 1
        assert "not-there-at-all" in done.stdout + done.stderr
        assert running.mount("good")["state"] == "ready"
