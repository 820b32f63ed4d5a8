"""Has the C library give large blocks of memory back to the system as soon as they are freed.

Called once by assembly.py, for the whole process. glibc learns from each large block that was freed to keep the next
ones of that size: then the dictionaries of a hundred thousand names, which are made anew again and again (see
engine/namespace/inodes.py), leave 10 MiB of holes behind. Setting a threshold ends the learning.
"""

import ctypes
from typing import Final

from engine.spec import MiB

# malloc.h
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3

# Bytes from which on a block is a mapping of its own: above the kernel's writes of 1 MiB, which come thousands a
# second and must not cost page faults each time, and below the tables of dictionaries that are worth it.
MAPPED_BYTES_MIN: Final = 2 * MiB

# Free bytes at the end of the heap that are kept, for the same writes: what glibc would have learned.
KEPT_BYTES_MAX: Final = 2 * MAPPED_BYTES_MIN


def set_up() -> None:
    """Set both thresholds. Where the C library has none (musl), it needs none."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, MAPPED_BYTES_MIN)
        mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES_MAX)
