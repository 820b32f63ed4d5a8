"""When random reads of an object have cost so much that fetching it is the better deal: rules, without any I/O.

Called by engine/read/buyer.py, which measures and fetches. Knows no clock: times come as arguments, in seconds.

Who reads at random pays for each read the time to the first byte of a GET, 20 ms with S3; who fetches all of it pays
its bytes once, and nothing from then on. Nobody knows how many reads will come. The rule is that of the ski rental: pay
for each read until what was paid equals the price of buying, then buy. Whatever comes, that costs at most twice what
the best choice in hindsight would have cost.

*Paid* is time in which a program waited for random reads of the object: time in which several of them waited at once
counts once, as the program has waited no longer. The *price* of bytes is the wait of one read and the time they take,
at the rate that GETs side by side were last seen to bring (`Rate`). What is bought is paid for from what was paid
before, once: so all that is bought is never worth more time than random reads have cost.

*What is bought?* All of the object that is not there yet, when it has its price together and there is memory for it.
The *place* of a read, PLACE_BYTES of the object, when the reads of this place have paid for it; but while all of the
object can be had, only if they have paid more than all others: else it is better to save. A place's account is
forgotten when so many other places were read since as memory is left for: had it been bought then, it would be gone
again by now. So who reads all over a huge object buys hardly anything, and who reads much in a part of it buys that.

*The first purchase* of a mount is a place in any case: nobody knows yet what GETs side by side bring, and it shows it.
"""

import collections
from typing import Final, NamedTuple

from engine.read.window import Range
from engine.spec import MiB

# What is bought at once of an object that is not bought whole. At S3's usual 90 MB/s a connection and 20 ms, four GETs
# bring it in twice the time of a random read.
PLACE_BYTES: Final = 8 * MiB

# Three places of a file are its head, its index and what the program came for; more say that it goes on.
READS_MIN: Final = 4

# Until a purchase has shown what GETs side by side bring, bytes a second: eight of S3's connections, by which the first
# place comes. Where that is wrong, the first purchase takes longer, and what it took is what was spent on it.
RATE_UNKNOWN: Final = 8 * 90e6

# Weight of the newest wait in the average.
NEWEST_WEIGHT: Final = 0.5

# Places of which an account is kept at least.
ACCOUNTS_MIN: Final = 2

# Part of a purchase's time that its bytes took at least: with a wait measured as too long they might have taken none.
TRANSFER_SHARE_MIN: Final = 0.25


class Purchase(NamedTuple):
    """What to buy, and the seconds that it is thought to take."""

    wanted: Range
    price: float


class Rate:
    """Bytes a second that many GETs side by side bring; one for all objects of a mount."""

    def __init__(self) -> None:
        self._known: float | None = None

    @property
    def known(self) -> bool:
        """Something was bought."""
        return self._known is not None

    def price(self, size: int, wait: float) -> float:
        """Seconds for `size` bytes, where a read waits for `wait` seconds."""
        return wait + size / (self._known or RATE_UNKNOWN)

    def bought(self, size: int, seconds: float, wait: float) -> None:
        """So many bytes took so long, the wait for the first ones included."""
        rate = size / max(seconds - wait, seconds * TRANSFER_SHARE_MIN, 1e-6)
        weight = size / (size + PLACE_BYTES)  # the larger, the surer
        self._known = rate if self._known is None else self._known + weight * (rate - self._known)


class Account:
    """What random reads of one object have paid, and what was bought for it.

    Args:
        size: the object's, in bytes.
    """

    __slots__ = ("_credit", "_places", "_reads", "_since", "_size", "_waiting", "_whole", "wait")

    def __init__(self, size: int) -> None:
        self._size = size
        self._credit = 0.0  # paid, and not spent
        self._reads = 0
        self._places: collections.OrderedDict[int, float] = collections.OrderedDict()  # paid, the one read last at last
        self._whole: Purchase | None = None  # all of the object, on its way
        self._waiting = 0  # reads that wait now
        self._since = 0.0  # for how long it was counted that they wait
        self.wait = 0.0  # of a random read, on average of the last few

    def begins(self, now: float) -> None:
        """A random read begins to wait."""
        self._count(now)
        self._waiting += 1

    def ends(self, offset: int, began: float, now: float, *, came: bool) -> None:
        """One that began to wait then has its bytes at `offset`, or failed."""
        self._count(now)
        waiting, self._waiting = self._waiting, self._waiting - 1
        if not came:
            return
        seconds = now - began
        self._reads += 1
        self.wait = seconds if self._reads == 1 else self.wait + NEWEST_WEIGHT * (seconds - self.wait)
        place = offset // PLACE_BYTES
        self._places[place] = self._places.pop(place, 0.0) + seconds / waiting

    def choose(self, offset: int, rate: Rate, *, room: int, there: int, lacking: int) -> Purchase | None:
        """What to buy now that a random read at `offset` has ended, None: nothing. It counts as bought.

        Args:
            offset: the first byte of the read.
            rate: what bytes cost.
            room: bytes of memory for all that is bought of this object.
            there: bytes of it that are bought already.
            lacking: bytes that are not, of the read's place.
        """
        whole = self._size <= room
        while len(self._places) > max(ACCOUNTS_MIN, (room - there) // PLACE_BYTES):
            self._places.popitem(last=False)
        if self._reads < READS_MIN or self._whole is not None:
            return None
        price = rate.price(self._size - there, self.wait)
        if rate.known and whole and there < self._size and price <= self._credit:
            self._places.clear()
            self._whole = self._buy(Range(0, self._size), price)
            return self._whole
        number = offset // PLACE_BYTES
        price = rate.price(lacking, self.wait)
        if lacking <= 0 or room < PLACE_BYTES or price > self._credit:
            return None
        paid = self._places.get(number, 0.0)
        if rate.known and (paid < price or (whole and paid * 2 < self._credit)):
            return None
        self._places.pop(number, None)
        return self._buy(Range(number * PLACE_BYTES, min((number + 1) * PLACE_BYTES, self._size)), price)

    def ended(self, purchase: Purchase, seconds: float | None) -> None:
        """A purchase has come, and has really taken so long; None: it failed, or was given up."""
        if self._whole is purchase:
            self._whole = None
        if seconds is not None:
            self._credit += purchase.price - seconds

    def _buy(self, wanted: Range, price: float) -> Purchase:
        self._credit -= price
        return Purchase(wanted, price)

    def _count(self, now: float) -> None:
        if self._waiting:
            self._credit += now - self._since
        self._since = now
