"""engine/flood.py: warnings by the thousand."""

import logging
from collections.abc import Iterator

import pytest

from engine import log
from engine.flood import LINES_MAX, WHILE_SECONDS, FloodGate


@pytest.fixture(autouse=True)
def root_logger() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.setLevel(logging.INFO)
    yield
    root.handlers[:], root.level = handlers, level


class Place:
    """A line of code that logs, and a gate on a clock of the test's."""

    def __init__(self) -> None:
        self.now = 100.0
        self.gate = FloodGate(lambda: self.now)

    def say(self, text: str, *, line: int = 1, level: int = logging.WARNING) -> list[str]:
        record = logging.LogRecord("engine", level, "engine/x.py", line, text, (), None)
        return [each.getMessage() for each in self.gate.passing(record)]


def test_the_first_hundred_are_told_and_then_how_many_more_there_were() -> None:
    """S47: of many alike."""
    place = Place()
    said = [place.say(f"no {number}") for number in range(LINES_MAX + 7)]

    assert said[:LINES_MAX] == [[f"no {number}"] for number in range(LINES_MAX)]
    assert said[LINES_MAX:] == [[]] * 7
    place.now += WHILE_SECONDS
    assert place.say("again") == ["and 7 more like the 100 above within 10 s, left out", "again"]
    place.now += WHILE_SECONDS
    assert place.say("and again") == ["and again"]


def test_other_places_and_what_is_no_warning_are_not_held_back() -> None:
    place = Place()
    for _ in range(LINES_MAX * 2):
        place.say("flood")

    assert place.say("something else", line=2) == ["something else"]
    assert place.say("for information", level=logging.INFO) == ["for information"]
    place.now += WHILE_SECONDS
    assert place.say("for information", level=logging.INFO) == [
        "and 100 more like the 100 above within 10 s, left out",
        "for information",
    ]


def test_at_debug_level_nothing_is_left_out() -> None:
    logging.getLogger().setLevel(logging.DEBUG)
    place = Place()

    assert [place.say("all") for _ in range(LINES_MAX * 2)] == [["all"]] * (LINES_MAX * 2)


def test_an_engines_log_is_behind_the_gate(capsys: pytest.CaptureFixture[str]) -> None:
    log.set_up("data")
    for number in range(LINES_MAX * 3):
        logging.warning("key %d", number)

    assert len(capsys.readouterr().err.splitlines()) == LINES_MAX
