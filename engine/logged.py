"""What an engine and its supervisor say of the engine's log. Sent over the link (engine/link.py)."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Level = Literal["debug", "info", "warning", "error"]
Form = Literal["text", "json", "journal"]
FileForm = Literal["text", "json"]


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True)


class Logged(_Message):
    """Engine to supervisor: a line of its log that goes to stderr. May be lost."""

    type: Literal["logged"] = "logged"
    line: str = Field(description="with time and level, without the mount's name")


class LogFile(_Message):
    """Supervisor to engine: log to this file from now on. File descriptor: the file, open for appending."""

    type: Literal["log-file"] = "log-file"
    form: FileForm = "text"


class LogForm(_Message):
    """Supervisor to engine or broker: log to standard error, in this form, from now on.

    File descriptor, for an engine: a way to journald, which it may not open; none: there is none, or it needs none.
    """

    type: Literal["log-form"] = "log-form"
    form: Form | None = None


class LogLevel(_Message):
    """Supervisor to engine: log what is of this level, or above it, from now on."""

    type: Literal["log-level"] = "log-level"
    debug: bool = Field(description="for an engine that does not know `level`")
    level: Level | None = Field(None, description="None: debug or info, as the other field says")

    @property
    def wanted(self) -> Level:
        """The level, whoever has sent it."""
        return self.level or ("debug" if self.debug else "info")
