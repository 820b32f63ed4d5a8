"""What mountctl is to reach beside its peers, as ratios within one run. Shown beside the results, met or not."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from bench.peers import OURS
from bench.results import Measure, Results, Spread, cpu_each, memory, ratios, value

# Stands for whichever peer is the best in a row.
BEST: Final = "best peer"

_WHAT: Final[dict[str, Callable[[Measure], float]]] = {"speed": value, "CPU": cpu_each, "memory": memory}


@dataclass(frozen=True)
class Goal:
    """`what` of ours, divided by the peer's, is at least (speed) or at most (CPU a unit, memory) `ratio`."""

    scene: str
    row: str
    peer: str
    ratio: float
    what: str = "speed"

    def met(self, ratio: float) -> bool:
        """Whether a ratio is good enough."""
        return ratio >= self.ratio if self.what == "speed" else ratio <= self.ratio

    def __str__(self) -> str:
        return f"{self.what} {'≥' if self.what == 'speed' else '≤'} {self.ratio:g} x {self.peer}"


GOALS: Final = (
    Goal("plain", "sequential-1", "mount-s3", 2),
    Goal("plain", "sequential-1", "rclone", 3.5),
    Goal("plain", "sequential-1", "s3fs", 2),
    Goal("plain", "sequential-1", "mount-s3", 0.5, "CPU"),
    Goal("plain", "sequential-1", "mount-s3", 0.5, "memory"),
    Goal("plain", "sequential-4", "mount-s3", 2),
    Goal("plain", "sequential-16", "mount-s3", 2),
    Goal("tls", "sequential-1", "mount-s3", 1.5),
    Goal("tls", "sequential-4", "mount-s3", 1.5),
    Goal("manners", "sequential-1", "mount-s3", 2),
    Goal("manners", "sequential-1", "s3fs", 2),
    Goal("manners", "sequential-1", "rclone", 8),
    Goal("manners", "random-16k", "mount-s3", 4),
    Goal("manners", "small-1", "mount-s3", 2.5),
    Goal("manners-ttl", "small-1", "mount-s3", 20),
    Goal("plain", "list-1500", "mount-s3", 1),
    Goal("plain", "list-1500", "rclone", 5),
    Goal("plain", "list-100000", "mount-s3", 1),
    Goal("plain", "list-100000", "rclone", 5),
    Goal("manners", "find", BEST, 3),
    Goal("plain", "write-1", "mount-s3", 1.5),
    Goal("manners", "create", "mount-s3", 2.5),
    Goal("manners-ttl", "create", "mount-s3", 3),
)


@dataclass(frozen=True)
class Judged:
    """A goal and what was measured, None: nothing that it could be judged by."""

    goal: Goal
    ratio: Spread | None

    @property
    def verdict(self) -> str:
        """In words."""
        if self.ratio is None:
            return "not measured"
        return "met" if self.goal.met(self.ratio.median) else "NOT MET"


def judged(results: Results) -> Iterator[Judged]:
    """The goals of rows that were run, in order."""
    run = {(line.scene, line.row) for line in results.shown}
    for goal in GOALS:
        if (goal.scene, goal.row) in run:
            yield Judged(goal, _ratio(results, goal))


def _ratio(results: Results, goal: Goal) -> Spread | None:
    ours = results.of(goal.scene, goal.row, OURS.name)
    peers = [name for name in results.peers if name != OURS.name] if goal.peer == BEST else [goal.peer]
    what = _WHAT[goal.what]
    found = [ratios(ours, results.of(goal.scene, goal.row, peer), what) for peer in peers]
    known = [each for each in found if each is not None]
    return min(known, key=lambda each: each.median) if known else None
