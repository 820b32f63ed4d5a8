"""What engine and supervisor tell each other of multipart uploads: messages of link.py. A contract; no behaviour.

The supervisor keeps them in its state directory (mountctl/supervisor/leftovers.py), so that an upload whose engine,
session and journal went with the host is aborted after a reboot. Fields are only ever added, with a default.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class UploadsTold(BaseModel):
    """Engine that writes to supervisor: what became of its session's multipart uploads since the last of these."""

    model_config = ConfigDict(frozen=True)

    type: Literal["uploads-told"] = "uploads-told"
    anew: bool = Field(default=False, description="this and the next ones, up to `all_told`, tell all that there are")
    all_told: bool = False
    begun: dict[str, str] = Field(default_factory=dict, description="keys by upload id")
    ended: tuple[str, ...] = Field((), description="ids of which S3 says that they are complete, aborted or not there")
    asked: dict[str, float] = Field(
        default_factory=dict,
        description="keys for which S3 is asked to begin one, with when it was; what it answers is not known yet",
    )
    settled: tuple[str, ...] = Field((), description="keys of `asked` that nothing was begun for, or that are begun")


class TellUploads(BaseModel):
    """Supervisor to an engine that it has adopted: tell all of your uploads anew."""

    model_config = ConfigDict(frozen=True)

    type: Literal["tell-uploads"] = "tell-uploads"


class AbortUploads(BaseModel):
    """Supervisor to an engine that writes: these were left by a session that is gone; abort them, and tell."""

    model_config = ConfigDict(frozen=True)

    type: Literal["abort-uploads"] = "abort-uploads"
    uploads: dict[str, str] = Field(description="keys by upload id")


UploadMessage = UploadsTold | TellUploads | AbortUploads
