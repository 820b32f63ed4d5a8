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
# Ten thousand requests, eight at once, each up to half a second. The engine ends what takes longer, in seconds.
ANSWER_SECONDS_MAX: Final = 600.0


class AskRestore(BaseModel):
    """Supervisor to engine: find what is archived at these keys, and have S3 restore it."""

    model_config = ConfigDict(frozen=True)

    type: Literal["ask-restore"] = "ask-restore"
    number: int = Field(0, description="of this request, for its answer")
    paths: tuple[str, ...] = Field(min_length=1, max_length=KEYS_MAX, description="below the mount's prefix")
    recursive: bool = False
    begin: bool = Field(default=True, description="False: only look, and ask S3 for nothing")
    limited: bool = Field(default=True, description="False: the limits are not heeded; for looks")
    missing_ok: bool = Field(default=False, description="what is not there is nothing, and no failure; for looks")
    tier: Tier = "Standard"
    days: int = Field(7, ge=1, le=DAYS_MAX)
    objects_max: int = Field(1000, ge=1, le=OBJECTS_MAX)
    bytes_max: int | None = Field(None, ge=0)


class RestoreTaken(BaseModel):
    """Engine to supervisor: the request has arrived; and again while S3 is asked, with how far that is."""

    model_config = ConfigDict(frozen=True)

    type: Literal["restore-taken"] = "restore-taken"
    number: int = 0
    archived: int | None = Field(None, description="objects that S3 is being asked to restore; None: not counted yet")
    asked: int = Field(0, description="of which S3 has taken on so many by now, at least")


class PathTold(BaseModel):
    """What was found at one of the paths that were asked for, and below it."""

    model_config = ConfigDict(frozen=True)

    under_way: int = Field(0, description="objects that S3 restores now, those that were just asked for among them")
    asked: int = Field(0, description="those that were just asked for")
    sample: str = Field("", description="one of those under way, below the mount's prefix: S3 takes longest for it")
    seconds: float | None = Field(None, description="what S3 takes as a rule for those just asked for")


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
    paths: tuple[PathTold, ...] = Field((), description="of each path, in their order; none if it could not be looked")


RestoreMessage = AskRestore | RestoreTaken | RestoreTold
