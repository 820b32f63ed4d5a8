"""When an engine is hung, by what is seen of it: the rule alone."""

from dataclasses import dataclass, field

from mountctl.supervisor.hangs import (
    LATE_SECONDS,
    LOOK_SECONDS,
    LOST_SECONDS,
    SILENT_SECONDS,
    STARVED_SECONDS,
    UNREAD_SECONDS,
    Sight,
    Vigil,
)


@dataclass
class Watched:
    """An engine and its watch, second after second."""

    now: float = 100.0
    slept: float = 50.0  # before
    cpu: float = 3.0
    taken: int = 7
    vigil: Vigil = field(init=False)

    def __post_init__(self) -> None:
        self.vigil = Vigil(self.now, self.now + self.slept)
        self.vigil.serves(yes=True)

    def looks(
        self,
        seconds: float,
        *,
        beats: bool = True,
        state: str = "S",
        cpu: float = 0.0,
        unread: bool = False,
        waiting: int = 0,
        answering: int = 0,
        takes: int = 0,
        every: float = LOOK_SECONDS,
    ) -> str | None:
        """Looks for so many seconds; what was found first. `cpu` and `takes` are what passes between two looks."""
        end = self.now + seconds
        while self.now < end:
            self.now += every
            self.cpu += cpu
            self.taken += takes
            if beats:
                self.vigil.heard(answering=answering, taken=self.taken)
            boot = self.now + self.slept
            found = self.vigil.look(Sight(self.now, boot, state, self.cpu, unread=unread, waiting=waiting))
            if found is not None:
                return found
        return None


def test_an_engine_whose_heart_beats_is_well_whatever_it_does() -> None:
    engine = Watched()

    assert engine.looks(60) is None
    assert engine.looks(60, state="R", cpu=LOOK_SECONDS) is None
    assert engine.looks(60, state="D") is None


def test_a_stopped_engine_is_found_within_seconds() -> None:
    engine = Watched()
    assert engine.looks(10) is None

    assert engine.looks(SILENT_SECONDS - LOOK_SECONDS, beats=False, state="T") is None
    assert engine.looks(2 * LOOK_SECONDS, beats=False, state="T") == "no heartbeat for 5 s: it is stopped"


def test_an_engine_in_an_endless_loop_is_found_within_seconds() -> None:
    found = Watched().looks(SILENT_SECONDS + LOOK_SECONDS, beats=False, state="R", cpu=LOOK_SECONDS / 2)

    assert found is not None
    assert "busy with something that has no end" in found


def test_an_engine_that_sleeps_where_it_should_not_is_found() -> None:
    assert Watched().looks(SILENT_SECONDS + LOOK_SECONDS, beats=False) == "no heartbeat for 5 s"


def test_an_engine_that_gets_no_cpu_or_waits_for_a_disk_has_more_time_but_not_for_ever() -> None:
    for state in "RD":
        engine = Watched()
        assert engine.looks(SILENT_SECONDS * 2, beats=False, state=state, cpu=0.01) is None
        assert engine.looks(STARVED_SECONDS, beats=False, state=state, cpu=0.01) is not None


def test_a_supervisor_that_was_held_up_itself_kills_nobody() -> None:
    engine = Watched()

    assert engine.looks(SILENT_SECONDS - LOOK_SECONDS, beats=False) is None
    assert engine.looks(1, beats=False, every=60) is None  # it was stopped for a minute
    assert engine.looks(SILENT_SECONDS - LOOK_SECONDS, beats=False) is None
    assert engine.looks(600, beats=False, every=LATE_SECONDS) is None  # it hardly ever runs


def test_a_machine_that_slept_is_no_reason_to_kill_anybody() -> None:
    engine = Watched()

    assert engine.looks(SILENT_SECONDS - LOOK_SECONDS, beats=False) is None
    engine.slept += 8 * 3600
    assert engine.looks(SILENT_SECONDS - LOOK_SECONDS, beats=False) is None


def test_an_engine_that_reads_no_requests_and_answers_none_is_found() -> None:
    found = Watched().looks(UNREAD_SECONDS + 2 * LOOK_SECONDS, unread=True)

    assert found is not None
    assert "has read no request" in found


def test_an_engine_that_answers_all_it_can_at_once_and_reads_no_more_is_well() -> None:
    """S3 is slow or dead: so it is with requests in hand for as long as S3 wants."""
    assert Watched().looks(300, unread=True, waiting=64, answering=16) is None


def test_an_engine_that_takes_requests_is_well_though_there_are_always_more() -> None:
    assert Watched().looks(300, unread=True, waiting=3, takes=1) is None


def test_requests_that_the_engine_does_not_know_of_are_found() -> None:
    engine = Watched()

    assert engine.looks(LOST_SECONDS - LOOK_SECONDS, waiting=2) is None
    assert engine.looks(3 * LOOK_SECONDS, waiting=2) == "2 requests have waited for 10 s that it does not know of"


def test_an_engine_that_is_not_to_read_is_not_blamed_for_it() -> None:
    engine = Watched()
    engine.vigil.serves(yes=False)  # it waits for credentials, or was told to stop

    assert engine.looks(300, unread=True, waiting=5) is None
