"""How large each part of a multipart upload is: the rule, without I/O.

Used by upload.py when it begins a part. S3 takes 10,000 parts at most and a stream does not tell its length before its
end. So parts begin small, where files are many and memory is shared, and grow once a file has shown itself to be large.
"""

from typing import Final

from engine.arena import SLOT_BYTES
from engine.s3.interface import OBJECT_BYTES_MAX, PART_BYTES_MAX, PARTS_MAX

# The share of parts that stay as they were asked for: with parts of 8 MiB a file of 15 GiB takes no more memory than
# one of 100 MiB. The rest grow evenly: of all ways to reach 5 TiB that begin small, this one has nearly the least last
# part (1.3 GiB; doubling would end at 4 GiB).
EQUAL_PARTS_SHARE: Final = 1 / 5


class PartPlan:
    """The sizes of a file's parts.

    Args:
        base: the size asked for, in bytes: the first parts', and the least of all but the last.
        parts_max: how many parts there may be.
        object_max: what they must be able to hold together, in bytes.
    """

    def __init__(self, base: int, *, parts_max: int = PARTS_MAX, object_max: int = OBJECT_BYTES_MAX) -> None:
        self.base: Final = base
        self.parts_max: Final = parts_max
        self.object_max: Final = object_max
        self._equal: Final = int(parts_max * EQUAL_PARTS_SHARE)
        growing = parts_max - self._equal
        lacking = max(0, object_max - parts_max * base)
        self._growth: Final = -(
            -2 * lacking // (growing * (growing + 1))
        )  # bytes by which a part exceeds the one before

    def part_bytes(self, number: int) -> int:
        """The size that the part of this number (from 1) should have, in bytes. The base, if memory forbids more."""
        grown = max(0, number - self._equal) * self._growth
        return min(self.base + -(-grown // SLOT_BYTES) * SLOT_BYTES, max(self.base, PART_BYTES_MAX))

    def slots(self, size: int) -> int:
        """How many slots of the arena hold so many bytes."""
        return -(-size // SLOT_BYTES)
