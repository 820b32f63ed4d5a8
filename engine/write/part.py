"""One part of a file on its way: its memory and how full it is. Used by upload.py only. Sends nothing."""

from collections.abc import Mapping
from typing import Self

from engine.arena import SLOT_BYTES, Slot
from engine.write.bequest import PartBequest


class Part:
    """The slots of one part, full or being filled, and how many bytes it is meant to get."""

    __slots__ = ("number", "size", "slots", "wanted")

    def __init__(self, number: int, wanted: int) -> None:
        self.number = number
        self.wanted = wanted
        self.size = 0
        self.slots: list[Slot] = []

    @classmethod
    def of(cls, bequest: PartBequest, slots: Mapping[int, Slot]) -> Self:
        """A part that another engine has begun, with its memory."""
        part = cls(bequest.number, bequest.wanted)
        part.size = bequest.size
        part.slots = [slots[index] for index in bequest.slots]
        return part

    @property
    def room(self) -> int:
        """Bytes that the slots at hand can still take."""
        return min(len(self.slots) * SLOT_BYTES, self.wanted) - self.size

    def take(self, data: memoryview) -> None:
        """Append bytes, which must lie within the last slot's room."""
        start = self.size % SLOT_BYTES
        self.slots[-1].view[start : start + len(data)] = data
        self.size += len(data)

    def body(self) -> list[memoryview]:
        """The bytes, in order."""
        return [
            slot.view[: min(SLOT_BYTES, self.size - index * SLOT_BYTES)]
            for index, slot in enumerate(self.slots)
            if index * SLOT_BYTES < self.size
        ]
