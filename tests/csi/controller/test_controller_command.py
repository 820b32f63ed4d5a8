"""`mountctl csi-controller`, as its pod runs it."""

import signal
import subprocess
import sys
from pathlib import Path

import grpc
import pytest

from mountctl.csi.proto import csi_pb2, csi_pb2_grpc
from tests.service.running import MOUNTCTL, WAIT_SECONDS_MAX, poll_until


def test_it_answers_until_it_is_told_to_end(tmp_path: Path) -> None:
    endpoint = tmp_path / "csi.sock"
    process = subprocess.Popen(
        [MOUNTCTL, "csi-controller", f"--endpoint=unix:{endpoint}", "--driver-name=s3.csi.aws.com"],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        poll_until(endpoint.exists, "the controller to listen")
        with grpc.insecure_channel(f"unix://{endpoint}") as channel:
            identity = csi_pb2_grpc.IdentityStub(channel)
            told = identity.GetPluginInfo(csi_pb2.GetPluginInfoRequest(), timeout=WAIT_SECONDS_MAX, wait_for_ready=True)
            assert told.name == "s3.csi.aws.com"
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=WAIT_SECONDS_MAX)
    finally:
        process.kill()
        process.wait()

    assert process.returncode == 0, said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ([], "--endpoint is missing"),
        (["--endpoint=csi.sock"], "must be unix:///PATH"),
        (["--endpoint=unix:///run/csi.sock", "--driver-name=-x"], "--driver-name '-x'"),
    ],
)
def test_wrong_options_are_one_sentence(options: list[str], told: str) -> None:
    done = subprocess.run([MOUNTCTL, "csi-controller", *options], capture_output=True, text=True)

    assert done.returncode in (1, 2)
    assert done.stderr.startswith("mountctl: ")
    assert told in done.stderr
    assert done.stderr.count("\n") == 1


def test_it_brings_neither_fuse_nor_an_event_loop_along_and_boto3_only_when_it_is_needed() -> None:
    script = "import sys, mountctl.commands.csi_controller, mountctl.csi.controller_process; print(*sys.modules)"
    imported = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()

    assert "grpc" in imported
    for heavy in ("pyfuse3", "trio", "boto3", "botocore", "awscrt", "mountctl.supervisor", "mountctl.daemon"):
        assert heavy not in imported
