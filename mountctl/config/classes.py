"""Which changes of a mount's options a running mount can take, and how: the rule behind `plan` and `reload`. Pure.

What programs see of a change depends on its class: nothing of what an engine takes while it serves, and of a handover,
which gives the same session to another engine; a replacement is another session, and what is open stays with the old.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import Final


class ChangeClass(StrEnum):
    """What happens to a mount, and how a change of it is carried out."""

    NOTHING = "nothing"
    ADD = "add"
    REMOVE = "remove"
    LIVE = "live"  # by a message to the engine, or by none
    HANDOVER = "handover"  # another engine on the same session
    MOVE = "move"  # the same mount at another place
    REPLACE = "replace"  # another session


# Other names, or what the kernel itself was told when the session was made.
REPLACING_KEYS: Final = frozenset({"name", "bucket", "prefix", "read-only", "allow-other", "allow-root"})
# What the engine takes by a message (engine/logged.py), and what it need not know of: `auto-unmount` is for whoever
# holds the session when nobody else does, nothing depends on `bucket-type`, `environment` is the broker's, and limits
# are systemd's.
LIMITS: Final = ("memory-max", "memory-high", "cpu-weight", "slice")
_LOG: Final = ("debug", "debug-crt", "log-directory", "log-format")
LIVE_KEYS: Final = frozenset({*LIMITS, *_LOG, "auto-unmount", "bucket-type", "environment"})
PLACE: Final = "mountpoint"


def class_of(keys: Iterable[str]) -> ChangeClass:
    """The class of a change of these keys, as they are written in TOML: that of the most far-reaching of them.

    A mount that is to be at another place and otherwise different as well is replaced.
    """
    changed = frozenset(keys)
    if not changed:
        return ChangeClass.NOTHING
    if changed == {PLACE}:
        return ChangeClass.MOVE
    if changed & {PLACE, *REPLACING_KEYS}:
        return ChangeClass.REPLACE
    return ChangeClass.LIVE if changed <= LIVE_KEYS else ChangeClass.HANDOVER
