"""What a fetcher counts and learns of S3, told to its engine and added there: so `status` has one number for all.

`FetcherStats` is where a fetcher's S3 client counts; remote.py calls `add`. Nothing here knows of sockets.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from engine.fetch.messages import KINDS_MAX, NAME_CHARACTERS_MAX, TEXT_CHARACTERS_MAX
from engine.stats import EngineStats

_ANSWERED: Final = "answered"
_UNREACHABLE: Final = "unreachable"
_ACCEPTED: Final = "accepted"
_REFUSED: Final = "refused"


class FetcherStats(EngineStats):
    """Counters since they were taken last, and what to say of the backend.

    Args:
        urgent: something was said that the engine should know at once.
    """

    def __init__(self, urgent: Callable[[], None]) -> None:
        super().__init__()
        self.use = 0  # the number of the access in use
        self._urgent = urgent
        self._said: dict[str, list[Any]] = {}

    def answered(self) -> None:
        """S3 gave an answer."""
        self._said.pop(_UNREACHABLE, None)
        self._said[_ANSWERED] = []

    def unreachable(self, reason: str) -> None:
        """A request got no answer, or only 5xx, after a retry."""
        self._said.pop(_ANSWERED, None)
        self._said[_UNREACHABLE] = [reason[:TEXT_CHARACTERS_MAX]]
        self._urgent()

    def accepted(self, operation: str) -> None:
        """S3 did what was asked."""
        self._said.pop(_REFUSED, None)
        self._said[_ACCEPTED] = [operation]

    def refused(self, reason: str, *, lifted_by: str | None = None) -> None:
        """S3 refuses these keys."""
        self._said[_REFUSED] = [reason[:TEXT_CHARACTERS_MAX], lifted_by, self.use]
        self._urgent()

    def take(self) -> tuple[dict[str, Any], list[list[Any]]]:
        """What was counted and said since the last time; of many kinds a part, the rest the next time."""
        counted: dict[str, Any] = {}
        for name, value in vars(self).items():
            if isinstance(value, Counter):
                if kinds := list(value)[:KINDS_MAX]:
                    counted[name] = [(kind[:NAME_CHARACTERS_MAX], value.pop(kind)) for kind in kinds]
            elif type(value) is int and value and name != "use":
                counted[name] = value
                setattr(self, name, 0)
        if took := self.s3_latencies.take():
            counted["s3_latencies"] = took
        said = [[what, *told] for what, told in self._said.items()]
        self._said = {}
        return counted, said


def add(stats: EngineStats, counted: dict[str, Any], said: list[list[Any]], *, use: int) -> None:
    """What a fetcher has taken, to the engine's.

    `use`: the number of the access that it was told last. What S3 says of keys before is old.
    """
    for name, value in counted.items():
        if isinstance(value, list):
            for kind, count in value:
                getattr(stats, name)[kind] += count
        elif isinstance(value, dict):
            getattr(stats, name).add(value)
        else:
            setattr(stats, name, getattr(stats, name) + value)
    for what, *told in said:
        match what, told:
            case "answered", []:
                stats.answered()
            case "unreachable", [reason]:
                stats.unreachable(reason)
            case "accepted", [operation]:
                stats.accepted(operation)
            case "refused", [reason, lifted_by, of] if of == use:
                stats.refused(reason, lifted_by=lifted_by)
