"""Multipart uploads when everything has gone: after a start those of this host are aborted, and no others."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.servers import S3Server
from tests.service.running import Running, gone, poll_until

MiB = 1024 * 1024
SIZE = 18 * MiB
_WRITER = """
import os, sys
file = open(sys.argv[1], "wb", buffering=0)
file.write(os.urandom(9 << 20))
print(flush=True)
sys.stdin.read()
"""


def uploads(moto: S3Server, bucket: str) -> dict[str, str]:
    """Keys by upload id."""
    listed = moto.boto.list_multipart_uploads(Bucket=bucket).get("Uploads", [])
    return {upload["UploadId"]: upload["Key"] for upload in listed}


def noted(running: Running) -> str:
    """All that the state directory has of uploads."""
    return "".join(path.read_text() for path in (running.work / "state" / "uploads").glob("*/*.json"))


@contextlib.contextmanager
def writing(path: Path) -> Any:
    """A process that has written 9 MiB of a file, and has it open."""
    with subprocess.Popen(
        [sys.executable, "-c", _WRITER, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "\n"
        try:
            yield
        finally:
            writer.kill()


def kill_everything(running: Running) -> None:
    """Supervisor, FD holder and engine, at once: as if the host went down, but for the mount."""
    holder = running.holder()
    engines = [mount["engine"]["pid"] for mount in running.status()["mounts"]]
    assert holder is not None
    assert running.process is not None
    for pid in (running.process.pid, holder, *engines):
        os.kill(pid, signal.SIGKILL)
    running.process.wait()
    running.process = None
    poll_until(lambda: all(gone(pid) for pid in (holder, *engines)), "all to end")
    for mountpoint in running.mounted():
        subprocess.run(["umount", "--lazy", mountpoint], check=True)


def left_behind(running: Running, moto: S3Server, path: Path, bucket: str) -> str:
    """Leave an upload of a file behind; returns its id."""
    with writing(path):
        (upload,) = poll_until(lambda: uploads(moto, bucket), "the upload")
        poll_until(lambda: upload in noted(running), "it to be written down")
        kill_everything(running)
    assert upload in uploads(moto, bucket)
    return upload


def test_an_upload_that_nothing_survived_is_aborted_at_the_next_start_and_a_foreign_one_stays(
    running: Running, moto: S3Server
) -> None:
    """S120: with the same key, the foreign one."""
    bucket = moto.bucket()
    running.configure(moto, data={"bucket": bucket, "prefix": "p/"})
    running.start()
    running.wait_for_states("ready")
    mine = left_behind(running, moto, running.mountpoint("data") / "big", bucket)
    foreign = [moto.boto.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"] for key in ("p/big", "p/other")]

    with running.running():
        poll_until(lambda: mine not in uploads(moto, bucket), "the abort")
        poll_until(lambda: not noted(running), "it to be forgotten")

    assert sorted(uploads(moto, bucket)) == sorted(foreign)
    assert "1 multipart uploads of sessions before this one were aborted" in running.log_text()


def test_uploads_are_left_alone_until_a_mount_may_write_where_they_are(running: Running, moto: S3Server) -> None:
    bucket = moto.bucket()
    running.configure(moto, data={"bucket": bucket})
    running.start()
    running.wait_for_states("ready")
    mine = left_behind(running, moto, running.mountpoint("data") / "big", bucket)

    others = {"reads": {"bucket": bucket, "read_only": True}, "beside": {"bucket": bucket, "prefix": "p/"}}
    running.configure(moto, **others)
    with running.running():
        told = "1 multipart uploads that the mount data left in " + bucket
        poll_until(lambda: told in running.log_text(), "it to be told")
        assert (mine in noted(running), mine in uploads(moto, bucket)) == (True, True)
        running.configure(moto, **others, other={"bucket": bucket})
        assert running.run("reload").returncode == 0
        poll_until(lambda: mine not in uploads(moto, bucket), "the abort")
        poll_until(lambda: not noted(running), "it to be forgotten")
    assert running.log_text().count(told) == 1


def test_an_upload_goes_on_when_its_engine_is_adopted_and_handed_over(running: Running, moto: S3Server) -> None:
    bucket, data = moto.bucket(), os.urandom(SIZE)
    # Two mounts of one bucket: neither must abort what the other's engine writes.
    running.configure(moto, data={"bucket": bucket}, same={"bucket": bucket})
    with running.running():
        path = running.mountpoint("data") / "big"
        with path.open("wb", buffering=0) as file:
            file.write(data[: 9 * MiB])
            (upload,) = poll_until(lambda: uploads(moto, bucket), "the upload")
            poll_until(lambda: upload in noted(running), "it to be written down")
            poll_until(lambda: len(running.held_processes()) == 2, "both engines to be held")
            running.crash()
            for file_of_uploads in (running.work / "state" / "uploads").glob("*/*.json"):
                file_of_uploads.unlink()  # what was told last may not have been written down
            file.write(data[9 * MiB : 12 * MiB])
            running.start()
            for name in ("data", "same"):
                running.wait_for(name, "ready")
            poll_until(lambda: upload in noted(running), "it to be told again")
            restarted = running.run("restart", "data", "same")
            assert restarted.returncode == 0, restarted.stderr
            file.write(data[12 * MiB :])
            assert list(uploads(moto, bucket)) == [upload]
        assert path.read_bytes() == data
        poll_until(lambda: not noted(running), "it to be forgotten")
    assert "were aborted" not in running.log_text()


def test_an_upload_on_a_mount_that_was_replaced_goes_on_beside_the_one_that_took_its_place(
    running: Running, moto: S3Server
) -> None:
    bucket, data = moto.bucket(), os.urandom(SIZE)
    running.configure(moto, data={"bucket": bucket, "prefix": "p/"})
    with running.running():
        with (running.mountpoint("data") / "big").open("wb", buffering=0) as file:
            file.write(data[: 9 * MiB])
            (upload,) = poll_until(lambda: uploads(moto, bucket), "the upload")
            poll_until(lambda: upload in noted(running), "it to be written down")
            running.configure(moto, data={"bucket": bucket})
            assert running.run("reload").returncode == 0
            assert os.listdir(running.mountpoint("data")) == []
            (running.mountpoint("data") / "other").write_bytes(data)
            assert list(uploads(moto, bucket)) == [upload]
            file.write(data[9 * MiB :])
        assert (running.mountpoint("data") / "p" / "big").read_bytes() == data
        poll_until(lambda: not noted(running), "it to be forgotten")
    assert "uploads that were left behind" not in running.log_text()


def test_what_is_not_complete_when_a_mount_is_stopped_is_aborted_and_not_written_down_any_more(
    running: Running, moto: S3Server
) -> None:
    bucket = moto.bucket()
    running.configure(moto, data={"bucket": bucket})
    with running.running(), writing(running.mountpoint("data") / "big"):
        (upload,) = poll_until(lambda: uploads(moto, bucket), "the upload")
        poll_until(lambda: upload in noted(running), "it to be written down")
        assert running.stop() == 0
        assert (uploads(moto, bucket), noted(running)) == ({}, "")
        running.start()
        running.wait_for_states("ready")


def test_a_mount_whose_state_directory_cant_be_used_is_served(running: Running, moto: S3Server) -> None:
    bucket = moto.bucket()
    (running.work / "state").mkdir()
    (running.work / "state" / "uploads").write_text("in the way")
    running.configure(moto, data={"bucket": bucket})
    with running.running():
        (running.mountpoint("data") / "big").write_bytes(bytes(SIZE))
        assert moto.boto.head_object(Bucket=bucket, Key="big")["ContentLength"] == SIZE
    assert running.log_text().count("uploads that are begun now stay in S3, should this host go down") == 1
