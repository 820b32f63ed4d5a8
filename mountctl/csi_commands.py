"""The commands of the CSI driver, as the command line has them. Registered by parser.py.

The bodies are in mountctl/commands, imported when called.
"""

from pathlib import Path
from typing import Annotated, Final

import typer

from mountctl.command_line import LogFormatOption, Settings, command

# Values, so that the driver can stand in for another one by its name.
DRIVER_NAME: Final = "s3.mountctl.io"
KUBELET_DIR: Final = Path("/var/lib/kubelet")
# A supervisor's pod is about to start. Less than the grace period that pods have by default, 30 s.
HOLDER_PATIENCE_SECONDS: Final = 20.0


def register() -> None:
    """Add the commands to the program."""
    command(csi_node)
    command(csi_controller)


def csi_node(
    settings: Settings,
    endpoint: Annotated[
        str, typer.Option(envvar="CSI_ENDPOINT", help="Where kubelet asks: unix:///PATH.", metavar="URL")
    ] = "",
    node_id: Annotated[
        str, typer.Option(envvar="CSI_NODE_NAME", help="The node's name in Kubernetes.", metavar="NAME")
    ] = "",
    driver_name: Annotated[
        str, typer.Option(envvar="CSI_DRIVER_NAME", help="The CSI driver's name.", metavar="NAME")
    ] = DRIVER_NAME,
    kubelet_dir: Annotated[Path, typer.Option(help="kubelet's directory.", metavar="PATH")] = KUBELET_DIR,
    volumes_max: Annotated[
        int, typer.Option(help="Volumes that this node may have; 0: as many as are asked for.", min=0)
    ] = 0,
    healthz: Annotated[
        str,
        typer.Option(
            help="Answer /healthz, /readyz and /metrics there: [HOST]:PORT. Default: nowhere.", metavar="ADDRESS"
        ),
    ] = "",
    self_register: Annotated[  # noqa: FBT002
        bool, typer.Option("--self-register", help="Register with kubelet, which needs no sidecar then.")
    ] = False,
    driver_secret_dir: Annotated[
        Path | None,
        typer.Option(
            envvar="MOUNTCTL_DRIVER_SECRET_DIR",
            help="A mounted Secret with the driver's own keys: key_id, access_key, session_token.",
            metavar="PATH",
            show_default=False,
        ),
    ] = None,
    startup_taint: Annotated[  # noqa: FBT002
        bool,
        typer.Option(
            "--startup-taint/--no-startup-taint",
            help="Remove the taint DRIVER/agent-not-ready from the node when the driver is there.",
        ),
    ] = True,
    holder_patience: Annotated[
        float,
        typer.Option(
            envvar="MOUNTCTL_HOLDER_PATIENCE",
            help="How long the end waits for a supervisor to take mounts that nobody else holds, in seconds. "
            "To be 10 s less than the pod's grace period.",
            metavar="SECONDS",
            min=0.0,
        ),
    ] = HOLDER_PATIENCE_SECONDS,
    log_format: LogFormatOption = None,
) -> int:
    """Be the CSI driver of a Kubernetes node, in the foreground: kubelet asks here, and the supervisor mounts."""
    from mountctl.commands import csi_node as body

    return body.csi_node(
        settings.runtime_dir,
        endpoint=endpoint,
        node_id=node_id,
        driver_name=driver_name,
        kubelet_dir=kubelet_dir,
        volumes_max=volumes_max,
        healthz=healthz,
        self_register=self_register,
        driver_secret_dir=driver_secret_dir,
        startup_taint=startup_taint,
        holder_patience=holder_patience,
        log_format=log_format,
    )


def csi_controller(
    _settings: Settings,
    endpoint: Annotated[
        str, typer.Option(envvar="CSI_ENDPOINT", help="Where external-provisioner asks: unix:///PATH.", metavar="URL")
    ] = "",
    driver_name: Annotated[
        str, typer.Option(envvar="CSI_DRIVER_NAME", help="The CSI driver's name.", metavar="NAME")
    ] = DRIVER_NAME,
    healthz: Annotated[
        str, typer.Option(help="Answer /healthz there: [HOST]:PORT. Default: nowhere.", metavar="ADDRESS")
    ] = "",
    driver_secret_dir: Annotated[
        Path | None,
        typer.Option(
            help="Keys of a mounted Secret, for StorageClasses without one. Default: the usual places.", metavar="PATH"
        ),
    ] = None,
    log_format: LogFormatOption = None,
) -> int:
    """Make and delete volumes for Kubernetes, in the foreground: a prefix of a bucket for each claim."""
    from mountctl.commands import csi_controller as body

    return body.csi_controller(
        endpoint=endpoint,
        driver_name=driver_name,
        healthz=healthz,
        driver_secret_dir=driver_secret_dir,
        log_format=log_format,
    )
