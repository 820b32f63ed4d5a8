"""A node of a cluster for tests: the host with kubelet's directory, kubelet, the supervisor's pod, the CSI node's pod.

As packaging/kubernetes has it: what is mounted below kubelet's directory in the supervisor's pod is seen on the host
and in all pods, either pod may be killed with all of its processes, and both find what they need below that directory.
"""

import ctypes
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final, Self

from mountctl.control.client import ControlClient
from mountctl.csi_commands import DRIVER_NAME
from mountctl.errors import SupervisorNotRunning, SupervisorSilent
from tests.csi.kubelet import Kubelet, Use
from tests.csi.pod_process import CONFINED, PRIVILEGED, PodProcess
from tests.service.running import MOUNTCTL, WAIT_SECONDS_MAX, poll_until

# mount(2)
_MS_BIND: Final = 4096
_MS_SHARED: Final = 1 << 20


class NodeHost:
    """Enter to have all of it run; leave to have nothing left, whatever happened.

    Args:
        work: an empty directory with a short name, as sockets are in it.
        endpoint: of the S3 server.
        config: more of the configuration file, such as templates; `csi` is what the [csi] table has beside.
    """

    def __init__(self, work: Path, endpoint: str, *, config: str = "", csi: str = "") -> None:
        self.work = work
        kubelet = work / "kubelet"
        self.runtime = kubelet / "plugins" / DRIVER_NAME
        self.kubelet = Kubelet(kubelet, DRIVER_NAME)
        self.runtime.mkdir()
        _mount(kubelet, _MS_BIND)
        _mount(kubelet, _MS_SHARED)
        self.client = ControlClient(self.runtime)
        file = work / "mountpoint-s3.toml"
        file.write_text(
            f'[defaults]\nendpoint-url = "{endpoint}"\nforce-path-style = true\n'
            f'[csi]\ntarget-directory = "{kubelet}/pods"\n{csi}\n{config}\n'
        )
        environment = {
            **os.environ,
            "AWS_REGION": "us-east-1",
            "MOUNTCTL_NO_WATCH": "1",
            "MOUNTCTL_RUNTIME_DIR": str(self.runtime),
        }
        keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
        self.supervisor = PodProcess(
            PRIVILEGED,
            [
                *(MOUNTCTL, "run", "--fd-holder=external", f"--leave-seconds={WAIT_SECONDS_MAX}"),
                *(f"--config={file}", f"--state-dir={self.runtime}/state"),
            ],
            environment | keys,
            work / "supervisor.log",
        )
        self.csi_node = PodProcess(
            CONFINED,
            [
                *(MOUNTCTL, "csi-node", f"--endpoint=unix:{self.runtime}/csi.sock", "--node-id=node-1"),
                *(f"--kubelet-dir={kubelet}", "--self-register"),
            ],
            environment,
            work / "csi-node.log",
        )

    def __enter__(self) -> Self:
        try:
            self.kubelet.__enter__()
            self.csi_node.start()
            self.supervisor.start()
            self.kubelet.wait_for_driver()
            self.wait_until_whole()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.kubelet.__exit__()
        self.supervisor.kill()
        self.csi_node.kill()
        lines = Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines()
        below = [fields[4] for fields in map(str.split, lines) if fields[4].startswith(str(self.work))]
        for mountpoint in reversed(below):  # a supervisor of another test may take away what is dead
            subprocess.run(["umount", "--lazy", mountpoint], stderr=subprocess.DEVNULL)

    def remove(self) -> None:
        """The directory; it stays after a failure, as the logs are there."""
        shutil.rmtree(self.work)

    # What there is

    def status(self) -> dict[str, Any]:
        """The supervisor's; empty while none answers."""
        try:
            return self.client.status(seconds=5)
        except (SupervisorNotRunning, SupervisorSilent):
            return {}

    def mount_of(self, use: Use) -> dict[str, Any]:
        """What the supervisor says of the mount that a pod's volume is."""
        target = str(self.kubelet.target(use))
        return next(
            mount
            for mount in self.status().get("mounts", [])
            if any(consumer["target"] == target for consumer in mount["volume"]["consumers"])
        )

    def engine(self, use: Use) -> int:
        """The process of the engine of a pod's volume."""
        return int(self.mount_of(use)["engine"]["pid"])

    def wait_until_whole(self) -> None:
        """Until the supervisor answers, all of its mounts are ready, and the holder in the other pod has all."""

        def look() -> bool:
            self.assert_running()
            status = self.status()
            return (
                bool(status)
                and status["supervisor"]["fd_holder"] == "present"
                and all(mount["state"] == "ready" for mount in status["mounts"])
            )

        poll_until(look, f"the node to be whole; it says {self.status()}; logs:\n{self.logs()}")

    def assert_running(self) -> None:
        for pod in (self.supervisor, self.csi_node):
            assert pod.is_running, self.logs()

    def mounted(self) -> list[str]:
        """What is mounted below kubelet's directory on the host."""
        lines = Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines()
        place = str(self.kubelet.directory)
        return [fields[4] for fields in map(str.split, lines) if fields[4].startswith(f"{place}/")]

    def logs(self) -> str:
        return f"--- supervisor\n{self.supervisor.text()}\n--- csi-node\n{self.csi_node.text()}"


def _mount(path: Path, flags: int) -> None:
    source = os.fsencode(path)
    if ctypes.CDLL(None, use_errno=True).mount(source, source, None, flags, None) != 0:
        raise OSError(ctypes.get_errno(), "mount", str(path))
