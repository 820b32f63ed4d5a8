"""The driver's node and its controller in one process, at one endpoint: a program, and how tests run it.

No deployment has them so; csi-sanity asks one endpoint for all.
"""

import contextlib
import logging
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import grpc

from mountctl.control.client import ControlClient
from mountctl.csi.controller import Controller
from mountctl.csi.credentials_interface import DriverCredentials
from mountctl.csi.node import NodeSettings
from mountctl.csi.node_process import NodeProcess, NoHolder, Places, serve
from mountctl.csi.proto import csi_pb2_grpc
from mountctl.csi.provisioner import Provisioner
from tests.service.running import WAIT_SECONDS_MAX, Running, poll_until

DRIVER: Final = "s3.mountctl.io"


@contextlib.contextmanager
def whole_driver(running: Running, endpoint: Path) -> Iterator[None]:
    """The driver of a supervisor, until it has ended in peace. Its log is `driver.log`."""
    with (running.work / "driver.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(running.work / "run"), f"unix://{endpoint}"],
            cwd=Path(__file__).parents[2],
            env=running.environment,
            stdin=subprocess.DEVNULL,
            stderr=log,
        )
    try:
        poll_until(lambda: listens(endpoint), "the driver to listen")
        yield
        process.terminate()
        assert process.wait(WAIT_SECONDS_MAX) == 0
    finally:
        process.kill()
        process.wait()


def listens(endpoint: Path) -> bool:
    """Whether somebody does; a socket is there a moment before."""
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(endpoint)) == 0


def main(runtime_dir: str, endpoint: str) -> int:
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    controller = Controller(Provisioner(DRIVER))

    def add(server: grpc.Server) -> None:
        csi_pb2_grpc.add_ControllerServicer_to_server(controller, server)

    process = NodeProcess(
        NodeSettings(DRIVER, "node-1"),
        Places(endpoint, Path(runtime_dir)),
        ControlClient(Path(runtime_dir)),
        DriverCredentials(),
        NoHolder(),
        add,
    )
    return serve(process, contextlib.nullcontext())


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
