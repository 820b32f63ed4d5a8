"""With which configuration a supervisor begins when one before it has left a trial."""

import json
from pathlib import Path

import pytest
import trio
import trio.testing

from engine.spec import MountSpec
from mountctl.config.load import Config, SupervisorSpec
from mountctl.errors import ConfigError, Problem
from mountctl.supervisor import beginning, remembered, trial_file
from mountctl.supervisor.remembered import Remembered
from mountctl.supervisor.trial import NothingOnTrial, Trial

FILE = Path("/etc/x.toml")


def config(*names: str) -> Config:
    specs = [MountSpec.model_validate({"name": each, "bucket": "abc", "mountpoint": f"/mnt/{each}"}) for each in names]
    return Config(path=FILE, files=(), supervisor=SupervisorSpec(), mounts={spec.name: spec for spec in specs})


OLD, NEW, OTHER = config("a"), config("a", "b"), config("a", "c")


class Clock:
    now = 1_700_000_000.0

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    it = Clock()
    monkeypatch.setattr(trial_file, "time", it)
    monkeypatch.setattr(beginning, "time", it)
    return it


@pytest.fixture
def left(tmp_path: Path, clock: Clock) -> Remembered:
    """What a supervisor leaves that was killed when NEW had been on trial, for a minute, since just now."""
    it = remembered.of(tmp_path, Path("/run/m"), FILE)
    assert it.last_good is not None
    assert it.trials is not None
    it.last_good.note(OLD)
    it.trials.write(NEW, 60)
    return it


def names(begun: Config) -> list[str]:
    return sorted(begun.mounts)


def test_a_trial_goes_on_for_as_long_as_it_would_have(left: Remembered, clock: Clock) -> None:
    clock.now += 20

    begun, told, trying = beginning.begin(lambda: NEW, left)

    assert (names(begun), told.ok) == (["a", "b"], True)
    assert trying is not None
    assert (names(trying.before), trying.until - clock.now, trying.seconds) == (["a"], 40, 60)
    assert beginning.begin(lambda: NEW, left)[2] == trying  # and is remembered once more


def test_a_clock_that_went_back_makes_no_trial_longer(left: Remembered, clock: Clock) -> None:
    clock.now -= 10**6

    trying = beginning.begin(lambda: NEW, left)[2]

    assert trying is not None
    assert trying.until - clock.now == 60


def test_a_trial_that_was_over_meanwhile_is_lost_at_each_start_until_the_file_is_another(
    left: Remembered, clock: Clock
) -> None:
    clock.now += 60
    for _ in range(2):
        begun, told, trying = beginning.begin(lambda: NEW, left)
        assert (names(begun), told.ok, trying) == (["a"], False, None)
        assert "nobody confirmed the last reload within 60 s" in told.errors[0]

    begun, told, trying = beginning.begin(lambda: OTHER, left)
    assert (names(begun), told.ok, trying) == (["a", "c"], True, None)
    assert names(beginning.begin(lambda: NEW, left)[0]) == ["a", "b"]


def test_a_broken_file_in_a_trial_is_a_broken_file(left: Remembered) -> None:
    def broken() -> Config:
        raise ConfigError([Problem(FILE, 1, 1, "", "not TOML")])

    begun, told, trying = beginning.begin(broken, left)

    assert (names(begun), told.ok, trying) == (["a"], False, None)
    assert "not TOML" in told.errors[0]


@pytest.mark.parametrize("garbage", [b"", b"[]", b"\xff", json.dumps({"until": "soon"}).encode()])
def test_a_note_that_cannot_be_read_is_no_trial(left: Remembered, tmp_path: Path, garbage: bytes) -> None:
    [file] = (tmp_path / "trial").iterdir()
    file.write_bytes(garbage)

    begun, told, trying = beginning.begin(lambda: NEW, left)

    assert (names(begun), told.ok, trying) == (["a", "b"], True, None)


def test_without_what_was_before_there_is_nothing_to_go_back_to(left: Remembered, tmp_path: Path) -> None:
    [file] = (tmp_path / "last-good").iterdir()
    file.unlink()

    assert beginning.begin(lambda: NEW, left)[2] is None
    assert list((tmp_path / "trial").iterdir()) == []


def test_one_that_goes_on_can_be_confirmed_before_it_is_waited_for_and_is_forgotten_then(
    left: Remembered, tmp_path: Path
) -> None:
    gone_back: list[float] = []

    async def go_back(seconds: float) -> None:
        gone_back.append(seconds)

    async def main(*, confirmed: bool) -> None:
        trial = Trial(left.trials, until=0.0)  # it is over
        if confirmed:
            trial.confirm()
            await trial.forget()
        async with trio.open_nursery() as nursery:
            trial.go_on(60, go_back, nursery)
        with pytest.raises(NothingOnTrial):
            trial.confirm()

    async def both() -> None:
        await main(confirmed=False)
        assert gone_back == [60]
        await main(confirmed=True)

    trio.run(both)
    assert gone_back == [60]
    assert list((tmp_path / "trial").iterdir()) == []
