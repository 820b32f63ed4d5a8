"""`mountctl csi-node` as a process: its sockets, its probes, its registration with kubelet, its end."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

from engine.message_ids import CSI_REFUSED
from mountctl.csi.health import AddressUnusable, HealthServer
from mountctl.csi.proto import registration_pb2, registration_pb2_grpc
from mountctl.csi.registrar import Registrar
from mountctl.csi.server import EndpointUnusable, Server, socket_path
from mountctl.metrics import exposition
from tests.csi.node.fake_supervisor import FakeSupervisor
from tests.csi.node.kubelet import SECONDS_MAX, kubelet, publish
from tests.ports import reserved_port

MOUNTCTL = Path(sys.executable).parent / "mountctl"


@pytest.fixture
def work() -> Iterator[Path]:
    """A directory whose name leaves room for a socket's, which tmp_path's does not."""
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "mounts").mkdir()
        yield Path(name)


@contextmanager
def process(work: Path, *options: str) -> Iterator["subprocess.Popen[str]"]:
    command = [
        *(MOUNTCTL, "--runtime-dir", work / "run", "csi-node", "--endpoint", f"unix://{work}/csi.sock"),
        *("--node-id", "node", "--kubelet-dir", work / "kubelet", *options),
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as running:
        try:
            yield running
        finally:
            running.kill()


def test_a_driver_serves_until_it_is_told_to_end(work: Path) -> None:
    target = work / "mounts/target"
    with FakeSupervisor(work / "run"), process(work, "--self-register") as running:
        with kubelet(work / "csi.sock") as asking:
            asking.publish(publish(target))
            asking.publish(publish(target))
            assert target.is_mount()
            asking.unpublish("volume", target)
        assert (work / "csi.sock").stat().st_mode & 0o777 == 0o600
        running.send_signal(signal.SIGTERM)
        _, log = running.communicate(timeout=SECONDS_MAX)
        assert running.returncode == 0
        assert f"NodePublishVolume volume volume target {target}: done in" in log
        assert not (work / "kubelet/plugins_registry/s3.mountctl.io-reg.sock").exists()


def test_a_log_as_json_says_what_was_refused_once_and_then_how_often(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOUNTCTL_LOG_FORMAT", "json")
    with FakeSupervisor(work / "run"), process(work) as running:
        with kubelet(work / "csi.sock") as asking:
            for _ in range(3):
                with pytest.raises(grpc.RpcError):
                    asking.publish(publish(work / "mounts/target", buckeName="bucket"))
        running.send_signal(signal.SIGTERM)
        _, log = running.communicate(timeout=SECONDS_MAX)

    told = [json.loads(line) for line in log.splitlines()]
    refused = [each for each in told if each.get("message_id") == CSI_REFUSED.id]
    assert [(each["level"], each.get("repeats")) for each in refused] == [("warning", None), ("warning", 2)]
    assert "csi-node: NodePublishVolume volume volume" in refused[0]["message"]
    assert "buckeName" in refused[0]["message"]


def test_a_volumes_secret_and_the_drivers_are_files_for_as_long_as_they_are_of_use(work: Path) -> None:
    target, secret = work / "mounts/target", work / "secret"
    secret.mkdir()
    (secret / "key_id").write_text("AKIDRIVER\n")
    (secret / "access_key").write_text("driver-very-secret\n")
    asked = publish(target, authenticationSource="secret")
    asked.secrets.update({"key_id": "AKIDVOLUME", "access_key": "volume-very-secret"})
    with FakeSupervisor(work / "run"), process(work, "--driver-secret-dir", str(secret)) as running:
        with kubelet(work / "csi.sock") as asking:
            asking.publish(asked)
            (written,) = [each for each in (work / "run/credentials").iterdir() if each.name != "_driver"]
            assert "AKIDVOLUME" in (written / "credentials").read_text()
            asked.secrets["key_id"] = "AKIDROTATED"
            asking.publish(asked)
            assert "AKIDROTATED" in (written / "credentials").read_text()
            asking.unpublish("volume", target)
            assert not written.exists()
        assert running.stderr is not None
        told = []
        while "the driver's keys were taken" not in "".join(told):
            told.append(running.stderr.readline())
        assert "AKIDRIVER" in (work / "run/credentials/_driver/credentials").read_text()
        running.send_signal(signal.SIGTERM)
        _, log = running.communicate(timeout=SECONDS_MAX)
        assert running.returncode == 0
    assert "very-secret" not in "".join(told) + log


def test_a_request_at_work_comes_to_its_end_when_the_driver_is_told_to(work: Path) -> None:
    target = work / "mounts/target"
    with FakeSupervisor(work / "run") as supervisor, process(work) as running:
        with kubelet(work / "csi.sock") as asking:
            supervisor.answers.clear()
            asked = threading.Thread(target=lambda: asking.publish(publish(target)))
            asked.start()
            supervisor.waiting.acquire()
            running.send_signal(signal.SIGTERM)
            assert running.stderr is not None
            while "ending" not in running.stderr.readline():
                pass
            supervisor.answers.set()
            asked.join()
            assert target.is_mount()
        assert running.wait(SECONDS_MAX) == 0


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--node-id", ""], "--node-id is missing"),
        (["--endpoint", ""], "--endpoint is missing"),
        (["--endpoint", "tcp://localhost:1"], "must be unix:///PATH"),
        (["--endpoint", f"unix:///{'a' * 120}"], "at most 107 bytes"),
        (["--driver-name", "-x"], "--driver-name '-x'"),
        (["--healthz", "nowhere"], "must be HOST:PORT"),
        (["--node-id", "n" * 300], "at most 256 bytes"),
    ],
)
def test_options_that_make_no_driver_are_told(work: Path, options: list[str], sentence: str) -> None:
    with process(work, *options) as running:
        _, told = running.communicate(timeout=SECONDS_MAX)
    assert running.returncode in (1, 2)
    assert sentence in told.splitlines()[-1]
    assert "Traceback" not in told


# The socket


def test_a_socket_that_is_left_over_is_replaced_and_one_in_use_is_not(tmp_path: Path) -> None:
    path = tmp_path / "left.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    server = Server(path, lambda _: None, threads=1)
    server.start()
    with pytest.raises(EndpointUnusable, match="another process listens there"):
        Server(path, lambda _: None, threads=1).start()
    server.stop(0).wait()
    path.unlink(missing_ok=True)
    path.write_text("precious")
    with pytest.raises(EndpointUnusable, match="no socket is there"):
        Server(path, lambda _: None, threads=1).start()
    assert path.read_text() == "precious"


@pytest.mark.parametrize("endpoint", ["unix:///run/csi.sock", "unix:/run/csi.sock", "/run/csi.sock"])
def test_an_endpoint_is_a_path(endpoint: str) -> None:
    assert socket_path(endpoint) == Path("/run/csi.sock")


# Probes


def ask(port: int, path: str) -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}") as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def told(port: int, path: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}") as answer:
        assert answer.headers["Content-Type"] == exposition.PROMETHEUS_TYPE
        return str(answer.read().decode())


def test_a_driver_without_a_supervisor_lives_and_is_not_ready(tmp_path: Path) -> None:
    (tmp_path / "mounts").mkdir()
    with (
        reserved_port() as port,
        FakeSupervisor(tmp_path / "run") as supervisor,
        process(tmp_path, "--healthz", f"127.0.0.1:{port}"),
    ):
        with kubelet(tmp_path / "csi.sock"):
            pass
        assert (ask(port, "/healthz"), ask(port, "/readyz"), ask(port, "/other")) == (200, 200, 404)
        assert "mountctl_up 1\n" in told(port, "/metrics")
        supervisor.stop()
        assert (ask(port, "/healthz"), ask(port, "/readyz")) == (200, 503)
        assert "mountctl_up 0\n" in told(port, "/metrics")


def test_an_address_of_probes_that_is_taken_is_told() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(AddressUnusable, match="Address already in use"):
            HealthServer(f"127.0.0.1:{taken.getsockname()[1]}", {})


# kubelet's registration


def stub(path: Path) -> registration_pb2_grpc.RegistrationStub:
    channel = grpc.insecure_channel(f"unix:{path}")
    grpc.channel_ready_future(channel).result(SECONDS_MAX)
    return registration_pb2_grpc.RegistrationStub(channel)


def test_kubelet_learns_who_is_there(work: Path) -> None:
    registrar = Registrar("driver.example", Path("/plugins/csi.sock"), work)
    registrar.start()
    path = work / "plugins_registry/driver.example-reg.sock"
    try:
        kubelet_ = stub(path)
        info = kubelet_.GetInfo(registration_pb2.InfoRequest())
        assert (info.type, info.name, info.endpoint) == ("CSIPlugin", "driver.example", "/plugins/csi.sock")
        assert info.supported_versions == ["1.0.0"]
        kubelet_.NotifyRegistrationStatus(registration_pb2.RegistrationStatus(plugin_registered=True))
        assert registrar.registered.is_set()
    finally:
        registrar.stop()
    assert not path.exists()


def test_a_registration_that_failed_is_begun_anew(work: Path, caplog: pytest.LogCaptureFixture) -> None:
    registrar = Registrar("driver.example", Path("/plugins/csi.sock"), work, again_seconds=0.0)
    registrar.start()
    path = work / "plugins_registry/driver.example-reg.sock"

    def made() -> tuple[int, int] | None:
        try:
            found = os.stat(path)
        except FileNotFoundError:  # it goes before it comes anew
            return None
        return found.st_ino, found.st_ctime_ns

    before = made()
    try:
        stub(path).NotifyRegistrationStatus(registration_pb2.RegistrationStatus(error="no\nsuch driver"))
        while made() in (None, before):
            pass
        stub(path).NotifyRegistrationStatus(registration_pb2.RegistrationStatus(plugin_registered=True))
        assert registrar.registered.is_set()
        assert "did not register driver.example: no\\nsuch driver" in caplog.text
    finally:
        registrar.stop()
