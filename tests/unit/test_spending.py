"""mountctl/supervisor/spending.py and mountctl/cost.py: requests by day, over takeovers, midnights and supervisors."""

import logging
from pathlib import Path

import pytest

from mountctl.cost import Prices, Requests, class_of, counted
from mountctl.supervisor.spending import DAYS_KEPT, Counting, Spending

DAY = 86400
NOON = 20_000 * DAY + DAY / 2


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> float:
        return self.now


def gets(count: int, engine: int | None = 1, by_engine: int | None = None) -> dict[str, Counting]:
    own = count if by_engine is None else by_engine
    return {"m": Counting({"GetObject": count}, engine, {"GetObject": own})}


def got(spending: Spending) -> list[int]:
    """Requests by day, the newest first."""
    return [day.get for day in spending.cost("m", Prices()).days]


def save(spending: Spending) -> None:
    spending._save(spending._text())


def test_prices_are_those_of_the_operations() -> None:
    requests = counted({"PutObject": 1, "ListObjectsV2": 2, "GetObject": 4, "HeadObject": 8, "DeleteObject": 16})

    assert requests == Requests(put=3, get=12, free=16)
    assert requests.cost(Prices()) == pytest.approx(3 * 0.005 / 1000 + 12 * 0.0004 / 1000)
    assert class_of("AnythingNew") == "get"


def test_what_is_new_belongs_to_the_day(tmp_path: Path) -> None:
    clock = Clock()
    spending = Spending(tmp_path, Path("/run/x"), clock)

    spending.look(gets(10))
    spending.look(gets(15))
    clock.now += DAY
    spending.look(gets(17))

    assert got(spending) == [2, 15]
    assert spending.cost("m", Prices(get=1000)).total == 17


def test_what_was_told_is_told_anew_with_each_request_price_and_day(tmp_path: Path) -> None:
    clock = Clock()
    spending = Spending(tmp_path, Path("/run/x"), clock)
    spending.look(gets(10))
    assert spending.cost("m", Prices(get=1000)).today == 10
    assert spending.cost("m", Prices(get=1000)).today == 10

    spending.look(gets(11))
    assert spending.cost("m", Prices(get=1000)).today == 11
    assert spending.cost("m", Prices(get=2000)).today == 22
    clock.now += DAY
    assert spending.cost("m", Prices(get=2000)).today == 0


def test_a_takeover_counts_nothing_twice_and_loses_nothing(tmp_path: Path) -> None:
    spending = Spending(tmp_path, Path("/run/x"), Clock())

    spending.look(gets(10, engine=1))
    spending.look(gets(14, engine=2, by_engine=3))

    assert got(spending) == [14]


def test_the_next_supervisor_goes_on_with_an_engine_that_lives(tmp_path: Path) -> None:
    first = Spending(tmp_path, Path("/run/x"), Clock())
    first.look(gets(10, engine=1))
    first.look(gets(14, engine=2, by_engine=3))
    save(first)

    same = Spending(tmp_path, Path("/run/x"), Clock())
    same.look(gets(5, engine=2))
    other = Spending(tmp_path, Path("/run/x"), Clock())
    other.look(gets(5, engine=3))

    assert got(same) == [14 + 2]
    assert got(other) == [14 + 5]


def test_the_next_supervisor_has_not_heard_of_the_engine_yet(tmp_path: Path) -> None:
    first = Spending(tmp_path, Path("/run/x"), Clock())
    first.look(gets(10))
    save(first)

    second = Spending(tmp_path, Path("/run/x"), Clock())
    second.look({"m": Counting({}, 1, {})})
    second.look(gets(12))

    assert got(second) == [12]


def test_a_mount_that_was_away_begins_at_zero(tmp_path: Path) -> None:
    spending = Spending(tmp_path, Path("/run/x"), Clock())

    spending.look(gets(10))
    spending.look({})
    spending.look(gets(3, engine=2))

    assert got(spending) == [13]


def test_old_days_go_and_with_the_last_the_mount_that_is_gone(tmp_path: Path) -> None:
    clock = Clock()
    spending = Spending(tmp_path, Path("/run/x"), clock)
    for count in range(1, DAYS_KEPT + 4):
        spending.look(gets(count))
        clock.now += DAY

    assert len(got(spending)) == DAYS_KEPT
    clock.now += DAYS_KEPT * DAY
    spending.look({})
    save(spending)
    assert "GetObject" not in next((tmp_path / "requests").iterdir()).read_text()


def test_days_of_a_clock_that_was_ahead_are_not_told_when_it_is_set(tmp_path: Path) -> None:
    clock = Clock()
    spending = Spending(tmp_path, Path("/run/x"), clock)
    clock.now += 400 * DAY
    spending.look(gets(10))
    assert got(spending) == [10]

    clock.now -= 400 * DAY
    spending.look(gets(15))

    assert got(spending) == [5]
    assert spending.cost("m", Prices(get=1000)).total == 15
    clock.now += 400 * DAY
    assert got(spending) == [10, 5]


def test_a_file_that_is_no_such_file_is_told_and_left_behind(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save(Spending(tmp_path, Path("/run/x"), Clock()))
    [file] = (tmp_path / "requests").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    file.write_text("{")

    with caplog.at_level(logging.WARNING):
        spending = Spending(tmp_path, Path("/run/x"), Clock())

    assert "costs begin anew" in caplog.text
    spending.look(gets(1))
    assert got(spending) == [1]
