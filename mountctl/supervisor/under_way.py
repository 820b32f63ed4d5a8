"""What S3 restores of one mount's archived objects, as a list of what was asked for. Rules; pure.

Called by restoring.py. What was asked for is a path, with or without all below it; what S3 has said of it last is how
many objects it restores there. No object is counted twice: a request for a directory takes the place of those for
paths in it, and one for a path in a directory that was asked for already counts as part of that.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from pydantic import BaseModel, Field

from engine.restores import AskRestore, PathTold, RestoreTold, Tier

# How often a sample is looked at: twenty requests in the usual time of the tier, once a minute at most; of what
# somebody else has asked for, whose tier is not known, as of Standard.
_LOOKS: Final = 20
_LOOK_SECONDS_MIN: Final = 60.0
_LOOK_SECONDS: Final = 900.0
# The slowest takes 48 hours as a rule: of what is older nothing can be learned (or it may not be looked at).
_KEPT_SECONDS: Final = 7 * 86400.0


class Entry(BaseModel):
    """What was asked for at a path. Times in seconds since the epoch. Fields are only ever added, with a default."""

    path: str = Field(description="below the mount's prefix")
    recursive: bool = False
    tier: Tier | None = Field(None, description="None: it is not known, as somebody else has asked")
    asked: float
    expected: float | None = Field(None, description="when the last may be there, as a rule; None: not known")
    objects: int = Field(0, description="S3 restores so many now, as it said last")
    sample: str = Field("", description="one of them")
    look_at: float = 0.0
    unsure: bool = Field(default=False, description="S3 is being asked, or was, and what came of it is not known")

    @property
    def scope(self) -> tuple[str, bool]:
        """What it is about."""
        return self.path, self.recursive


def covers(wide: tuple[str, bool], narrow: tuple[str, bool]) -> bool:
    """Whether all that the second is about belongs to the first, too."""
    if wide[0] == narrow[0]:
        return wide[1] or not narrow[1]
    return wide[1] and (not wide[0] or narrow[0].startswith(f"{wide[0]}/"))


def disjoint(paths: Iterable[str], *, recursive: bool) -> list[str]:
    """These paths without those that others are about already, in their order."""
    unique = dict.fromkeys(paths)
    if not recursive:
        return list(unique)
    return [path for path in unique if not path or not any(above in unique for above in _above(path))]


def _above(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:number]) for number in range(len(parts))]


def asking(entries: Sequence[Entry], asked: AskRestore, now: float) -> list[Entry]:
    """S3 is about to be asked: written down before, so that it is not forgotten whatever happens then."""
    left = [entry.model_copy() for entry in entries]
    for path in asked.paths:
        scope = (path, asked.recursive)
        if (wide := next((entry for entry in left if covers(entry.scope, scope)), None)) is not None:
            wide.unsure = True
        else:
            left.append(Entry(path=path, recursive=asked.recursive, tier=asked.tier, asked=now, unsure=True))
    return left


def not_asked(entries: Sequence[Entry], asked: AskRestore) -> list[Entry]:
    """S3 was asked for nothing after all."""
    left = [entry.model_copy() for entry in entries]
    for entry in left:
        if any(covers(entry.scope, (path, asked.recursive)) for path in asked.paths):
            entry.unsure = False
    return [entry for entry in left if entry.objects or entry.unsure]


def told(entries: Sequence[Entry], asked: AskRestore, answer: RestoreTold, now: float) -> list[Entry]:
    """What S3 has answered of each path."""
    left = list(entries)
    for path, found in zip(asked.paths, answer.paths, strict=False):
        left = _one(left, (path, asked.recursive), found, asked.tier, now)
    return left


def still(entries: Sequence[Entry], scope: tuple[str, bool], now: float) -> list[Entry]:
    """The sample is still being restored, or could not be looked at."""
    return [_later(each, now) if each.scope == scope else each for each in entries]


def without_old(entries: Sequence[Entry], now: float) -> list[Entry]:
    """Those about which something can still be learned."""
    return [entry for entry in entries if now - entry.asked < _KEPT_SECONDS]


def _one(entries: list[Entry], scope: tuple[str, bool], found: PathTold, tier: Tier, now: float) -> list[Entry]:
    expected = None if found.seconds is None else now + found.seconds
    wide = next((each for each in entries if each.scope != scope and covers(each.scope, scope)), None)
    if wide is not None:
        if not found.asked:
            return [each.model_copy(update={"unsure": False}) if each is wide else each for each in entries]
        more = {
            "objects": wide.objects + found.asked,
            "expected": _latest(wide.expected, expected),
            "sample": wide.sample or found.sample,
            "unsure": False,
        }
        return [each.model_copy(update=more) if each is wide else each for each in entries]
    inside = [each for each in entries if covers(scope, each.scope)]
    left = [each for each in entries if each not in inside]
    if not found.under_way:
        return left
    before = next((each for each in inside if each.scope == scope), None)
    entry = Entry(
        path=scope[0],
        recursive=scope[1],
        tier=tier if found.asked else _tier(inside),
        asked=now if found.asked or before is None else before.asked,
        expected=_latest(expected, *(each.expected for each in inside)),
        objects=found.under_way,
        sample=found.sample,
    )
    return [*left, _later(entry, now)]


def _tier(inside: Sequence[Entry]) -> Tier | None:
    return next((each.tier for each in inside if each.tier is not None), None)


def _latest(*times: float | None) -> float | None:
    return max((time for time in times if time is not None), default=None)


def _later(entry: Entry, now: float) -> Entry:
    """To be looked at again after a while."""
    usual = _LOOK_SECONDS if entry.expected is None else (entry.expected - entry.asked) / _LOOKS
    return entry.model_copy(update={"look_at": now + max(_LOOK_SECONDS_MIN, usual)})
