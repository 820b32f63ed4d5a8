"""csi-sanity, Kubernetes' own suite for CSI drivers, on real mounts and a real S3; nothing is kept from it.

It chooses its specs by the capabilities of the driver: what a driver does not offer is `skipped` in its report. Each of
those is known here, with the reason why a file system of a bucket has none of it. Any other skipped one is a failure.
"""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

import pytest

from tests.csi.whole_driver import whole_driver
from tests.servers import S3Server
from tests.service.running import Running

# It takes some seconds on a quiet machine.
SANITY_SECONDS_MAX: Final = 300.0

# What csi-sanity says of specs for capabilities that the driver does not offer, and why it does not.
_NO_SNAPSHOTS = "S3 has no snapshots of a prefix"
_NOT_ATTACHED = "a bucket is not attached to nodes"
_NOT_STAGED = "sharing on a node goes by what is asked for, which only publishing tells"
NOT_OFFERED: Final = {
    "CreateSnapshot not supported": _NO_SNAPSHOTS,
    "DeleteSnapshot not supported": _NO_SNAPSHOTS,
    "GetSnapshot not supported": _NO_SNAPSHOTS,
    "ListSnapshots not supported": _NO_SNAPSHOTS,
    "Snapshot not supported": _NO_SNAPSHOTS,
    "GroupControllerService not supported": _NO_SNAPSHOTS,
    "ControllerPublishVolume not supported": _NOT_ATTACHED,
    "ControllerUnpublishVolume not supported": _NOT_ATTACHED,
    "Controller Publish, UnpublishVolume not supported": _NOT_ATTACHED,
    "NodeStageVolume not supported": _NOT_STAGED,
    "NodeUnstageVolume not supported": _NOT_STAGED,
    "NodeExpandVolume not supported": "nothing on a node knows a volume's size",
    "ListVolumes not supported": "the request names no bucket, and a controller keeps no list of them",
    "Volume Cloning not supported": "a copy of any number of objects takes longer than a request may",
    "Modify volume not supported": "a volume's context never changes; profile names what a reload can change",
    "Modify Volume not supported": "the same",
    "ControllerModifyVolume not supported": "the same",
}
# Specs that csi-sanity itself has switched off for every driver.
PENDING: Final = "pending"


def program() -> str | None:
    """Where csi-sanity is, if it is there: beside the interpreter, or wherever else programs are."""
    beside = shutil.which("csi-sanity", path=str(Path(sys.executable).parent))
    return beside or shutil.which("csi-sanity") or shutil.which("csi-sanity", path=str(Path.home() / "go/bin"))


def sanity(work: Path, endpoint: Path, parameters: dict[str, str]) -> tuple[subprocess.CompletedProcess[str], Path]:
    """Run it without any option that leaves something out. Returns its outcome and its report."""
    asked, report = work / "parameters.yaml", work / "report.xml"
    asked.write_text("".join(f'{key}: "{value}"\n' for key, value in parameters.items()))
    command = program()
    assert command is not None
    done = subprocess.run(
        [
            command,
            f"--csi.endpoint=unix://{endpoint}",
            f"--csi.mountdir={work / 'mount'}",
            f"--csi.stagingdir={work / 'stage'}",
            f"--csi.testvolumeparameters={asked}",
            f"--csi.junitfile={report}",
            "--ginkgo.no-color",
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SANITY_SECONDS_MAX,
    )
    return done, report


def skipped(report: Path) -> tuple[int, dict[str, list[str]]]:
    """How many specs ran, and of those that did not the names, by reason."""
    ran, reasons = 0, dict[str, list[str]]()
    for case in ET.parse(report).iter("testcase"):
        told = case.find("skipped")
        if told is None:
            ran += 1
        else:
            reason = told.get("message", "").removeprefix("skipped - ")
            reasons.setdefault(reason, []).append(case.get("name", ""))
    return ran, reasons


@pytest.mark.slow
def test_csi_sanity_finds_nothing_to_object_to(tmp_path: Path, able_server: S3Server) -> None:
    if program() is None:
        pytest.skip("csi-sanity is not installed (packaging/setup-go builds it where Go is present)")
    bucket, endpoint, running = able_server.bucket(), tmp_path / "csi.sock", Running(tmp_path)
    running.configure(able_server)
    parameters = {
        "bucketName": bucket,
        "prefix": "sanity/",
        "endpointUrl": able_server.endpoint,
        "pathStyle": "true",
        "onDelete": "delete",
    }

    with running.running(), whole_driver(running, endpoint):
        done, report = sanity(tmp_path, endpoint, parameters)
        said = f"{done.stdout}\n{done.stderr}\n{(tmp_path / 'driver.log').read_text()}"
        assert done.returncode == 0, said
        ran, reasons = skipped(report)

        assert {*reasons} == {*NOT_OFFERED, PENDING}
        assert all("pagination" in name for name in reasons[PENDING])
        assert ran == 37, said
        assert able_server.boto.list_objects_v2(Bucket=bucket)["KeyCount"] == 0  # each volume has gone, with its record
