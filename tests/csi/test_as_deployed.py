"""The two pods of a node as the chart has them: with those options, file systems, users and capabilities, it works."""

import contextlib
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from mountctl.control.client import ControlClient
from mountctl.errors import MountctlError
from tests.csi import charts, containers
from tests.csi.charts import rendered
from tests.csi.node.kubelet import Kubelet, kubelet, of_pod, publish
from tests.csi.whole_driver import listens
from tests.ports import reserved_port
from tests.servers import MotoServer
from tests.service.running import WAIT_SECONDS_MAX, poll_until

# As the Secret of the value awsAccessSecret is mounted.
KEYS = {"key_id": "test", "access_key": "test"}


class Node:
    """A host with kubelet's directory, on which the chart is installed."""

    def __init__(self, work: Path, port: int, endpoint: str) -> None:
        self.work = work
        self.kubelet = work / "kubelet"
        self.port = port
        config = f'[defaults]\nendpoint-url = "{endpoint}"\nforce-path-style = true\n'
        made = rendered({"config": config, "node": {"kubeletPath": str(self.kubelet), "healthPort": port}})
        self.pods = dict(charts.pods(made))
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        for name, text in charts.toml_of(made).items():
            path = work / "etc" / "mountctl" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        for name, text in KEYS.items():
            path = work / "etc" / "mountctl" / "aws-secret" / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        [args] = [each["args"] for each in self.pods["mountctl-s3-supervisor"]["containers"]]
        [self.plugin] = [Path(each.partition("=")[2]) for each in args if each.startswith("--runtime-dir=")]
        for directory in (self.plugin, self.kubelet / "plugins_registry", self.kubelet / "pods"):
            directory.mkdir(parents=True)
        for options in (["--bind", self.kubelet], ["--make-shared"]):
            subprocess.run(["mount", *options, self.kubelet], check=True)

    def log(self, name: str) -> Path:
        return self.work / f"{name}.log"

    def start(self, name: str, **environment: str) -> None:
        pod = self.pods[f"mountctl-s3-{name}"]
        [container] = pod["containers"]
        self.processes[name] = containers.start(container, pod["volumes"], self.work, self.log(name), **environment)

    def stop(self, name: str) -> int:
        process = self.processes.pop(name)
        process.send_signal(signal.SIGTERM)
        return process.wait(WAIT_SECONDS_MAX)

    def ask(self, path: str) -> tuple[int, str]:
        """The CSI node pod's port of probes."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}") as answer:
            return answer.status, answer.read().decode()

    def is_held(self) -> bool:
        """The supervisor answers, and the other pod has all that its successor needs."""
        try:
            return ControlClient(self.plugin).status()["supervisor"]["fd_holder"] == "present"
        except MountctlError:
            return False

    def close(self) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait()
        subprocess.run(["umount", "--recursive", "--lazy", self.kubelet], check=True)


@pytest.fixture
def node(moto: MotoServer) -> Iterator[Node]:
    # Its name leaves room for a socket's.
    work = Path(tempfile.mkdtemp(prefix="mountctl-"))
    with reserved_port() as port:
        it = Node(work, port, moto.endpoint)
        try:
            yield it
        finally:
            it.close()
            shutil.rmtree(work)


@pytest.fixture
def bucket(moto: MotoServer) -> str:
    made = moto.bucket()
    moto.put(made, "x", b"there")
    return made


# Reads a byte, and the rest when it is told to. A process of its own: a child of whoever has such a file open closes
# it, and that waits for an engine, which may be what is to be started.
READER = """
import sys
with open(sys.argv[1], "rb", buffering=0) as file:
    first = file.read(1)
    print("open", flush=True)
    sys.stdin.readline()
    sys.stdout.write((first + file.read()).decode())
"""


@contextlib.contextmanager
def reading(path: Path) -> Iterator["subprocess.Popen[str]"]:
    """A program that has a file open."""
    command = [sys.executable, "-c", READER, path]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as reader:
        try:
            assert reader.stdout is not None
            assert reader.stdout.readline() == "open\n"
            yield reader
        finally:
            reader.kill()


@contextlib.contextmanager
def published(node: Node, bucket: str) -> Iterator[tuple[Kubelet, Path]]:
    """Both pods run, and a pod has the bucket; at the end it has not."""
    node.start("supervisor")
    node.start("node", NODE_NAME="node-1")
    poll_until(lambda: listens(node.plugin / "csi.sock"), "the driver")
    target = node.kubelet / "pods/uid/volumes/kubernetes.io~csi/volume/mount"
    target.parent.mkdir(parents=True)
    with kubelet(node.plugin / "csi.sock") as asking:
        poll_until(asking.ready, "the supervisor")
        asking.publish(of_pod(publish(target, ["allow-delete"], bucketName=bucket)))
        yield asking, target
    with kubelet(node.plugin / "csi.sock") as asking:
        asking.unpublish("volume", target)
    assert not target.exists()


def test_a_pod_reads_and_writes_its_bucket(node: Node, moto: MotoServer, bucket: str) -> None:
    with published(node, bucket) as (asking, target):
        assert (target / "x").read_bytes() == b"there"
        (target / "y").write_bytes(b"new")
        assert moto.boto.get_object(Bucket=bucket, Key="y")["Body"].read() == b"new"
        assert not asking.stats("volume", target).volume_condition.abnormal
    assert (node.stop("supervisor"), node.stop("node")) == (0, 0), node.log("supervisor").read_text()


def test_the_pod_that_talks_with_kubelet_may_do_nothing_and_answers_probes(node: Node, bucket: str) -> None:
    with published(node, bucket):
        status = Path(f"/proc/{node.processes['node'].pid}/status").read_text()
        capabilities = dict(line.split(":\t") for line in status.splitlines() if line.startswith("Cap"))
        assert {int(value, 16) for value in capabilities.values()} == {0}
        [container] = node.pods["mountctl-s3-node"]["containers"]
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            assert node.ask(container[probe]["httpGet"]["path"])[0] == 200
        assert f'source="s3://{bucket}/"' in node.ask("/metrics")[1]


def test_probes_of_the_supervisor_pass_and_do_not_when_it_hangs(node: Node, bucket: str) -> None:
    [container] = node.pods["mountctl-s3-supervisor"]["containers"]
    command = container["livenessProbe"]["exec"]["command"]
    probe = [containers.MOUNTCTL, *command[1:]]
    with published(node, bucket):
        assert subprocess.run(probe).returncode == 0
        supervisor = node.processes["supervisor"]
        supervisor.send_signal(signal.SIGSTOP)
        try:
            assert subprocess.run(probe, capture_output=True).returncode != 0
        finally:
            supervisor.send_signal(signal.SIGCONT)


@pytest.mark.parametrize("first", ["supervisor", "node"])
def test_a_file_stays_open_while_both_pods_are_replaced_one_after_the_other(
    node: Node, bucket: str, first: str
) -> None:
    with published(node, bucket) as (_, target), reading(target / "x") as reader:
        for name in (first, "node" if first == "supervisor" else "supervisor"):
            poll_until(node.is_held, "both pods to have the mount")
            assert node.stop(name) == 0, node.log(name).read_text()
            node.start(name, NODE_NAME="node-1")
        poll_until(node.is_held, "both pods to have the mount")
        rest, _ = reader.communicate("\n", timeout=WAIT_SECONDS_MAX)
        assert (reader.returncode, rest) == (0, "there")


def test_a_file_stays_open_while_both_pods_are_replaced_at_once(node: Node, bucket: str) -> None:
    with published(node, bucket) as (_, target), reading(target / "x") as reader:
        poll_until(node.is_held, "both pods to have the mount")
        ending = dict(node.processes)
        for process in ending.values():
            process.send_signal(signal.SIGTERM)

        def replaced() -> bool:
            """A DaemonSet makes the next pod when the last one is gone."""
            for name in [name for name, process in ending.items() if process.poll() is not None]:
                assert ending.pop(name).returncode == 0, node.log(name).read_text()
                node.start(name, NODE_NAME="node-1")
            return not ending

        poll_until(replaced, "both pods to be replaced")
        poll_until(node.is_held, "both pods to have the mount")
        rest, _ = reader.communicate("\n", timeout=WAIT_SECONDS_MAX)
        assert (reader.returncode, rest) == (0, "there")
