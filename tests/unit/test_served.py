"""The notes of what an engine is answering: what is left of them when it dies."""

import time

from hypothesis import given
from hypothesis import strategies as st

from engine.fuse.served import Served, left
from engine.journal import NOTES_BYTES

SLOT_BYTES = 64


def test_what_was_begun_and_not_ended_is_left_the_youngest_first() -> None:
    area = bytearray(NOTES_BYTES)
    served = Served(area)
    ended = served.begin("getattr", 1, b"")
    served.begin("read", 2**62 + 3, b"")
    served.end(ended)
    time.sleep(0.001)
    served.begin("lookup", 5, b"n" * 50)

    found = left(area)

    assert [(each.verb, each.number, each.name) for each in found] == [
        ("lookup", 5, b"n" * 40),
        ("read", 2**62 + 3, b""),
    ]
    assert 0 <= found[0].seconds < found[1].seconds


def test_a_new_engine_begins_with_clean_notes() -> None:
    area = bytearray(NOTES_BYTES)
    Served(area).begin("read", 2, b"")
    Served(area)

    assert not left(area)


def test_more_requests_than_there_is_room_for_are_served_all_the_same() -> None:
    area = bytearray(2 * SLOT_BYTES)
    served = Served(area)
    slots = [served.begin("read", number, b"") for number in range(5)]
    assert len(left(area)) == 2
    for slot in slots:
        served.end(slot)
    assert not left(area)
    assert len({served.begin("read", number, b"") for number in range(2)}) == 2


@given(st.binary(max_size=5 * SLOT_BYTES))
def test_garbage_is_no_error(data: bytes) -> None:
    for each in left(bytearray(data)):
        assert each.seconds >= 0
