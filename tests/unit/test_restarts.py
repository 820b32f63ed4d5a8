"""What comes after an engine that was lost: another, when, another session, or none. And what its end was."""

import pytest

from mountctl.supervisor import endings
from mountctl.supervisor.endings import Ending, Toll
from mountctl.supervisor.process import Exit
from mountctl.supervisor.restarts import (
    DEATHS_MAX,
    HANGS_MAX,
    LONGEST_PAUSE_SECONDS,
    SERVED_WELL_SECONDS,
    WINDOW_SECONDS,
    Next,
    Restarts,
)


def ends(ending: Ending, count: int, *, served: float = 0.1, every: float = 1.0) -> list[tuple[Next, float]]:
    """What is decided at each of so many ends."""
    restarts = Restarts()
    return [restarts.after(ending, served, number * every) for number in range(count)]


def test_the_first_successor_comes_at_once_and_programs_never_wait_long_for_one() -> None:
    pauses = [pause for _, pause in ends(Ending.CRASHED, DEATHS_MAX - 1)]

    assert pauses[0] == 0
    assert pauses == sorted(pauses)
    assert pauses[-1] <= LONGEST_PAUSE_SECONDS


def test_engines_that_crash_one_after_the_other_are_given_up() -> None:
    decided = [following for following, _ in ends(Ending.CRASHED, DEATHS_MAX)]

    assert decided == [Next.TAKE_OVER] * (DEATHS_MAX - 1) + [Next.GIVE_UP]


def test_crashes_far_apart_are_no_loop() -> None:
    decided = {following for following, _ in ends(Ending.CRASHED, 20, every=WINDOW_SECONDS / (DEATHS_MAX - 1) + 1)}

    assert decided == {Next.TAKE_OVER}


def test_crashes_of_engines_that_served_well_are_no_loop() -> None:
    decided = ends(Ending.CRASHED, 20, served=SERVED_WELL_SECONDS, every=SERVED_WELL_SECONDS)

    assert decided == [(Next.TAKE_OVER, 0.0)] * 20


@pytest.mark.parametrize("ending", [Ending.OUTSIDE, Ending.PLANNED])
def test_engines_that_others_end_are_replaced_at_once_however_many(ending: Ending) -> None:
    assert ends(ending, 50, every=0.05) == [(Next.TAKE_OVER, 0.0)] * 50


@pytest.mark.parametrize("ending", [Ending.OUTSIDE, Ending.PLANNED, Ending.REFUSED])
def test_engines_that_never_serve_are_tried_for_ever_with_pauses(ending: Ending) -> None:
    decided = ends(ending, 50, served=0.0)

    assert {following for following, _ in decided} == {Next.TAKE_OVER}
    assert decided[-1][1] == LONGEST_PAUSE_SECONDS
    assert decided[0][1] > 0


def test_a_successor_that_hangs_as_well_is_the_end_of_the_session_and_more_of_the_mount() -> None:
    decided = [following for following, _ in ends(Ending.HUNG, DEATHS_MAX, every=6)]

    assert decided.index(Next.REPLACE) == HANGS_MAX - 1
    assert decided.count(Next.REPLACE) == 1
    assert decided[-1] is Next.GIVE_UP


@pytest.mark.parametrize(
    ("exit_", "known", "kills", "expected"),
    [
        (Exit(signal=9), None, 0, Ending.OUTSIDE),
        (Exit(signal=9), None, 1, Ending.CRASHED),
        (Exit(signal=11), None, 0, Ending.CRASHED),
        (Exit(code=70), None, 0, Ending.CRASHED),
        (Exit(code=0), Ending.PLANNED, 0, Ending.PLANNED),
        (Exit(signal=9), Ending.HUNG, 1, Ending.HUNG),
        (Exit(code=3), Ending.REFUSED, 0, Ending.REFUSED),
    ],
)
def test_what_an_end_was(exit_: Exit, known: Ending | None, kills: int, expected: Ending) -> None:
    assert endings.of(exit_, known, Toll(kills, full=0)) is expected


def test_a_kill_for_want_of_memory_is_told_as_one() -> None:
    def told(kills: int, full: int) -> str:
        return endings.told(Exit(signal=9), None, Toll(kills + 7, full + 3).since(Toll(7, 3)))

    assert told(0, 0) == "killed by SIGKILL"
    assert told(0, 5) == "killed by SIGKILL"  # by somebody, while the mount's memory was full
    assert "the kernel was killing processes for want of memory" in told(1, 0)
    assert "the mount needed more memory than its slice may have (memory-max)" in told(1, 5)
    adopted = endings.told(Exit(), None, Toll(1, 1))
    assert adopted == "ended, as the mount needed more memory than its slice may have (memory-max)"
    assert endings.oom_kills() >= 0
