"""`mountctl csi-node`: the CSI driver of a node, in the foreground. Called by cli.py."""

import re
from pathlib import Path
from typing import Final

from mountctl import companion_log
from mountctl.companion_log import LogFormat
from mountctl.control.client import ControlClient
from mountctl.errors import MountctlError

# CSI's rule of a driver's name.
_DRIVER_NAME: Final = re.compile(r"[a-zA-Z]([a-zA-Z0-9.-]{0,61}[a-zA-Z0-9])?")
# CSI's bound of a node's id.
_NODE_ID_BYTES_MAX: Final = 256


class WrongOptions(MountctlError):
    """The options don't make a driver."""

    exit_code = 2


def csi_node(
    runtime_dir: Path,
    *,
    endpoint: str,
    node_id: str,
    driver_name: str,
    kubelet_dir: Path,
    volumes_max: int,
    healthz: str,
    self_register: bool,
    driver_secret_dir: Path | None,
    startup_taint: bool,
    holder_patience: float,
    log_format: LogFormat | None,
) -> int:
    """Serve until SIGTERM. Returns the exit code; raises MountctlError when it can't."""
    check(endpoint, node_id, driver_name)
    try:
        from mountctl.csi import errands
        from mountctl.csi.credentials.driver_secret import DriverSecret
        from mountctl.csi.credentials.files import CredentialFiles
        from mountctl.csi.credentials.roles import Roles
        from mountctl.csi.credentials.volumes import VolumeCredentials
        from mountctl.csi.holder_process import HolderProcess
        from mountctl.csi.kubernetes_api import KubernetesApi
        from mountctl.csi.node import NodeSettings
        from mountctl.csi.node_process import NodeProcess, Places, serve
        from mountctl.csi.startup_taint import StartupTaint
    except ModuleNotFoundError as error:
        raise MountctlError(f"the CSI driver is not installed ({error}): pip install 'mountctl-s3[csi]'") from error
    companion_log.set_up("csi-node", log_format)
    supervisor, api, files = ControlClient(runtime_dir), KubernetesApi.in_cluster(), CredentialFiles(runtime_dir)
    credentials = VolumeCredentials(files, Roles(api) if api is not None else None)
    beside: dict[str, errands.Errand] = {"sweep": lambda stop: errands.sweep(credentials, supervisor, stop)}
    if driver_secret_dir is not None:
        beside["driver-secret"] = DriverSecret(driver_secret_dir, files).keep
    if api is not None and startup_taint:
        beside["startup-taint"] = StartupTaint(api, node_id, driver_name).remove
    process = NodeProcess(
        NodeSettings(driver_name, node_id, volumes_max),
        Places(endpoint, kubelet_dir, self_register, healthz),
        supervisor,
        credentials,
        HolderProcess(runtime_dir, holder_patience),
    )
    return serve(process, errands.Errands(beside))


def check(endpoint: str, node_id: str, driver_name: str) -> None:
    """Whether these can be. Raises WrongOptions."""
    if not endpoint:
        raise WrongOptions("--endpoint is missing: unix:///PATH, where kubelet shall find the driver (or CSI_ENDPOINT)")
    if not node_id:
        raise WrongOptions("--node-id is missing: the node's name in Kubernetes (or CSI_NODE_NAME)")
    if len(node_id.encode()) > _NODE_ID_BYTES_MAX:
        raise WrongOptions(f"--node-id has at most {_NODE_ID_BYTES_MAX} bytes")
    check_driver_name(driver_name)


def check_driver_name(name: str) -> None:
    """Whether it can be a CSI driver's. Raises WrongOptions."""
    if _DRIVER_NAME.fullmatch(name) is None:
        raise WrongOptions(
            f"--driver-name {name!r}: 1 to 63 letters, digits, '.' and '-', with a letter first and no sign last"
        )
