"""What `mountctl plan` tells: the JSON contract, what is hidden in it, and the text for a person.

Built by the supervisor (supervisor/planning.py), carried by the control socket, shown by the command. Pure: no I/O.
Keys are added freely and never renamed.
"""

import json
from collections.abc import Iterator
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from mountctl.config.secrets import looks_secret, speaks_of_secret

SCHEMA: Final = 1
EXIT_NOTHING: Final = 0
EXIT_ERRORS: Final = 1
EXIT_CHANGES: Final = 2

Action = Literal["add", "remove", "move", "live", "handover", "replace", "nothing"]

HIDDEN: Final = "(hidden)"
_INDENT: Final = "    "


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class KeyChange(_Part):
    """One option, before and after. Values are as JSON has them; None: not set."""

    key: str = Field(description="as it is written in TOML")
    before: Any = None
    after: Any = None


class MountPlan(_Part):
    """What would happen to one mount."""

    name: str
    action: Action
    keys: list[KeyChange] = Field(default_factory=list, description="those that differ")
    notice: str = Field(description="what programs would notice, in a sentence")


class Plan(BaseModel):
    """All that `plan --json` prints. With errors a reload would do nothing. Frozen."""

    model_config = ConfigDict(frozen=True, populate_by_name=True, serialize_by_alias=True)

    schema_version: int = Field(SCHEMA, alias="schema")
    errors: list[str] = Field(default_factory=list, description="why a reload would be refused: file:line: reason")
    risks: list[str] = Field(default_factory=list, description="why a reload would be refused without --yes")
    mounts: list[MountPlan] = Field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """0: nothing to do, 2: changes, 1: a reload would be refused."""
        if self.errors:
            return EXIT_ERRORS
        return EXIT_CHANGES if any(mount.action != "nothing" for mount in self.mounts) else EXIT_NOTHING


def shown(value: Any) -> Any:
    """A value as it may be shown: not if it looks like a secret, wherever it was written by mistake."""
    if isinstance(value, str) and (looks_secret(value) or speaks_of_secret(value)):
        return HIDDEN
    return [shown(each) for each in value] if isinstance(value, list | tuple) else value


def render(plan: Plan) -> str:
    """The text that a person sees, without a newline at its end. Mounts that stay as they are are counted only."""
    lines = []
    for mount in plan.mounts:
        if mount.action != "nothing":
            lines += [f"{mount.name}: {mount.action}", *_details(mount)]
    same = sum(mount.action == "nothing" for mount in plan.mounts)
    if not lines:
        return f"nothing to do: {same} {_mounts(same)} as the file says"
    if same:
        lines.append(f"{same} other {_mounts(same)} not touched")
    return "\n".join(lines)


def _details(mount: MountPlan) -> Iterator[str]:
    for each in mount.keys:
        yield f"{_INDENT}{each.key}: {_written(each.before)} -> {_written(each.after)}"
    yield f"{_INDENT}{mount.notice}"


def _written(value: Any) -> str:
    return "(not set)" if value is None else json.dumps(value, ensure_ascii=False)


def _mounts(count: int) -> str:
    return "mount is" if count == 1 else "mounts are"
