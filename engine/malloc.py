"""Has the C library give memory that is not used back to the system.

Called by assembly.py, for the whole process. glibc learns from each large block that was freed to keep the next ones of
that size: then the dictionaries of a hundred thousand names, which are made anew again and again (see
engine/namespace/inodes.py), leave 10 MiB of holes behind. Setting a threshold ends the learning. And what smaller
blocks leave, such as those of listings, it keeps until it is asked.
"""

import ctypes
from collections.abc import Callable
from typing import Final

from engine.spec import KiB, MiB

# malloc.h
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3

# Bytes from which on a block is a mapping of its own: above what a program writes at once, 1 MiB and what Python has
# around it, which comes thousands of times a second and must not cost page faults each time. Below libfuse's buffers
# for requests, a page more than 1 MiB: there are up to 64, hardly touched while programs read, and in the heap they
# leave holes in which all else spreads, 3 MiB. And below the tables of dictionaries that are worth it.
MAPPED_BYTES_MIN: Final = MiB + 2 * KiB

# Free bytes at the end of the heap that are kept, for the same writes: what glibc would have learned.
KEPT_BYTES_MAX: Final = 4 * MiB

_libc: Final = ctypes.CDLL(None)
# Where the C library has none of these (musl), it needs none.
_mallopt: Final[Callable[[int, int], int] | None] = getattr(_libc, "mallopt", None)
_malloc_trim: Final[Callable[[int], int] | None] = getattr(_libc, "malloc_trim", None)


def set_up() -> None:
    """Set both thresholds."""
    if _mallopt is not None:
        _mallopt(_M_MMAP_THRESHOLD, MAPPED_BYTES_MIN)
        _mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES_MAX)


def trim() -> None:
    """Give whole pages back that are free now: 2 MiB after a walk, in 0.3 ms; 0.03 ms where there are none."""
    if _malloc_trim is not None:
        _malloc_trim(0)
