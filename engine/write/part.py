"""One part of a file on its way: its memory, how full it is, and the checksum of what came. Used by upload.py only.

Each byte is summed once, when it comes, while it is in the CPU's cache still. Sends nothing.
"""

from collections.abc import Mapping
from typing import Self

from engine.arena import SLOT_BYTES, Slot
from engine.errors import BadResponse
from engine.s3.checksums import checksum_of, extended
from engine.s3.interface import Checksum, ChecksumAlgorithm
from engine.write.bequest import PartBequest


class Part:
    """The slots of one part, full or being filled, and how many bytes it is meant to get.

    `checksum` is of the bytes as they came, whatever becomes of them in memory.
    """

    __slots__ = ("checksum", "number", "size", "slots", "wanted")

    def __init__(self, number: int, wanted: int, algorithm: ChecksumAlgorithm) -> None:
        self.number = number
        self.wanted = wanted
        self.size = 0
        self.slots: list[Slot] = []
        self.checksum = Checksum(algorithm, 0)

    @classmethod
    def of(
        cls,
        bequest: PartBequest,
        slots: Mapping[int, Slot],
        algorithm: ChecksumAlgorithm,
        checksum: Checksum | None = None,
    ) -> Self:
        """A part that another engine has begun, with its memory. `checksum`: as it was when it was full."""
        part = cls(bequest.number, bequest.wanted, algorithm)
        part.size = bequest.size
        part.slots = [slots[index] for index in bequest.slots]
        part.checksum = checksum or checksum_of(algorithm, part.body())
        return part

    @property
    def room(self) -> int:
        """Bytes that the slots at hand can still take."""
        return min(len(self.slots) * SLOT_BYTES, self.wanted) - self.size

    def take(self, data: memoryview) -> None:
        """Append bytes, which must lie within the last slot's room."""
        self.checksum = extended(self.checksum, (data,))
        start = self.size % SLOT_BYTES
        self.slots[-1].view[start : start + len(data)] = data
        self.size += len(data)

    def review(self) -> None:
        """Raises BadResponse unless the memory still holds what came."""
        if checksum_of(self.checksum.algorithm, self.body()) != self.checksum:
            raise BadResponse("what was sent is not what was written")

    def body(self) -> list[memoryview]:
        """The bytes, in order."""
        return [
            slot.view[: min(SLOT_BYTES, self.size - index * SLOT_BYTES)]
            for index, slot in enumerate(self.slots)
            if index * SLOT_BYTES < self.size
        ]
