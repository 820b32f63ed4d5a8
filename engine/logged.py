"""What an engine tells of its log, so that its supervisor has the last lines. Sent over the link (engine/link.py)."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Logged(BaseModel):
    """Engine to supervisor: a line of its log that goes to stderr. May be lost."""

    model_config = ConfigDict(frozen=True)

    type: Literal["logged"] = "logged"
    line: str = Field(description="with time and level, without the mount's name")
