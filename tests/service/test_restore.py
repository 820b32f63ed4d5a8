"""`mountctl restore`: archived objects are counted, restored under a limit, and then read; status knows of them."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from mountctl.control.client import ControlClient
from tests.faults import Answer, FaultyProxy, Seen, error
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


@dataclass
class Glacier:
    """Restores take for ever, and are told of by HEAD alone."""

    under_way: set[str] = field(default_factory=set)

    def decide(self, seen: Seen) -> Answer | None:
        key, _, query = seen.target.partition("?")
        if seen.method == "POST" and query.startswith("restore"):
            if key in self.under_way:
                return error(409, "RestoreAlreadyInProgress")
            self.under_way.add(key)
            return Answer(202)
        if seen.method == "HEAD" and key in self.under_way:
            told = {"x-amz-storage-class": "GLACIER", "x-amz-restore": 'ongoing-request="true"', "etag": '"e"'}
            return Answer(200, {**told, "last-modified": "Thu, 26 Nov 2026 10:00:00 GMT"}, b"x")
        return None


@contextmanager
def freezing(running: Running, moto: MotoServer) -> Iterator[tuple[FaultyProxy, Glacier]]:
    """A mount `cold` of two archived objects below `d`, in front of a Glacier."""
    glacier, bucket = Glacier(), moto.bucket()
    for key in ("d/a", "d/b"):
        moto.boto.put_object(Bucket=bucket, Key=key, Body=b"x", StorageClass="GLACIER")
    with FaultyProxy(moto.endpoint, glacier.decide) as proxy:
        running.configure(proxy.endpoint, cold={"bucket": bucket})
        with running.running():
            yield proxy, glacier


def test_an_archived_file_is_restored_and_the_log_has_said_how(archive: Archive) -> None:
    file = archive.mountpoint / "a"
    with pytest.raises(PermissionError):
        file.read_bytes()
    poll_until(lambda: f"`mountctl restore '{file}'`" in archive.running.log_text(), "the log")

    first = archive.restore(file, "--days", "3", "--wait")
    again = archive.told(file)

    assert first.returncode == 0, first.stderr
    assert "1 object (1 B) to be restored, tier Standard" in first.stderr
    assert file.read_bytes() == b"a"
    assert (again["asked"], again["readable"], again["archived"]) == (0, 1, 0)


@pytest.mark.slow
def test_a_directory_is_restored_as_a_whole_and_costs_a_listing_and_a_request_each(archive: Archive) -> None:
    before = archive.status["stats"]["s3_requests"]

    told = archive.told(archive.mountpoint / "d", "--recursive", "--tier", "bulk")
    poll_until(lambda: archive.status["stats"]["s3_requests"].get("RestoreObject", 0) == 2, "a heartbeat")

    after = archive.status["stats"]["s3_requests"]
    assert (told["asked"], told["readable"], told["failed"]) == (2, 1, 0)
    # Counted, then counted again and asked for: whether there is an object of this name, what is below it, and whether
    # the listing tells what is being restored.
    assert {name: after[name] - before.get(name, 0) for name in ("HeadObject", "ListObjectsV2")} == {
        "HeadObject": 4,
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


def test_status_shows_what_is_under_way_whatever_serves_the_mount(running: Running, moto: MotoServer) -> None:
    directory = running.mountpoint("cold") / "d"

    def known() -> dict[str, Any]:
        restores: dict[str, Any] = running.mount("cold")["restores"]
        return restores

    with freezing(running, moto) as (_, glacier):
        assert running.run("restore", str(directory), "-r", "--tier", "bulk").returncode == 0
        table, detail = running.run("status").stdout, running.run("status", "cold").stdout
        os.kill(running.mount("cold")["engine"]["pid"], signal.SIGKILL)
        poll_until(lambda: running.mount("cold")["engine"]["takeovers"] == 1, "another engine")
        after_death = known()
        assert running.run("restart", "cold").returncode == 0
        after_handover = known()
        running.crash()
        running.start()
        running.wait_for("cold", "ready")
        after_supervisor = known()
        again = running.run("restore", str(directory), "-r", "--tier", "bulk", "--json")
        glacier.under_way.clear()  # moto says then that they are archived, and nobody has asked
        running.run("restore", str(directory), "-r", "--status")
        at_the_end = known()

    assert "2 restoring, the next expected within 11h" in table
    assert str(directory) not in table.partition("2 restoring")[2]
    assert f"restoring (Bulk): {directory} and below: 2, expected within 11h" in " ".join(detail.split())
    assert [each["under_way"] for each in (after_death, after_handover, after_supervisor)] == [2, 2, 2]
    assert after_supervisor["requests"] == after_death["requests"]
    assert (json.loads(again.stdout)["asked"], json.loads(again.stdout)["under_way"]) == (0, 2)
    assert at_the_end["under_way"] == 0


def test_a_request_whose_engine_dies_is_told_at_once_with_what_was_asked(running: Running, moto: MotoServer) -> None:
    directory = str(running.mountpoint("cold") / "d")
    with freezing(running, moto) as (proxy, glacier):

        def decide(seen: Seen) -> Answer | None:
            if seen.method == "POST" and "/d/b?" in seen.target:
                poll_until(lambda: len(glacier.under_way) == 1, "the other one to be asked for")
                os.kill(running.mount("cold")["engine"]["pid"], signal.SIGKILL)
                return Answer(never=True)
            return glacier.decide(seen)

        proxy.decide = decide
        lost = running.run("restore", "-r", directory)
        proxy.decide = glacier.decide
        poll_until(lambda: running.mount("cold")["engine"]["takeovers"] == 1, "another engine")
        running.wait_for("cold", "ready")
        again = running.run("restore", "-r", directory)

        assert lost.returncode == 1
        assert "its engine ended before it answered: S3 was asked for at least 0 of 2 objects" in lost.stderr
        assert "without an answer 1 paths" in lost.stdout
        assert again.returncode == 0, again.stderr
        assert again.stdout.startswith("asked for 1, under way 2, readable 0, archived 0")
        assert running.mount("cold")["restores"]["under_way"] == 2
