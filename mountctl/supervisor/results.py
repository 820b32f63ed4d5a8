"""What came of a reload, a restart or an upgrade, in words. Made by supervisor.py; control and report.py show it."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from mountctl.errors import MountctlError
from mountctl.supervisor.mount import Mount
from mountctl.supervisor.state import MountState

# The result of a mount that another engine serves now.
HANDED_OVER: Final = "handed over"
# Those of other changes of a mount that is served.
CHANGED_LIVE: Final = "changed live"
MOVED: Final = "moved"
REPLACED: Final = "replaced"
# All that need nobody's attention.
WELL: Final = frozenset({"added", "removed", "restarted", "unchanged", HANDED_OVER, CHANGED_LIVE, MOVED, REPLACED})


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
