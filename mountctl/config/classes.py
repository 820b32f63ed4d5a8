"""Which changes of a mount's options a running mount can take, and how: the rule behind `plan` and `reload`. Pure.

What programs see of a change depends on its class: nothing of a handover, which gives the same session to another
engine; a replacement is another session, and what was open on the old one ends.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import Final


class ChangeClass(StrEnum):
    """How a change is carried out."""

    HANDOVER = "handover"  # another engine on the same session
    REPLACE = "replace"  # another session


# Other names, another place, or what the kernel itself was told when the session was made.
REPLACING_KEYS: Final = frozenset({"name", "bucket", "prefix", "mountpoint", "read-only", "allow-other", "allow-root"})


def class_of(keys: Iterable[str]) -> ChangeClass:
    """The class of a change of these keys, as they are written in TOML: that of the most far-reaching of them."""
    return ChangeClass.REPLACE if REPLACING_KEYS.intersection(keys) else ChangeClass.HANDOVER
