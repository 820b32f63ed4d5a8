"""The rings of the supervisor: events and the last lines of logs."""

import json
import logging
from pathlib import Path

import pytest

from mountctl.supervisor import event_ids
from mountctl.supervisor.events import EVENTS_MAX, TEXT_CHARACTERS_MAX, Events, Kind, by_clock
from mountctl.supervisor.log_lines import BYTES_MAX, LINES_MAX, Listener, LogLines, Logs
from mountctl.supervisor.results import ended, refused
from mountctl.supervisor.state import MountEvent, MountState
from mountctl.supervisor.telling import state

AT = 1_700_000_000.123


def texts(events: Events, seen: int = 0) -> list[str]:
    return [each.text for each in events.after(seen)]


def test_an_event_is_told_with_its_time_and_what_it_is_about() -> None:
    events = Events(lambda: AT)
    events.note(Kind.STATE, "ready -> held", mount="a", state="held")

    assert json.loads(events.after(0)[0].json()) == {
        "id": 1_700_000_000_123,
        "at": "2023-11-14T22:13:20.123Z",
        "kind": "state",
        "mount": "a",
        "state": "held",
        "text": "ready -> held",
    }


def test_the_ring_forgets_the_oldest_and_says_how_many_a_slow_reader_has_missed() -> None:
    events = Events(lambda: AT)
    events.note(Kind.RELOAD, "first")
    seen = events.after(0)[0].id
    for number in range(EVENTS_MAX + 5):
        events.note(Kind.RELOAD, str(number))

    assert events.missed(seen) == 5
    assert texts(events, seen)[:2] == ["5", "6"]
    assert len(texts(events)) == EVENTS_MAX
    assert events.missed(events.after(seen)[-1].id) == 0


def test_a_number_of_another_supervisor_gives_all() -> None:
    events = Events(lambda: AT)
    events.note(Kind.RELOAD, "x")

    for seen in (0, 17, events.after(0)[0].id + 1, 10**15):
        assert texts(events, seen) == ["x"]
        assert events.missed(seen) == 0


def test_numbers_go_on_rising_with_the_next_supervisor() -> None:
    first, second = Events(lambda: AT), Events(lambda: AT + 1)
    first.note(Kind.RELOAD, "x")
    second.note(Kind.RELOAD, "y")

    assert texts(second, first.after(0)[0].id) == ["y"]


def next_events(state_dir: Path, now: float) -> Events:
    """Those of the next supervisor on the same runtime directory."""
    return Events(lambda: now, event_ids.reserve(state_dir, Path("/run/m"), by_clock(now)))


def test_no_number_is_given_twice_when_the_clock_goes_back_between_two_supervisors(tmp_path: Path) -> None:
    seen = 0
    told = []
    for now in (AT, AT + 0.01, AT - 3600, AT + 10**6):
        events = next_events(tmp_path, now)
        for number in range(100):
            events.note(Kind.RELOAD, f"{now} {number}")
        assert events.missed(seen) == 0
        assert len(events.after(seen)) == 100
        told += events.after(seen)
        seen = told[-1].id

    ids = [each.id for each in told]
    assert ids == sorted(set(ids))
    assert ids[-100] == by_clock(AT + 10**6)  # a clock that is ahead counts


@pytest.mark.parametrize("what", ["garbage", "unreadable"])
def test_where_no_number_can_be_remembered_the_clock_counts(
    tmp_path: Path, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    next_events(tmp_path, AT)
    [file] = (tmp_path / "event-ids").iterdir()
    file.unlink()
    if what == "garbage":
        file.write_bytes(b"\xff 17")
    else:
        file.mkdir()

    assert event_ids.reserve(tmp_path, Path("/run/m"), 17) == 17
    assert f"cannot read {file}" in caplog.text


def test_a_name_that_is_no_text_does_no_harm() -> None:
    events = Events()
    events.note(Kind.ENGINE, "it served 'a\udcff'")

    assert json.loads(events.after(0)[0].json().encode("ascii"))["text"] == "it served 'a\udcff'"


def test_a_long_sentence_is_cut() -> None:
    events = Events()
    events.note(Kind.S3, "x" * 10_000)

    assert texts(events) == ["x" * (TEXT_CHARACTERS_MAX - 3) + "..."]


def test_a_retry_that_fails_as_before_is_no_event() -> None:
    events = Events()
    for said in (None, "no bucket", "no bucket", "no keys"):
        states = (MountState.STARTING, MountState.BACKOFF)
        state(events, "a", MountEvent.FAILED, states, "no bucket", said=said)

    assert texts(events) == ["starting -> backoff: no bucket"] * 2


def test_trouble_of_s3_is_told_from_other_changes_of_a_state() -> None:
    events = Events()
    state(events, "a", MountEvent.BACKEND_LOST, (MountState.READY, MountState.DEGRADED), "refused", said=None)
    state(events, "a", MountEvent.BACKEND_BACK, (MountState.DEGRADED, MountState.READY), None, said="refused")
    state(events, "a", MountEvent.ENGINE_LOST, (MountState.READY, MountState.RECOVERING), "gone", said=None)

    assert [(each.kind, each.state) for each in events.after(0)] == [
        ("s3", "degraded"),
        ("s3", "ready"),
        ("state", "recovering"),
    ]


def test_a_reload_is_told_for_each_mount_that_it_changed_and_as_a_whole() -> None:
    events = Events()
    ended(events, "reloaded", {"a": "unchanged", "b": "added", "c": "added, backoff: no bucket"})

    assert [(each.mount, each.text) for each in events.after(0)] == [
        ("b", "added"),
        ("c", "added, backoff: no bucket"),
        (None, "reloaded: 2 of 3 mounts changed, 1 of them not as they should be"),
    ]


def test_a_refused_configuration_is_one_event_however_many_errors_it_has() -> None:
    events = Events()
    refused(events, ["m.toml:3: no", *["more"] * 99])

    assert texts(events) == ["reload refused, nothing changed: m.toml:3: no; and 99 more"]


def test_lines_of_a_log_are_bounded_in_number_and_size() -> None:
    lines = LogLines()
    for number in range(LINES_MAX + 10):
        lines.add(str(number))
    told, count = lines.last(2)
    assert (told, count) == ([str(LINES_MAX + 8), str(LINES_MAX + 9)], LINES_MAX + 10)
    assert lines.after(0)[0][0] == "10"
    lines.add("x" * BYTES_MAX)

    assert lines.last(LINES_MAX)[0] == ["x" * BYTES_MAX]
    assert lines.after(count) == (["x" * BYTES_MAX], count + 1)
    assert lines.after(count + 1)[0] == []


def test_what_the_supervisor_logs_of_a_mount_is_among_its_lines_and_no_other() -> None:
    logs, logger = Logs(), logging.Logger("test")
    logger.addHandler(Listener(logs))
    lines = logs.of("a")
    logger.info("%s: is mounted", "a")
    logger.info("b: is not")
    logger.info("a")

    assert [line.partition(" INFO ")[2] for line in lines.last(9)[0]] == ["a: is mounted"]


def test_the_lines_of_mounts_that_are_gone_are_forgotten() -> None:
    logs = Logs()
    for name in ("a", "b"):
        logs.of(name).add("x")
    logs.keep({"a", "b"})
    assert logs.of("a").last(1)[0] == ["x"]
    logs.keep({"b"})

    assert (logs.of("a").last(1)[0], logs.of("b").last(1)[0]) == ([], ["x"])


@pytest.mark.parametrize("kind", list(Kind))
def test_each_kind_is_a_word(kind: Kind) -> None:
    assert kind.value.isalnum()
