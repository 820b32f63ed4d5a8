"""Mounts that are asked for while the supervisor runs, by an orchestrator, and who uses them: the JSON contract. Pure.

Between mountctl/csi (which asks) and the supervisor (mountctl/supervisor/volumes, which makes it so), over the control
socket: `mount.apply` is POST /v1/mounts/apply, `mount.release` is POST /v1/mounts/release. Such a mount, a *volume*, is
one of the same kind as those of the file: it has a name, a MountSpec, an engine, a state. It is at a place that the
supervisor chooses (`<runtime directory>/volumes/NAME`), and programs see it at its consumers' *targets*, by binds.
It goes with its last consumer. Keys are added freely and never renamed; no secret is ever in any of this.
"""

from enum import StrEnum
from typing import Annotated, Any, Final

from annotated_types import MaxLen
from pydantic import BaseModel, ConfigDict, Field

from engine.spec import AbsolutePath

# Its names, options and consumer fit into a control request (control/server.py, REQUEST_BYTES_MAX).
_TEXT_CHARS_MAX: Final = 4096
Text = Annotated[str, MaxLen(_TEXT_CHARS_MAX)]


class Cause(StrEnum):
    """Why a volume can't be had, for programs that must tell one trouble from another (mountctl/csi/codes.py)."""

    INVALID = "invalid"  # options that can't be right, an unknown template, a target where none may be
    NOT_ALLOWED = "not-allowed"  # by the configuration: an inline volume of a bucket that is on no allow-list
    CONFLICT = "conflict"  # the target is bound already: to another volume, or otherwise
    BUCKET_MISSING = "bucket-missing"  # S3 has no such bucket
    ACCESS_DENIED = "access-denied"  # S3 knows the keys, and they may not
    CREDENTIALS = "credentials"  # there are no keys, or S3 knows them not, or no more
    UNREACHABLE = "unreachable"  # S3, or what gives credentials, does not answer
    NODE = "node"  # this host can't: no /dev/fuse, the kernel refused
    BUSY = "busy"  # too many ask at once
    STARTING = "starting"  # it was not ready when the time was over: a new mount is gone again then
    INTERNAL = "internal"  # a bug of ours


class Pod(BaseModel):
    """The Kubernetes pod that uses a volume, for people who look at `status`."""

    model_config = ConfigDict(frozen=True)

    namespace: Text
    name: Text
    uid: Text = ""
    service_account: Text = ""


class Consumer(BaseModel):
    """One use of a volume: a bind mount at a path."""

    model_config = ConfigDict(frozen=True)

    target: AbsolutePath = Field(
        description="the directory where it is seen; made if it is missing, removed at release"
    )
    read_only: bool = Field(default=False, description="nothing may be written through this target")
    volume: Text = Field(description="the orchestrator's id of the volume: CSI's volume_id")
    persistent_volume: Text = Field("", description="the PersistentVolume's name; empty for an inline volume")
    pod: Pod | None = None


class Apply(BaseModel):
    """Have a volume mounted and seen at a target. Asking again for what there is changes nothing and asks nobody."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Text = Field(description="the mount's name: the same for all that may share it")
    options: dict[str, Any] = Field(
        description="of the mount, as a [mount.NAME] table has them, without `mountpoint`; `bucket` is there"
    )
    use: tuple[Text, ...] = Field((), description="names of [template.NAME] tables; `options` and the last one win")
    inline: bool = Field(default=False, description="a pod asks for it by itself: the bucket must be on the allow-list")
    driver: Text = Field("", description="who asks: the CSI driver's name")
    consumer: Consumer


class Applied(BaseModel):
    """The volume can be used at the target."""

    model_config = ConfigDict(frozen=True)

    name: str
    state: str = Field(description="of the mount (mountctl/status.py)")
    reason: str | None = Field(None, description="why it is not ready, if it is not; it is bound all the same")
    fresh: bool = Field(description="the target was not bound before")


class Release(BaseModel):
    """A target is no longer used: unbind it, remove its directory, and end the mount if it was the last one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    target: AbsolutePath
    volume: Text = ""


class Released(BaseModel):
    """The target is gone, also if there was none."""

    model_config = ConfigDict(frozen=True)

    name: str | None = Field(None, description="of the mount; None: nobody knows the target")
    gone: bool = Field(default=False, description="it was the last consumer, and the mount has ended")


class VolumeStatus(BaseModel):
    """What `status` adds for a volume."""

    model_config = ConfigDict(frozen=True)

    driver: str = ""
    inline: bool = False
    use: list[str] = Field(default_factory=list, description="templates, which a reload of the file may change")
    waiting_keys: list[str] = Field(
        default_factory=list, description="options that need another mount: they change when its consumers are gone"
    )
    trouble: str | None = Field(
        None, description="why it goes on as it runs, whatever the file says now: a template that is gone, or is wrong"
    )
    consumers: list[Consumer] = Field(default_factory=list)
