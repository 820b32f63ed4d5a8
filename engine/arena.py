"""The memory of an engine: equal slots in one memfd, one budget for all readers and writers.

Called by engine/read and engine/write; run.py makes one and closes it. It never knows what lies in a slot.

A memfd, so that another process can map it and fill slots. Pages are taken by the first touch and given back by
`trim`; slots are used again last in, first out, so that a small working set stays in the CPU's cache.

Two ways to a slot keep the budget and still never stop a program for good:

* `acquire_nowait` is for work that can be left out (reading ahead). It gets nothing while anybody waits.
* `acquire` is for what a program waits for. It first has the reclaimers let go of slots that can be done without,
  then waits in line. While somebody waits, `wanted` is true: owners then release what they could else have kept.
"""

import collections
import contextlib
import ctypes
import mmap
import os
from collections.abc import Callable, Sequence
from typing import Final

import trio

from engine.spec import MiB

# The kernel asks for at most 1 MiB at a time (max_pages 256): an aligned read lies in one slot and needs no copy.
SLOT_BYTES: Final = MiB


class Slot:
    """SLOT_BYTES of memory. `view` is valid from acquire to release.

    `resident` says that its pages may have been touched since they last went back to the system.
    """

    __slots__ = ("index", "resident", "view")

    def __init__(self, index: int, view: memoryview) -> None:
        self.index = index
        self.view = view
        self.resident = True


class Arena:
    """A fixed number of slots, all in one thread: no method is safe from another one.

    Args:
        capacity: bytes, rounded down to whole slots; at least one slot.
    """

    def __init__(self, capacity: int) -> None:
        self.slots: Final = max(1, capacity // SLOT_BYTES)
        self.fd: Final = os.memfd_create("mountctl-arena", os.MFD_CLOEXEC)
        os.ftruncate(self.fd, self.slots * SLOT_BYTES)
        self._map = mmap.mmap(self.fd, self.slots * SLOT_BYTES)
        self._whole = memoryview(self._map)
        self._address: Final = _address(self._whole)
        self._fresh = 0  # slots below were handed out at least once
        self._free: list[Slot] = []
        self._waiting: collections.deque[trio.Event] = collections.deque()  # not empty: every slot is in use
        self._reclaimers: list[Callable[[], bool]] = []
        self._in_use = 0
        self._most_since_trim = 0

    @property
    def in_use(self) -> int:
        """Slots that somebody holds, or that are reserved for somebody about to run."""
        return self._in_use

    @property
    def available(self) -> int:
        """Slots that nobody holds and nobody waits for."""
        return max(0, self.slots - self._in_use - len(self._waiting))

    @property
    def wanted(self) -> bool:
        """Somebody waits for a slot: whoever holds one without need should release it."""
        return bool(self._waiting)

    def acquire_nowait(self) -> Slot | None:
        """A slot, or None if none is free or others wait. For reading ahead, which can be left out."""
        return self._take() if self.available else None

    async def acquire(self) -> Slot:
        """A slot; waits for one. For what a program waits for. First come, first served."""
        while not self.available and self._reclaim():
            pass
        if self.available:
            await trio.lowlevel.checkpoint_if_cancelled()
            return self._take()
        event = trio.Event()
        self._waiting.append(event)
        try:
            await event.wait()
        except trio.Cancelled:
            if event.is_set():  # a slot was reserved for us, and we go away
                self._in_use -= 1
                self._hand_on()
            else:
                self._waiting.remove(event)
            raise
        self._in_use -= 1  # it was counted for us when the event was set
        return self._take()

    def release(self, slot: Slot) -> None:
        """Give a slot back. Its view must not be written afterwards, and is good until the next await only."""
        self._in_use -= 1
        self._free.append(slot)
        self._hand_on()

    def inherit(self, fd: int, indices: Sequence[int]) -> dict[int, Slot]:
        """What lies in slots of another engine's arena, moved here; returns our slots by those numbers.

        There is no moment at which both have it: the system gets each page back when it is copied.

        Args:
            fd: that arena's memfd; nobody else uses it any more.
            indices: of its slots.

        Raises ValueError if it has no such slots, or there is no room for them here.
        """
        there = os.fstat(fd).st_size
        if any(not 0 <= index < there // SLOT_BYTES for index in indices) or len(set(indices)) < len(indices):
            raise ValueError("the arena before has no such slots")
        if len(indices) > self.available:
            raise ValueError("there is no room for what the arena before holds")
        moved = {}
        with mmap.mmap(fd, there) as before:
            for index in indices:
                slot = moved[index] = self._take()
                start = index * SLOT_BYTES
                slot.view[:] = before[start : start + SLOT_BYTES]
                before.madvise(mmap.MADV_REMOVE, start, SLOT_BYTES)
        return moved

    def places(self, views: Sequence[memoryview]) -> list[tuple[int, int]] | None:
        """Where memory is to another process that has the memfd: offsets and lengths. None: not all of it is here."""
        found: list[tuple[int, int]] = []
        for view in views:
            start = _address(view) - self._address
            if not 0 <= start <= self.slots * SLOT_BYTES - len(view):
                return None
            if found and sum(found[-1]) == start:
                found[-1] = (found[-1][0], found[-1][1] + len(view))
            else:
                found.append((start, len(view)))
        return found

    def add_reclaimer(self, reclaim: Callable[[], bool]) -> None:
        """`reclaim()` releases at least one slot that can be done without and returns True, or returns False."""
        self._reclaimers.append(reclaim)

    def remove_reclaimer(self, reclaim: Callable[[], bool]) -> None:
        """The owner of `reclaim` holds nothing any more."""
        self._reclaimers.remove(reclaim)

    def trim(self) -> None:
        """Give the pages of free slots that were not needed since the last trim back to the system."""
        spare = len(self._free) - (self._most_since_trim - self._in_use)
        self._most_since_trim = self._in_use
        # The front of the list has lain there longest.
        for slot in self._free[: max(0, spare)]:
            if slot.resident:
                self._map.madvise(mmap.MADV_REMOVE, slot.index * SLOT_BYTES, SLOT_BYTES)
                slot.resident = False

    def close(self) -> None:
        """Give everything back. Views still held elsewhere keep the mapping until they go."""
        for slot in self._free:
            slot.view.release()
        self._free.clear()
        self._whole.release()
        with contextlib.suppress(BufferError):  # a view is still out: the mapping goes with it
            self._map.close()
        os.close(self.fd)

    def _reclaim(self) -> bool:
        return any(reclaim() for reclaim in self._reclaimers)

    def _take(self) -> Slot:
        self._in_use += 1
        self._most_since_trim = max(self._most_since_trim, self._in_use)
        if self._free:
            slot = self._free.pop()
            slot.resident = True
            return slot
        start = self._fresh * SLOT_BYTES
        self._fresh += 1
        return Slot(self._fresh - 1, self._whole[start : start + SLOT_BYTES])

    def _hand_on(self) -> None:
        if self._waiting:
            self._in_use += 1  # reserved for the waiter, which takes it when it runs
            self._waiting.popleft().set()


def _address(view: memoryview) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(view))
