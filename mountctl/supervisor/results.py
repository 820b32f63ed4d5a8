"""What came of a reload, a restart or an upgrade, in words. Made by supervisor.py; control and report.py show it."""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from engine.facts import about
from engine.message_ids import RELOAD, RELOAD_REFUSED
from mountctl.errors import MountctlError
from mountctl.supervisor.events import Events, Kind
from mountctl.supervisor.mount import Mount
from mountctl.supervisor.state import MountState

# The result of a mount that another engine serves now.
HANDED_OVER: Final = "handed over"
# Those of other changes of a mount that is served.
CHANGED_LIVE: Final = "changed live"
MOVED: Final = "moved"
REPLACED: Final = "replaced"
UNCHANGED: Final = "unchanged"
# All that need nobody's attention.
WELL: Final = frozenset({"added", "removed", "restarted", UNCHANGED, HANDED_OVER, CHANGED_LIVE, MOVED, REPLACED})

_log = logging.getLogger(__name__)


class CannotAdd(MountctlError):
    """A mount that no file declares can't be had; the message says why."""


@dataclass(frozen=True, slots=True)
class Reload:
    """What a reload did. `mounts` has a word or sentence for each mount it touched."""

    ok: bool
    errors: tuple[str, ...] = ()
    mounts: dict[str, str] = field(default_factory=dict)
    at: float = field(default_factory=time.time)


def trouble(mount: Mount) -> str:
    """What there is to say of a mount that ought to be ready."""
    return "" if mount.state is MountState.READY else f", {mount.state}: {mount.reason}"


def told(results: Mapping[str, str]) -> str:
    """The results of all mounts, for the log."""
    return ", ".join(f"{name}: {result}" for name, result in results.items()) or "no mounts"


def step(events: Events, text: str) -> None:
    """Something about a reload as a whole."""
    _log.info("%s", text, extra=about(RELOAD))
    events.note(Kind.RELOAD, text)


def refused(events: Events, problems: Sequence[str]) -> None:
    """A configuration is not put in force."""
    for problem in problems:
        _log.error("reload refused, nothing changed: %s", problem, extra=about(RELOAD_REFUSED))
    more = f"; and {len(problems) - 1} more" if len(problems) > 1 else ""
    events.note(Kind.CONFIG, f"reload refused, nothing changed: {problems[0]}{more}")


def ended(events: Events, what: str, results: Mapping[str, str], *, level: int = logging.INFO) -> None:
    """A reload or an upgrade came to its end: each mount's result, and all of it. `level`: in the log."""
    _log.log(level, "%s: %s", what, told(results), extra=about(RELOAD))
    changed = {name: result for name, result in results.items() if result != UNCHANGED}
    for name, result in changed.items():
        events.note(Kind.RELOAD, result, mount=name)
    troubled = sum(result not in WELL for result in changed.values())
    trouble = f", {troubled} of them not as they should be" if troubled else ""
    events.note(Kind.RELOAD, f"{what}: {len(changed)} of {len(results)} mounts changed{trouble}")
