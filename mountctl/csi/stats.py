"""What kubelet is told of a published volume: its usage and its condition, by the supervisor's word. Pure.

A file system is never asked: one whose engine hangs would take the driver along.
"""

from typing import Final

from mountctl.csi.proto import csi_pb2
from mountctl.csi.supervisor import Mounted

_READY: Final = "ready"


def usage() -> csi_pb2.VolumeUsage:
    """Nobody counts what is in a bucket, and nothing bounds it: zero is CSI's word for what is not known."""
    return csi_pb2.VolumeUsage(unit=csi_pb2.VolumeUsage.BYTES)


def condition(mount: Mounted) -> csi_pb2.VolumeCondition:
    """How a mount is."""
    if mount.state == _READY:
        return csi_pb2.VolumeCondition(abnormal=False, message="ready")
    return csi_pb2.VolumeCondition(
        abnormal=True, message=f"{mount.state}: {mount.reason}" if mount.reason else mount.state
    )


def unknown(reason: str) -> csi_pb2.VolumeCondition:
    """How a mount is that nobody can tell of now; what is mounted stays mounted meanwhile."""
    return csi_pb2.VolumeCondition(abnormal=True, message=reason)
