"""How much memory writers may have: how many there may be, and what each is sure to get.

Used by uploader.py and upload.py. Pure accounting: the slots themselves are the arena's.

A writer that waits for memory must be sure to get it, or two of them, each with half a part, would wait for each other
for good. So each has a reservation of one whole part, and nobody is let in beyond them. What a writer holds above its
reservation are only parts on their way to S3, which come back by themselves.
"""

from typing import Final

from engine.arena import SLOT_BYTES
from engine.errors import TooManyWriters
from engine.spec import MiB
from engine.write.plan import PartPlan

# Of the memory target, what is not for data, as in Mountpoint: an eighth, at least 128 MiB, so that 512 MiB give 47
# writers with parts of 8 MiB. Targets below 512 MiB, which Mountpoint does not have, give a quarter.
OVERHEAD_SHARE: Final = 1 / 8
OVERHEAD_BYTES_MIN: Final = 128 * MiB
OVERHEAD_SHARE_MAX: Final = 1 / 4

# What is left to readers at least: a part, and with small targets a quarter.
READ_SHARE_MAX: Final = 1 / 4

# Growing parts (plan.py) leave this share of the writers' memory to others, who must still be able to open files.
LEFT_BY_GROWTH_SHARE: Final = 1 / 4


def writers_max(memory: int, *, read_part: int, write_part: int) -> int:
    """How many files may be open for writing at once; 0 if memory is too small for one part. All in bytes."""
    overhead = min(max(OVERHEAD_BYTES_MIN, memory * OVERHEAD_SHARE), memory * OVERHEAD_SHARE_MAX)
    reading = min(read_part, memory * READ_SHARE_MAX)
    return max(0, int(memory - overhead - reading) // write_part)


class Reservation:
    """A writer's share, in slots. Made by Budget.reserve; to be released once."""

    def __init__(self, budget: "Budget", slots: int) -> None:
        self._budget = budget
        self.slots = slots

    def resize(self, slots: int) -> bool:
        """Ask for another size, never below a base part. False if there is not so much; it then stays as it is."""
        return self._budget.resize(self, slots)

    def release(self) -> None:
        """The writer holds nothing any more. Doing it twice does no harm."""
        self._budget.release(self)


class Budget:
    """All writers' memory.

    Args:
        writers: how many there may be.
        part_slots: what each is sure to get, in slots.
    """

    def __init__(self, *, writers: int, part_slots: int) -> None:
        self.writers: Final = writers
        self.part_slots: Final = part_slots
        self.slots: Final = writers * part_slots
        self._reservations: set[Reservation] = set()
        self._reserved = 0

    def reserve(self) -> Reservation:
        """Let a writer in. Raises TooManyWriters."""
        if self._reserved + self.part_slots > self.slots:
            raise TooManyWriters(
                f"{len(self._reservations)} files are open for writing, and memory-target has no room for another"
            )
        reservation = Reservation(self, self.part_slots)
        self._reservations.add(reservation)
        self._reserved += self.part_slots
        return reservation

    def inherit(self, slots: int) -> Reservation:
        """Let in a writer that an engine before has let in, whatever there is: it goes on with what it had."""
        reservation = Reservation(self, max(slots, self.part_slots))
        self._reservations.add(reservation)
        self._reserved += reservation.slots
        return reservation

    def resize(self, reservation: Reservation, slots: int) -> bool:
        """See Reservation.resize."""
        more = max(slots, self.part_slots) - reservation.slots
        if more > 0 and self._reserved + more > self.slots * (1 - LEFT_BY_GROWTH_SHARE):
            return False
        self._reserved += more
        reservation.slots += more
        return True

    def release(self, reservation: Reservation) -> None:
        """See Reservation.release."""
        if reservation in self._reservations:
            self._reservations.remove(reservation)
            self._reserved -= reservation.slots


def next_size(plan: PartPlan, reservation: Reservation, number: int) -> int:
    """How large the part of this number is to be, in bytes: as planned, or as large as memory lets it be.

    Takes the memory, or gives back what the part before had more.
    """
    size = plan.part_bytes(number)
    if reservation.resize(plan.slots(size)):
        return size
    return max(plan.base, reservation.slots * SLOT_BYTES)
