"""What ends a command: one class a condition, each with a clear sentence and the command's exit code.

Raised anywhere in the control plane, printed once: cli.py (`mountctl: SENTENCE` on stderr), or sent as a JSON answer by
control/server.py. Never raised by an engine.

    MountctlError                    1
    ├── ConfigError                  2     the configuration can't be used: every problem found
    ├── SupervisorNotRunning         1     nothing listens on the control socket
    ├── SupervisorSilent             1     it listens and does not answer, or not as agreed
    ├── ControlDenied                1     this user may not use the control socket
    ├── ControlSocketUnusable        1     the supervisor can't listen there
    ├── Refused                      1     the supervisor said no, and why
    │   └── SupervisorBusy           1     too many ask it now
    └── UnknownMount                 1     no mount has this name
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from mountctl.volume import Cause


class MountctlError(Exception):
    """A command cannot go on. The text is a sentence for a person, without a full stop."""

    exit_code: int = 1


def shown_path(path: Path) -> str:
    """A file's name may hold bytes that no terminal can show, and a newline would fake a second line."""
    name = os.fsencode(path).decode(errors="backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)


class Problem(NamedTuple):
    """One thing wrong with a configuration, or (a warning) legal and unwise.

    Args:
        file: the file (or drop-in directory) it is in.
        line: counted from 1; None if the file as a whole is meant.
        column: in characters, counted from 1; None with `line`.
        key: dotted, as TOML would have it (`mount.datasets.prefix`); empty if no key is meant.
        reason: what is wrong and how to mend it; starts in lower case.
        is_warning: nothing is refused for it.
    """

    file: Path
    line: int | None
    column: int | None
    key: str
    reason: str
    is_warning: bool = False

    def __str__(self) -> str:
        place = ":".join(
            [shown_path(self.file), *(str(number) for number in (self.line, self.column) if number is not None)]
        )
        kind = "warning" if self.is_warning else ""
        return ": ".join(part for part in (place, kind, self.key, self.reason) if part)


class ConfigError(MountctlError):
    """The configuration can't be used. `problems` holds all that is wrong with it, by file and line."""

    exit_code = 2

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems: list[Problem] = list(problems)
        count = f"{len(self.problems)} errors" if len(self.problems) != 1 else "an error"
        super().__init__("\n".join([f"the configuration has {count}:", *map(str, self.problems)]))


class SupervisorNotRunning(MountctlError):
    """Nothing listens on the control socket. Not raised when it exists and may not be used."""


class SupervisorSilent(MountctlError):
    """The supervisor accepted the connection and gave no answer in time, or one that is none."""


class ControlDenied(MountctlError):
    """Neither root, nor the supervisor's user, nor a member of its control group."""


class ControlSocketUnusable(MountctlError):
    """The control socket can't be made."""


class Refused(MountctlError):
    """The supervisor understood and did not do it; the text is its own. `cause`: why, if it was asked for a volume."""

    def __init__(self, sentence: str, cause: "Cause | None" = None) -> None:
        super().__init__(sentence)
        self.cause = cause


class SupervisorBusy(Refused):
    """It answers too many others at the same time. Soon it may have a place."""


class UnknownMount(MountctlError):
    """No mount has this name; the text says which there are."""
