"""`mountctl restore`: archived objects are counted, restored under a limit, and then read; status knows of them."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mountctl.control.client import ControlClient
from tests.servers import MotoServer
from tests.service.running import MOUNTCTL, WAIT_SECONDS_MAX, Running, poll_until


class Archive:
    """A bucket with archived objects, mounted."""

    def __init__(self, running: Running, moto: MotoServer, bucket: str) -> None:
        self.running, self.moto, self.bucket = running, moto, bucket
        for key in ("a", "d/b", "d/e/c"):
            moto.boto.put_object(Bucket=bucket, Key=f"p/{key}", Body=key.encode(), StorageClass="GLACIER")
        moto.boto.put_object(Bucket=bucket, Key="p/d/plain", Body=b"plain")
        running.configure(moto, cold={"bucket": bucket, "prefix": "p/"})
        self.mountpoint = running.mountpoint("cold")

    def restore(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [MOUNTCTL, "restore", *arguments],
            env=self.running.environment,
            capture_output=True,
            text=True,
            timeout=WAIT_SECONDS_MAX,
        )

    def told(self, *arguments: str | Path) -> dict[str, Any]:
        done = self.restore(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        told: dict[str, Any] = json.loads(done.stdout)
        return told

    @property
    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = ControlClient(self.running.work / "run").status(["cold"])["mounts"][0]
        return status


@pytest.fixture
def archive(running: Running, moto: MotoServer) -> Iterator[Archive]:
    it = Archive(running, moto, moto.bucket())
    with running.running():
        yield it


def test_an_archived_file_is_restored_and_the_log_has_said_how(archive: Archive) -> None:
    file = archive.mountpoint / "a"
    with pytest.raises(PermissionError):
        file.read_bytes()
    poll_until(lambda: f"`mountctl restore '{file}'`" in archive.running.log_text(), "the log")

    first = archive.restore(file, "--days", "3", "--wait")
    again = archive.told(file)

    assert first.returncode == 0, first.stderr
    assert "1 object (1 bytes) to be restored, tier Standard" in first.stderr
    assert file.read_bytes() == b"a"
    assert (again["asked"], again["readable"], again["archived"]) == (0, 1, 0)


@pytest.mark.slow
def test_a_directory_is_restored_as_a_whole_and_costs_a_listing_and_a_request_each(archive: Archive) -> None:
    before = archive.status["stats"]["s3_requests"]

    told = archive.told(archive.mountpoint / "d", "--recursive", "--tier", "bulk")
    poll_until(lambda: archive.status["stats"]["s3_requests"].get("RestoreObject", 0) == 2, "a heartbeat")

    after = archive.status["stats"]["s3_requests"]
    assert (told["asked"], told["readable"], told["failed"]) == (2, 1, 0)
    # Counted, then counted again and asked for: whether there is an object of this name, and what is below it.
    assert {name: after[name] - before.get(name, 0) for name in ("HeadObject", "ListObjectsV2")} == {
        "HeadObject": 2,
        "ListObjectsV2": 2,
    }


@pytest.mark.slow
def test_more_than_is_allowed_is_not_asked_for(archive: Archive) -> None:
    count = archive.restore(archive.mountpoint, "-r", "--max-objects", "2")
    size = archive.restore(archive.mountpoint, "-r", "--max-bytes", "3")

    assert (count.returncode, size.returncode) == (1, 1)
    assert "more than 2 objects are archived there: give --max-objects" in count.stderr
    assert "more than 3 bytes are archived there: give --max-bytes" in size.stderr
    assert "RestoreObject" not in archive.status["stats"]["s3_requests"]


@pytest.mark.slow
def test_what_is_no_file_of_a_mount_is_told(archive: Archive) -> None:
    nowhere, nothing = archive.restore("/etc/hosts"), archive.restore(archive.mountpoint / "nothing")

    assert "/etc/hosts is in no mount" in nowhere.stderr
    assert "S3 has no such object" in nothing.stderr
    assert (nowhere.returncode, nothing.returncode) == (1, 1)
