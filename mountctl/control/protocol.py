"""What goes over the control socket: paths, JSON shapes, limits. Shared by server.py and client.py.

    GET  /v1/status[?name=NAME]...   200 Status (mountctl/status.py), 404 no mount of that name
    GET  /v1/status?watch=1[&name=NAME]...
                                     200 a stream: Status now and after each change; one that is gone is left out
    GET  /v1/events[?since=ID][&follow=1]
                                     200 a stream: events (supervisor/events.py) after that one, as far as they are kept
                                     With `follow` also what happens; {"missed": N}: for so many its reader was too slow
    GET  /v1/logs?name=NAME[&lines=N][&follow=1]
                                     200 a stream: {"line": TEXT}, the last of a mount's log; 404 no mount of that name
                                     With `follow` also what is logged, until the mount is gone
    GET  /v1/plan                    200 Plan (mountctl/plan.py): what a reload would do now, or why it would be refused
    POST /v1/mounts                  200 Status of that one mount, when it can be used; the body is a MountSpec.
                                     For root only: it may mount anything anywhere
    POST /v1/mounts/apply            200 Applied (mountctl/volume.py), when the volume is bound; the body is an Apply.
    POST /v1/mounts/release          200 Released, when the target is gone; the body is a Release. Both for root only;
                                     400, 403, 409, 503 with a cause beside the error
    POST /v1/confirm                 200 ReloadResult: what `confirm` has put on trial stays
    POST /v1/stop?name=NAME...[&seconds=N]
                                     200 RestartResult, when they are unmounted and held; 404 no mount of that name
    POST /v1/start?name=NAME...      200 RestartResult, when each is up or known not to be; 404 as above
    POST /v1/log-level?name=NAME&level=LEVEL[&seconds=N]
                                     200 RestartResult: the level that counts now; 404 no mount of that name
    GET  /v1/users?name=NAME         200 UsersResult: who has it open
    POST /v1/restore?name=NAME       200 RestoreTold (engine/restores.py), when S3 has been asked; the body is an
                                     AskRestore; 404 as above
    POST /v1/restart?name=NAME...    200 RestartResult, when each is up or known not to be; 404 no mount of that name
    POST /v1/upgrade                 200 ReloadResult: all mounts served by the engine that is installed now
    POST /v1/reload[?yes=1][&atomic=1][&confirm=SECONDS][&only=NAME]...
                                     200 ReloadResult, also when the reload was refused: the request was understood

A stream is lines of JSON (application/x-ndjson). An empty line, each second without another one, is a sign of life. Who
does not read is dropped.

Anything else, and every failure, is answered with `{"error": SENTENCE}`. One request a connection.
"""

import json
from typing import Final

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import PydanticSerializationError

from mountctl.volume import Cause

STATUS_PATH: Final = "/v1/status"
PLAN_PATH: Final = "/v1/plan"
RELOAD_PATH: Final = "/v1/reload"
CONFIRM_SECONDS_MAX: Final = 86400.0  # a day: nobody waits for longer without looking
STOP_SECONDS_MAX: Final = 86400.0  # as long as an upload may take that somebody waits for
LEVEL_PATH: Final = "/v1/log-level"
LEVEL_SECONDS_MAX: Final = 86400.0  # a day: what is wanted for longer belongs into the file
DEFAULT_LEVEL: Final = "default"  # the file's
RESTART_PATH: Final = "/v1/restart"
UPGRADE_PATH: Final = "/v1/upgrade"
MOUNTS_PATH: Final = "/v1/mounts"
APPLY_PATH: Final = "/v1/mounts/apply"
RELEASE_PATH: Final = "/v1/mounts/release"
NAME_PARAMETER: Final = "name"
LINES_MAX: Final = 300  # of a mount's log that the supervisor has

# Results of a reload that need nobody's attention; every other word is trouble.
_DONE: Final = frozenset(
    {"stopped", "started", "not held"}
    | {"added", "removed", "restarted", "handed over", "unchanged", "changed live", "moved", "replaced"}
)


class ReloadResult(BaseModel):
    """What a reload did. With errors it did nothing."""

    model_config = ConfigDict(frozen=True)

    ok: bool = Field(description="the configuration was good and is in force")
    errors: list[str] = Field(default_factory=list, description="file:line: what is wrong")
    mounts: dict[str, str] = Field(default_factory=dict, description="for each mount what was done, in a word or more")

    @property
    def troubled(self) -> list[str]:
        """The mounts that are not as the configuration wants them."""
        return [name for name, result in self.mounts.items() if result not in _DONE]


class RestartResult(BaseModel):
    """What a restart came to."""

    model_config = ConfigDict(frozen=True)

    mounts: dict[str, str] = Field(default_factory=dict, description="for each mount what was done, in a word or more")

    @property
    def troubled(self) -> list[str]:
        """The mounts that are not ready after it."""
        return [name for name, result in self.mounts.items() if result not in _DONE]


class UsersResult(BaseModel):
    """The processes that have a mount open."""

    users: list[str] = Field(default_factory=list, description="each as `command (pid)`")


class ErrorBody(BaseModel):
    """The body of every answer that is not 200."""

    error: str
    cause: Cause | None = Field(None, description="of a volume that can't be had")


def packed(answer: BaseModel) -> bytes:
    """An answer as it goes over the socket. What is no text in it, such as bytes of a path, is escaped, as JSON can."""
    try:
        return answer.model_dump_json().encode()
    except PydanticSerializationError:
        return json.dumps(answer.model_dump(mode="json")).encode()
