"""What engine and supervisor tell each other of archived objects that are to be restored: messages of link.py, and the
answer over the control socket. A contract; no behaviour.

Fields are only ever added, with a default.
"""

from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

Tier = Literal["Standard", "Bulk", "Expedited"]

# Of one request; a message of them fits a packet of the link whatever the keys are (1,024 bytes each, at worst six of
# JSON a byte).
KEYS_MAX: Final = 8
# A request each, so many at most; more are restored by S3's Batch Operations.
OBJECTS_MAX: Final = 10_000
# S3 keeps a copy for as long as is asked for, and is paid for it.
DAYS_MAX: Final = 3650


class AskRestore(BaseModel):
    """Supervisor to engine: find what is archived at these keys, and have S3 restore it."""

    model_config = ConfigDict(frozen=True)

    type: Literal["ask-restore"] = "ask-restore"
    number: int = Field(0, description="of this request, for its answer")
    paths: tuple[str, ...] = Field(min_length=1, max_length=KEYS_MAX, description="below the mount's prefix")
    recursive: bool = False
    begin: bool = Field(default=True, description="False: only look, and ask S3 for nothing")
    tier: Tier = "Standard"
    days: int = Field(7, ge=1, le=DAYS_MAX)
    objects_max: int = Field(1000, ge=1, le=OBJECTS_MAX)
    bytes_max: int | None = Field(None, ge=0)


class RestoreTold(BaseModel):
    """Engine to supervisor: what was found, and what became of it."""

    model_config = ConfigDict(frozen=True)

    type: Literal["restore-told"] = "restore-told"
    number: int = 0
    archived: int = Field(0, description="objects that can't be read, and that nobody has asked for yet")
    archived_bytes: int = 0
    under_way: int = Field(0, description="objects that S3 restores now, those that were just asked for among them")
    readable: int = Field(0, description="objects that are in no archive, or have a copy")
    asked: int = Field(0, description="objects that S3 was asked to restore, and took on")
    failed: int = 0
    failure: str = Field("", description="of the first that failed, or why nothing was asked: a sentence")


class RestoresUnderWay(BaseModel):
    """Engine to supervisor, when it has changed: what this engine knows that S3 restores now."""

    model_config = ConfigDict(frozen=True)

    type: Literal["restores-under-way"] = "restores-under-way"
    count: int = 0
    next_expected: float | None = Field(None, description="when the next ones may be there, in seconds since the epoch")


RestoreMessage = AskRestore | RestoreTold | RestoresUnderWay
