"""What the driver asks of the supervisor: mountctl/control/client.py's ControlClient, or a test's."""

from collections.abc import Sequence
from typing import Any, Final, Protocol

from mountctl.volume import Applied, Apply, Consumer, Release, Released, VolumeStatus

# The supervisor answers what it knows from memory. Who asks for more than one mount's status may be waited for.
STATUS_SECONDS_MAX: Final = 2.0


class Supervisor(Protocol):
    """Each raises MountctlError; a refusal is errors.Refused with its cause."""

    def status(self, names: Sequence[str] = (), *, seconds: float | None = None) -> dict[str, Any]:
        """/v1/status as it came, of these mounts or of all."""

    def apply(self, asked: Apply, *, seconds: float) -> Applied:
        """Have a volume at a target."""

    def release(self, asked: Release, *, seconds: float) -> Released:
        """Have a target gone."""


class Mounted:
    """A volume's mount, as a status tells of it.

    Args:
        mount: of status["mounts"].
    """

    def __init__(self, mount: dict[str, Any]) -> None:
        self.name = str(mount["name"])
        self.state = str(mount["state"])
        self.reason = str(mount["reason"]) if mount.get("reason") else ""
        self._volume = VolumeStatus.model_validate(mount["volume"])

    def consumers(self, driver: str) -> list[Consumer]:
        """Who uses it, if it is this driver's."""
        return self._volume.consumers if self._volume.driver == driver else []


def mounted(status: dict[str, Any]) -> list[Mounted]:
    """The mounts of a status that are volumes. Raises ValueError or LookupError for what is none."""
    return [Mounted(mount) for mount in status["mounts"] if mount.get("volume")]
