"""What S3 restores, over engines and supervisors: no object counted twice, looked at seldom, never forgotten."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from engine.restores import AskRestore, PathTold, RestoreTold
from engine.spec import MountSpec
from mountctl.supervisor import under_way
from mountctl.supervisor.restores import CannotRestore
from mountctl.supervisor.restoring import Restoring
from mountctl.supervisor.state import MountState
from mountctl.supervisor.under_way import Entry, disjoint

HOUR = 3600.0
SPEC = MountSpec(name="m", bucket="bucket", prefix="p/", mountpoint="/mnt/m")


def after(entries: Sequence[Entry], *paths: str, recursive: bool = False, at: float = 0.0, **found: Any) -> list[Entry]:
    asked = AskRestore(paths=paths, recursive=recursive, tier="Bulk")
    told = PathTold(**{"sample": "s"} | found)
    return under_way.told(entries, asked, RestoreTold(paths=(told,) * len(paths)), at)


def counted(entries: Sequence[Entry]) -> dict[str, int]:
    return {entry.path: entry.objects for entry in entries}


def test_a_directory_takes_the_place_of_the_paths_in_it() -> None:
    entries = after([], "d/a", "d/e/b", "x", under_way=1, asked=1, seconds=HOUR)
    entries = after(entries, "d", recursive=True, under_way=5, asked=3, seconds=HOUR)

    assert counted(entries) == {"x": 1, "d": 5}


def test_a_path_in_a_directory_that_was_asked_for_is_part_of_it() -> None:
    entries = after([], "", recursive=True, under_way=5, asked=5, seconds=HOUR)

    again = after(entries, "d/a", under_way=1)
    more = after(again, "new", under_way=1, asked=1, seconds=2 * HOUR, at=10.0)

    assert counted(again) == {"": 5}
    assert counted(more) == {"": 6}
    assert more[0].expected == 2 * HOUR + 10.0


def test_asked_again_it_is_still_expected_when_it_was() -> None:
    entries = after([], "d", recursive=True, under_way=2, asked=2, seconds=HOUR)

    again = after(entries, "d", recursive=True, under_way=2, at=100.0)

    assert [(e.objects, e.asked, e.expected, e.tier) for e in again] == [(2, 0.0, HOUR, "Bulk")]


def test_what_somebody_else_has_asked_for_is_expected_nobody_knows_when() -> None:
    [entry] = after([], "d", recursive=True, under_way=2)

    assert (entry.objects, entry.expected, entry.tier) == (2, None, None)


def test_what_is_asked_for_stands_there_before_and_goes_if_nothing_came_of_it() -> None:
    asked = AskRestore(paths=("a", "d/b"))
    entries = after([], "d", recursive=True, under_way=2, asked=2, seconds=HOUR)

    during = under_way.asking(entries, asked, 5.0)

    assert [(entry.path, entry.objects, entry.unsure) for entry in during] == [("d", 2, True), ("a", 0, True)]
    assert under_way.not_asked(during, asked) == entries
    [found] = after(under_way.asking([], DIRECTORY, 5.0), "d", recursive=True, under_way=2, at=60.0)
    assert (found.tier, found.asked, found.unsure) == ("Standard", 5.0, False)  # it is ours, and not known for sure
    assert [e.unsure for e in after(during, "a", "d/b", under_way=1, asked=1, seconds=HOUR)] == [False, False]


@pytest.mark.parametrize(
    ("paths", "recursive", "left"),
    [
        (["d", "d/e", "dx", "d"], True, ["d", "dx"]),
        (["d", "d/e", "d"], False, ["d", "d/e"]),
        (["d", "", "e"], True, [""]),
        ([""], True, [""]),
    ],
)
def test_of_paths_within_each_other_the_outer_one_is_asked_about(
    paths: list[str], recursive: bool, left: list[str]
) -> None:
    assert disjoint(paths, recursive=recursive) == left


class Engine:
    """Restores at the third look at the sample; `dies` instead of answering."""

    def __init__(self) -> None:
        self.restores = self
        self.asked: list[AskRestore] = []
        self.under_way = 0
        self.dies = False

    def post(self, message: AskRestore) -> bool:
        raise AssertionError(message)

    async def ask(self, _post: Callable[[AskRestore], bool], asked: AskRestore) -> RestoreTold:
        await trio.lowlevel.checkpoint()
        self.asked.append(asked)
        if self.dies:
            raise CannotRestore("its engine ended", begun=asked.begin)
        if asked.begin:
            self.under_way = 2
        found = PathTold(
            under_way=self.under_way,
            sample="s" if self.under_way else "",
            asked=self.under_way * asked.begin,
            seconds=5 * HOUR if asked.begin else None,
        )
        return RestoreTold(paths=(found,) * len(asked.paths), under_way=self.under_way)


class Mount:
    """A mount that is served."""

    def __init__(self, spec: MountSpec = SPEC) -> None:
        self.spec = spec
        self.state = MountState.READY
        self.engine: Engine | None = Engine()


class OnDisk(Restoring):
    """Writes without a thread, beside which a clock that jumps would run on."""

    async def _save(self, text: str) -> None:
        self._write(text)


def run(tmp_path: Path, steps: Callable[[Restoring, Any], Any], mount: Mount) -> None:
    """One supervisor's time; its clock is trio's."""

    async def main() -> None:
        restoring = OnDisk(tmp_path, Path("/run/x"), clock=trio.current_time)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(restoring.run, lambda: {"m": mount})
            await steps(restoring, mount)
            nursery.cancel_scope.cancel()

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


DIRECTORY = AskRestore(paths=("d",), recursive=True)


def test_a_sample_is_looked_at_now_and_then_and_all_of_it_when_that_is_there(tmp_path: Path) -> None:
    async def steps(restoring: Restoring, mount: Mount) -> None:
        engine = mount.engine
        assert engine is not None
        await restoring.ask(mount, DIRECTORY)  # type: ignore[arg-type]
        await trio.sleep(HOUR - 1)
        # Every quarter of an hour: a twentieth of the five hours that it may take.
        assert [each.paths for each in engine.asked[1:]] == [("s",)] * 3
        assert restoring.told(SPEC).under_way == 2
        engine.under_way = 0
        await trio.sleep(HOUR)
        assert [(each.paths, each.begin, each.limited) for each in engine.asked[-2:]] == [
            (("s",), False, False),
            (("d",), False, False),
        ]
        assert restoring.told(SPEC).under_way == 0
        looks = len(engine.asked)
        await trio.sleep(HOUR)
        assert len(engine.asked) == looks

    run(tmp_path, steps, Mount())


def test_another_engine_and_another_supervisor_go_on_with_it(tmp_path: Path) -> None:
    async def first(restoring: Restoring, mount: Mount) -> None:
        await restoring.ask(mount, DIRECTORY)  # type: ignore[arg-type]
        mount.engine = None
        told = restoring.told(SPEC)
        assert (told.under_way, [each.path for each in told.requests]) == (2, ["/mnt/m/d"])

    async def second(restoring: Restoring, mount: Mount) -> None:
        assert restoring.told(SPEC).under_way == 2
        await trio.sleep(60)
        assert restoring.told(SPEC).under_way == 0  # it looked at once

    run(tmp_path, first, Mount())
    run(tmp_path, second, Mount())


def test_a_request_that_was_lost_is_looked_at_by_the_next_engine(tmp_path: Path) -> None:
    async def steps(restoring: Restoring, mount: Mount) -> None:
        assert mount.engine is not None
        mount.engine.dies = True
        with pytest.raises(CannotRestore):
            await restoring.ask(mount, DIRECTORY)  # type: ignore[arg-type]
        mount.engine = Engine()
        mount.engine.under_way = 3
        await trio.sleep(60)
        assert restoring.told(SPEC).under_way == 3
        assert mount.engine.asked[0].begin is False

    run(tmp_path, steps, Mount())


def test_a_mount_of_another_bucket_by_the_same_name_restores_nothing(tmp_path: Path) -> None:
    async def steps(restoring: Restoring, mount: Mount) -> None:
        await restoring.ask(mount, DIRECTORY)  # type: ignore[arg-type]
        assert restoring.told(SPEC.model_copy(update={"bucket": "other"})).under_way == 0

    run(tmp_path, steps, Mount())
