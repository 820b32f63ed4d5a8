"""What a mount's engines may take of the host: options `slice`, `memory-high`, `memory-max` and `cpu-weight`.

Used by engine/spec.py. Pure. They are named after systemd's (systemd.resource-control(5)), which sees to them; an
engine knows nothing of it.
"""

import re
from collections.abc import Iterator
from typing import Final

# Beside `memory-target`, in MiB: 64 that an engine takes at most for all else (S53 in docs/concepts/semantics.md), and
# 64 for what comes and goes beside it: its fetchers (8 each), an engine that gets ready to take over, what the kernel
# has for its connections.
BEYOND_TARGET_MIB: Final = 128
# That of the smallest `memory-target`; and two engines of the largest.
MEMORY_LIMIT_MIN_MIB: Final = 16 + BEYOND_TARGET_MIB
MEMORY_LIMIT_MAX_MIB: Final = 2 * 1024 * 1024

# A unit's name has up to 255 bytes (systemd.unit(5)); most of it is for the mount's name.
_SLICE_CHARS_MAX: Final = 100
_SLICE: Final = re.compile(r"^[0-9a-zA-Z_.:\\]+(-[0-9a-zA-Z_.:\\]+)*\.slice$")


def slice_name(value: str) -> str:
    """The name of a slice that others may be below. Raises ValueError."""
    if not _SLICE.fullmatch(value) or len(value) > _SLICE_CHARS_MAX:
        raise ValueError("must be a slice of systemd, such as 'batch.slice', and not the root '-.slice'")
    return value


def memory_conflicts(target: int, high: int | None, most: int | None) -> Iterator[str]:
    """Limits of memory, in MiB, that don't go together, each as a sentence that starts with the one to change."""
    needed = target + BEYOND_TARGET_MIB
    for key, value in (("memory-high", high), ("memory-max", most)):
        if value is not None and value < needed:
            yield (
                f"{key} must be at least {needed}, not {value}: memory-target is {target}, and all else takes up to "
                f"{BEYOND_TARGET_MIB}; raise it, or lower memory-target"
            )
    if high is not None and most is not None and high > most:
        yield f"memory-high must be at most memory-max, {most}, not {high}: it would never be reached"
