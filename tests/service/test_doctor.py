"""`mountctl doctor` with real supervisors, mounts and servers: what it names, and that it ends whatever hangs."""

import json
import os
import signal
import subprocess
from typing import Any, Final

import pytest

from tests.servers import MotoServer
from tests.service.guarded import Guarded
from tests.service.running import MOUNTCTL, Running

# What a busy machine may need: doctor starts five interpreters. A test that passes never waits for it.
SECONDS_MAX: Final = 180.0
# What a host of tests may lack, which is no trouble of mountctl: fusectl is mounted by systemd, which is not there.
OF_HOST: Final = {
    "fusectl",
    "kernel-resend",
    "kernel-beneath",
    "unit",
    "memory",
    "state-fleeting",
    "updatedb",
    "pid-max",
}


def _doctor(running: Running, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [MOUNTCTL, "doctor", *arguments]
    return subprocess.run(command, env=running.environment, capture_output=True, text=True, timeout=SECONDS_MAX)


def _findings(running: Running, *arguments: str) -> list[dict[str, Any]]:
    done = _doctor(running, "--json", *arguments)
    assert done.stderr == ""
    told = json.loads(done.stdout)
    worst = {each["severity"] for each in told["findings"]}
    assert done.returncode == (2 if "error" in worst else 1 if "warning" in worst else 0)
    found: list[dict[str, Any]] = told["findings"]
    return found


def _bad(findings: list[dict[str, Any]]) -> set[tuple[str, str | None]]:
    """What is not as it should be, but for what this host lacks."""
    return {(f["id"], f["mount"]) for f in findings if f["severity"] != "ok" and f["id"] not in OF_HOST}


def test_a_healthy_mount_has_no_finding_and_each_of_its_needs_was_looked_at(
    running: Running, moto: MotoServer, bucket: str
) -> None:
    link = running.work / "link"
    link.symlink_to(running.mountpoint("b"))
    running.mountpoint("b").mkdir(parents=True)
    running.configure(moto, a={"bucket": bucket}, b={"bucket": bucket, "mountpoint": str(link), "read_only": True})
    with running.running():
        findings = _findings(running)
    assert _bad(findings) == set()
    passed = {each["id"] for each in findings if each["severity"] == "ok" and each["mount"] == "a"}
    expected = {"credentials", "bucket", "region", "permission-list", "permission-get", "permission-put"}
    assert passed == expected | {"dns", "proxy", "clock", "mount-failed", "mount-silent"}


@pytest.mark.slow
def test_what_is_wrong_is_told_worst_first_with_reason_and_fix_and_only_of_the_mount_that_is_named(
    running: Running, moto: MotoServer, bucket: str
) -> None:
    running.configure(moto, a={"bucket": bucket}, b={"bucket": "gone-for-a-test"})
    with running.running("ready", "failed", "backoff"):
        lines = _doctor(running).stdout.splitlines()
        only = _findings(running, "a")
    assert lines[0].startswith("2 errors, ")
    [line] = [line for line in lines if "[bucket]" in line]
    assert line.startswith("error    mount b: bucket 'gone-for-a-test' does not exist at ")
    assert lines[lines.index(line) + 1].startswith("         why: ")
    assert lines[lines.index(line) + 2].startswith("         fix: ")
    assert _bad(only) == set()


def test_without_a_supervisor_everything_else_is_told(running: Running, moto: MotoServer, bucket: str) -> None:
    running.configure(moto, a={"bucket": bucket})
    assert _bad(_findings(running)) == {("supervisor", None)}


@pytest.mark.slow
def test_a_name_that_is_none_is_an_error(running: Running, moto: MotoServer, bucket: str) -> None:
    running.configure(moto, alpha={"bucket": bucket})
    done = _doctor(running, "alpa")
    assert done.returncode == 1
    assert "did you mean alpha" in done.stderr


@pytest.mark.slow
def test_a_supervisor_that_was_killed_is_named(running: Running, moto: MotoServer, bucket: str) -> None:
    running.configure(moto, a={"bucket": bucket})
    with running.running():
        running.crash()
        assert ("supervisor", None) in _bad(_findings(running))
        running.start()
        running.wait_for_states("ready")


@pytest.mark.slow
def test_a_supervisor_that_is_stopped_is_named_in_bounded_time(running: Running, moto: MotoServer, bucket: str) -> None:
    running.configure(moto, a={"bucket": bucket})
    with running.running():
        assert running.process is not None
        running.process.send_signal(signal.SIGSTOP)
        try:
            assert _bad(_findings(running)) == {("supervisor-silent", None)}
        finally:
            running.process.send_signal(signal.SIGCONT)


def test_an_engine_that_is_stopped_is_named_in_bounded_time(running: Running, moto: MotoServer, bucket: str) -> None:
    running.configure(moto, a={"bucket": bucket})
    with running.running():
        # With the supervisor, which would replace it.
        assert running.process is not None
        pid = running.mount("a")["engine"]["pid"]
        running.process.send_signal(signal.SIGSTOP)
        os.kill(pid, signal.SIGSTOP)
        try:
            found = _bad(_findings(running))
        finally:
            os.kill(pid, signal.SIGCONT)
            running.process.send_signal(signal.SIGCONT)
        assert ("mount-silent", "a") in found


@pytest.mark.slow
def test_a_put_that_is_refused_is_named_with_its_permission(running: Running) -> None:
    with MotoServer() as server:
        guarded = Guarded(server)
        running.environment |= {"AWS_ACCESS_KEY_ID": guarded.access_key, "AWS_SECRET_ACCESS_KEY": guarded.secret_key}
        running.configure(server, a={"bucket": guarded.bucket}, b={"bucket": guarded.bucket, "read_only": True})
        guarded.allow({"s3:ListBucket", "s3:GetObject", "s3:AbortMultipartUpload"})
        guarded.guard(on=True)
        findings = _findings(running)
        guarded.close()
    assert _bad(findings) == {("permission-put", "a"), ("supervisor", None)}
    [put] = [each for each in findings if each["id"] == "permission-put"]
    assert "allow s3:PutObject" in put["what"]
