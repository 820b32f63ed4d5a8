"""`mountctl csi-controller`: makes and deletes volumes of the CSI driver, in the foreground. Called by cli.py."""

from pathlib import Path

from mountctl import companion_log
from mountctl.commands.csi_node import WrongOptions, check_driver_name
from mountctl.companion_log import LogFormat
from mountctl.errors import MountctlError


def csi_controller(
    *, endpoint: str, driver_name: str, healthz: str, driver_secret_dir: Path | None, log_format: LogFormat | None
) -> int:
    """Serve until SIGTERM. Returns the exit code; raises MountctlError when it can't."""
    if not endpoint:
        raise WrongOptions(
            "--endpoint is missing: unix:///PATH, where external-provisioner shall find the driver (or CSI_ENDPOINT)"
        )
    check_driver_name(driver_name)
    try:
        from mountctl.csi.controller_process import ControllerProcess, serve
    except ModuleNotFoundError as error:
        raise MountctlError(f"the CSI driver is not installed ({error}): pip install 'mountctl-s3[csi]'") from error
    companion_log.set_up("csi-controller", log_format)
    return serve(ControllerProcess(driver_name, endpoint, healthz, driver_secret_dir))
