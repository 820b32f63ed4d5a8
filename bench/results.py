"""What was measured, as it is kept and read again. Used by all of bench/ that shows results."""

import json
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Measure:
    """One peer's run of one row.

    Args:
        scene, row, peer, round: which.
        value: in the row's unit; None: it failed, as `failed` says.
        units: bytes, reads, files or entries that it did.
        seconds: how long that took.
        cpu_seconds: of all processes that serve the mount.
        requests: to S3, by method.
        memory: the most of it, in bytes (PSS of all those processes).
        server: CPU seconds of the busiest thread of the S3; close to `seconds`, the S3 is measured.
        failed: why there is no value.
    """

    scene: str
    row: str
    peer: str
    round: int
    value: float | None
    units: float = 0
    seconds: float = 0
    cpu_seconds: float = 0
    requests: dict[str, int] = field(default_factory=dict)
    memory: int = 0
    server: float = 0
    failed: str = ""


@dataclass(frozen=True)
class Shown:
    """One line of the table, as results name it."""

    scene: str
    scene_title: str
    row: str
    title: str
    unit: str
    topic: str
    less: bool = False


@dataclass(frozen=True)
class Spread:
    """A median and what it is the median of."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Iterable[float]) -> "Spread | None":
        """Of some values, None: of none."""
        known = list(values)
        return cls(statistics.median(known), min(known), max(known)) if known else None


@dataclass
class Results:
    """One run of the bench."""

    machine: dict[str, str]
    rounds: int
    peers: list[str]
    versions: dict[str, str]
    shown: list[Shown]
    measures: list[Measure] = field(default_factory=list)

    def of(self, scene: str, row: str, peer: str) -> list[Measure]:
        """The good measures of one peer in one row, by round."""
        found = [each for each in self.measures if (each.scene, each.row, each.peer) == (scene, row, peer)]
        return sorted((each for each in found if each.value is not None), key=lambda each: each.round)

    def spread(self, scene: str, row: str, peer: str, what: Callable[[Measure], float]) -> Spread | None:
        """Over the rounds."""
        return Spread.of(what(each) for each in self.of(scene, row, peer))

    def write(self, path: Path) -> None:
        """Keep them as JSON, a line for each measure and row."""
        told = asdict(self)
        lists = {name: ",\n  ".join(json.dumps(each) for each in told.pop(name)) for name in ("shown", "measures")}
        head = json.dumps(told, indent=1).removesuffix("\n}")
        path.write_text(head + "".join(f',\n "{name}": [\n  {lines}\n ]' for name, lines in lists.items()) + "\n}\n")

    @classmethod
    def read(cls, path: Path) -> "Results":
        """Those that `write` kept."""
        told: dict[str, Any] = json.loads(path.read_text())
        told["shown"] = [Shown(**each) for each in told["shown"]]
        told["measures"] = [Measure(**each) for each in told["measures"]]
        return cls(**told)


def rounded(amount: float) -> float:
    """To six digits: more are not known."""
    return float(f"{amount:.6g}")


def value(measure: Measure) -> float:
    """In the row's unit."""
    assert measure.value is not None
    return measure.value


def cpu_each(measure: Measure) -> float:
    """CPU seconds a unit: a byte, a read, a file or an entry."""
    return measure.cpu_seconds / measure.units


def requests_each(measure: Measure) -> float:
    """Requests a unit."""
    return sum(measure.requests.values()) / measure.units


def memory(measure: Measure) -> float:
    """Bytes at the most."""
    return float(measure.memory)


def server_share(measure: Measure) -> float:
    """How busy the busiest thread of the S3 was, of 1."""
    return measure.server / measure.seconds


def ratios(ours: Sequence[Measure], theirs: Sequence[Measure], what: Callable[[Measure], float]) -> Spread | None:
    """Ours to theirs, round by round: what ran side by side is compared."""
    other = {each.round: what(each) for each in theirs}
    return Spread.of(what(each) / other[each.round] for each in ours if other.get(each.round))
