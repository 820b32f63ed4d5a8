"""engine/flood.py: warnings by the thousand."""

import logging
from collections.abc import Iterator

import pytest

from engine import log
from engine.facts import Facts, about, facts_of
from engine.flood import LINES_MAX, WHILE_SECONDS, FloodGate
from engine.message_ids import REQUEST_FAILED


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

    def say(
        self, text: str, *, line: int = 1, level: int = logging.WARNING, facts: dict[str, Facts] | None = None
    ) -> list[str]:
        record = logging.LogRecord("engine", level, "engine/x.py", line, text, (), None)
        vars(record).update(facts or {})
        return [each.getMessage() for each in self.gate.passing(record)]


def test_the_first_hundred_are_told_and_then_how_many_more_there_were() -> None:
    """S47: of many alike."""
    place = Place()
    said = [place.say(f"no {number}") for number in range(LINES_MAX + 7)]

    assert said[:LINES_MAX] == [[f"no {number}"] for number in range(LINES_MAX)]
    assert said[LINES_MAX:] == [[]] * 7
    place.now += WHILE_SECONDS
    assert place.say("again") == ["7 more of these in the last 10 s: no 0", "again"]
    place.now += WHILE_SECONDS
    assert place.say("and again") == ["and again"]


def test_other_places_and_what_is_no_warning_are_not_held_back() -> None:
    place = Place()
    for number in range(LINES_MAX * 2):
        place.say(f"flood {number}")

    assert place.say("something else", line=2) == ["something else"]
    assert place.say("for information", level=logging.INFO) == ["for information"]
    place.now += WHILE_SECONDS
    assert place.say("for information", level=logging.INFO) == [
        "100 more of these in the last 10 s: flood 0",
        "for information",
    ]


def test_at_debug_level_nothing_is_left_out() -> None:
    logging.getLogger().setLevel(logging.DEBUG)
    place = Place()

    assert [place.say("all") for _ in range(LINES_MAX * 2)] == [["all"]] * (LINES_MAX * 2)


def test_what_is_said_again_is_told_once_and_then_how_often() -> None:
    place = Place()

    def denied(key: str, errno: str = "EACCES") -> list[str]:
        facts = about(REQUEST_FAILED, verb="read", key=key, errno=errno)
        return place.say(f"read of {key}, and another request id", facts=facts)

    assert denied("a") == ["read of a, and another request id"]
    assert denied("a") == denied("a") == []
    assert denied("b") == ["read of b, and another request id"]
    assert denied("a", "EIO") == ["read of a, and another request id"]
    place.now += WHILE_SECONDS
    [count] = place.gate.over()
    assert count.getMessage() == "2 more of these in the last 10 s: read of a, and another request id"
    assert (facts_of(count).key, facts_of(count).kind, facts_of(count).repeats) == ("a", REQUEST_FAILED, 2)
    assert denied("a") == ["read of a, and another request id"]


def test_mounts_are_told_of_each_for_itself() -> None:
    gate = FloodGate(mount=lambda record: str(record.args[0]))  # type: ignore[index]
    for name in ("a", "b"):
        record = logging.LogRecord("x", logging.WARNING, "x.py", 1, "%s: S3 is away", (name,), None)
        assert list(gate.passing(record)) == [record]
        assert list(gate.passing(record)) == []


def test_at_the_end_what_was_left_out_is_told_at_once() -> None:
    place = Place()
    place.say("x")
    place.say("x")
    place.now += 3
    assert list(place.gate.over()) == []
    assert [each.getMessage() for each in place.gate.over(end=True)] == ["1 more of these in the last 3 s: x"]
    assert list(place.gate.over(end=True)) == []


def test_an_engines_log_tells_the_count_when_it_ends(capsys: pytest.CaptureFixture[str]) -> None:
    log.set_up("data")
    for _ in range(3):
        logging.warning("the same")
    log.tell_repeats(end=True)

    first, count = capsys.readouterr().err.splitlines()
    assert first.endswith("WARNING data: the same")
    assert count.endswith("WARNING data: 2 more of these in the last 1 s: the same")


def test_an_engines_log_is_behind_the_gate(capsys: pytest.CaptureFixture[str]) -> None:
    log.set_up("data")
    for number in range(LINES_MAX * 3):
        logging.warning("key %d", number)

    assert len(capsys.readouterr().err.splitlines()) == LINES_MAX
