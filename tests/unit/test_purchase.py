"""When random reads buy: each test is a sequence of reads that waited, and what must be bought for it."""

import random

from hypothesis import given
from hypothesis import strategies as st

from engine.read.purchase import PLACE_BYTES, RATE_UNKNOWN, READS_MIN, Account, Rate
from engine.read.window import Range
from engine.spec import KiB, MiB

WAIT = 0.02
ROOM = 256 * MiB


class Reader:
    """One program that reads an object at random, and what was bought for it; time goes on as it waits."""

    def __init__(self, size, *, rate=None, room=ROOM, wait=WAIT):
        self.size = size
        self.account = Account(size)
        self.rate = Rate()
        if rate is not None:
            self.rate.bought(1024 * MiB, WAIT + 1024 * MiB / rate, WAIT)
        self.room = room
        self.wait = wait
        self.now = 0.0
        self.paid = 0.0
        self.bought = []
        self.places = set()

    def size_of(self, place):
        return min((place + 1) * PLACE_BYTES, self.size) - place * PLACE_BYTES

    def lacking(self, place):
        return 0 if place in self.places else self.size_of(place)

    def read(self, offset):
        """What was bought, if anything was, after a read of what was not."""
        place = offset // PLACE_BYTES
        if not self.lacking(place):
            return None
        self.account.begins(self.now)
        began, self.now = self.now, self.now + self.wait
        self.account.ends(offset, began, self.now, came=True)
        self.paid += self.wait
        there = sum(self.size_of(each) for each in self.places)
        chosen = self.account.choose(offset, self.rate, room=self.room, there=there, lacking=self.lacking(place))
        if chosen is None:
            return None
        self.bought.append(chosen)
        self.places |= set(range(chosen.wanted.start // PLACE_BYTES, -(-chosen.wanted.end // PLACE_BYTES)))
        return chosen.wanted


def test_three_places_buy_nothing_however_long_they_took():
    reader = Reader(100 * MiB, rate=1e9, wait=10.0)
    assert [reader.read(place * 10 * MiB) for place in range(READS_MIN - 1)] == [None] * (READS_MIN - 1)
    assert reader.read(50 * MiB) is not None


def test_the_first_purchase_is_the_place_of_the_read_when_that_has_its_price_together():
    reader = Reader(1024 * MiB, wait=0.002)
    needed = int((0.002 + PLACE_BYTES / RATE_UNKNOWN) / 0.002) + 1
    assert needed > READS_MIN
    for number in range(needed - 1):
        assert reader.read(number * 50 * MiB) is None
    assert reader.read(900 * MiB) == Range(900 * MiB - 4 * MiB, 904 * MiB)


def test_the_object_is_bought_when_the_reads_have_paid_what_it_costs():
    reader = Reader(150 * MiB, rate=500e6)
    needed = int((WAIT + 150 * MiB / 500e6) / WAIT) + 1
    offsets = [number * 37 % 150 * MiB for number in range(needed)]
    assert [reader.read(offset) for offset in offsets[:-1]] == [None] * (needed - 1)
    assert reader.read(offsets[-1]) == Range(0, 150 * MiB)


def test_what_is_there_already_is_not_paid_for_again():
    reader = Reader(64 * MiB, rate=200e6)
    reader.places = {0, 1, 2, 3, 4, 5}
    needed = int((WAIT + 16 * MiB / 200e6) / WAIT) + 1
    assert needed >= READS_MIN
    for number in range(needed - 1):
        assert reader.read((48 + 8 * (number % 2)) * MiB) is None
    assert reader.read(50 * MiB) == Range(0, 64 * MiB)


def test_much_reading_in_one_place_buys_that_place():
    reader = Reader(200 * MiB, rate=500e6)
    needed = int((WAIT + PLACE_BYTES / 500e6) / WAIT) + 1
    assert needed < READS_MIN
    for number in range(READS_MIN - 1):
        assert reader.read(80 * MiB + number * 256 * KiB) is None
    assert reader.read(82 * MiB) == Range(80 * MiB, 88 * MiB)


def test_who_can_have_the_whole_object_saves_for_it_instead_of_buying_places_that_chance_meets_twice():
    reader = Reader(150 * MiB, rate=300e6)
    places = random.Random(1)
    while not reader.bought:
        reader.read(places.randrange(150) * MiB)
    assert reader.bought[0].wanted == Range(0, 150 * MiB)


def test_reads_all_over_a_huge_object_buy_hardly_anything():
    reader = Reader(1 << 40, rate=500e6)
    places = random.Random(1)
    for _ in range(20_000):
        reader.read(places.randrange(1 << 28) * 4 * KiB)
    assert len(reader.bought) <= 20  # chance makes two reads of a place meet within the memory


def test_with_the_memory_full_a_place_is_bought_only_if_it_is_read_again_at_once():
    reader = Reader(1024 * MiB, rate=500e6, room=4 * PLACE_BYTES)
    for place in range(4):
        for number in range(10):
            reader.read(place * PLACE_BYTES + number * KiB)
    assert reader.places == {0, 1, 2, 3}
    for number in range(60):
        assert reader.read((10 + number % 3) * PLACE_BYTES) is None
    for number in range(3):
        reader.read(50 * PLACE_BYTES + number * KiB)
    assert 50 in reader.places


def test_without_memory_for_a_place_nothing_is_bought():
    reader = Reader(1024 * MiB, room=PLACE_BYTES - MiB)
    assert [reader.read(number % 20 * MiB) for number in range(100)] == [None] * 100


def test_reads_that_wait_side_by_side_pay_once():
    def reads_until_bought(side_by_side):
        account, rate, now = Account(150 * MiB), Rate(), 0.0
        for number in range(1, 1000):
            for _ in range(side_by_side):
                account.begins(now)
            began, now = now, now + 0.001
            for each in range(side_by_side):
                account.ends((number * 7 + each) % 150 * MiB, began, now, came=True)
                if account.choose(0, rate, room=ROOM, there=0, lacking=PLACE_BYTES):
                    return number
        raise AssertionError

    assert reads_until_bought(8) == reads_until_bought(1) > READS_MIN


def test_a_read_that_failed_is_no_read():
    account, rate = Account(150 * MiB), Rate()
    for number in range(100):
        account.begins(number)
        account.ends(0, number, number + 0.9, came=False)
        assert account.choose(0, rate, room=ROOM, there=0, lacking=PLACE_BYTES) is None


def test_what_a_purchase_really_took_is_what_it_has_cost():
    dear, cheap = Reader(1024 * MiB), Reader(1024 * MiB)
    for reader, seconds in ((dear, 0.5), (cheap, 0.03)):
        number = 0
        while not reader.bought:
            number += 1
            reader.read(number * 50 % 1024 * MiB)
        reader.account.ended(reader.bought[0], seconds)
        while len(reader.bought) == 1:
            number += 1
            reader.read(number * 50 % 1024 * MiB)
    assert cheap.paid < dear.paid


def test_while_the_object_is_on_its_way_nothing_is_bought_and_if_it_did_not_come_it_is_bought_again():
    reader = Reader(150 * MiB, rate=500e6)
    number = 0
    while not reader.bought:
        reader.read(number * 37 % 150 * MiB)
        number += 1
    reader.places.clear()
    for again in range(100):
        assert reader.read(again * 37 % 150 * MiB) is None
    reader.account.ended(reader.bought[0], None)
    assert reader.read(0) == Range(0, 150 * MiB)


def test_the_rate_is_that_of_the_last_purchases_and_large_ones_tell_more():
    rate = Rate()
    assert not rate.known
    rate.bought(PLACE_BYTES, WAIT + PLACE_BYTES / 400e6, WAIT)
    assert abs(rate.price(100 * MiB, WAIT) - (WAIT + 100 * MiB / 400e6)) < 1e-6
    rate.bought(200 * MiB, WAIT + 200 * MiB / 800e6, WAIT)
    assert WAIT + 100 * MiB / 800e6 <= rate.price(100 * MiB, WAIT) < WAIT + 100 * MiB / 750e6


@given(
    size=st.integers(MiB + 1, 400 * MiB),
    reads=st.lists(st.tuples(st.integers(0, 400 * MiB), st.floats(0.0001, 1.0)), max_size=80),
    rate=st.one_of(st.none(), st.floats(1e6, 1e10)),
    room=st.integers(0, 512 * MiB),
)
def test_whatever_is_read_no_more_is_bought_than_was_paid_for(size, reads, rate, room):
    reader = Reader(size, rate=rate, room=room)
    for offset, wait in reads:
        reader.wait = wait
        wanted = reader.read(offset % size)
        assert sum(bought.price for bought in reader.bought) <= reader.paid * 1.000001
        if wanted is not None:
            assert wanted.start <= offset % size < wanted.end <= size
            assert wanted.start % PLACE_BYTES == 0
            assert wanted.end - wanted.start <= room
