"""What must happen for the mounts that run to become the mounts that are wanted. Pure: touches nothing.

Called by the supervisor's reload and for `mountctl plan`; carried out by supervisor/applying.py only.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from engine.spec import MountSpec, kebab
from mountctl.config.classes import PLACE, ChangeClass, class_of


@dataclass(frozen=True)
class Change:
    """What must happen to one mount.

    Args:
        name: the mount's.
        kind: what.
        before: as it runs; None if it does not.
        after: as it is wanted; None if it is not.
        keys: those that differ, as they are written in TOML, in the order of the specification.
        blocked: where it is to be there is another mount now, or it is itself: that must go first.
    """

    name: str
    kind: ChangeClass
    before: MountSpec | None = None
    after: MountSpec | None = None
    keys: tuple[str, ...] = ()
    blocked: bool = False

    @property
    def wanted(self) -> MountSpec:
        """As it is wanted, for one that is."""
        assert self.after is not None, "it is to be removed"
        return self.after

    def needs_room(self, places: Iterable[MountSpec]) -> bool:
        """Whether it takes a mount away, or is where one of these `places` is, or within, or around."""
        if self.kind is ChangeClass.REMOVE or self.blocked:
            return True
        if self.kind is not ChangeClass.ADD and PLACE not in self.keys:
            return False
        return any(overlapping(self.wanted, place) for place in places)


def diff(running: Mapping[str, MountSpec], wanted: Mapping[str, MountSpec]) -> dict[str, Change]:
    """Compare what runs with what is wanted, by name, in alphabetical order: another name is another mount."""
    changes = {
        name: _change(name, running.get(name), wanted.get(name)) for name in sorted(running.keys() | wanted.keys())
    }
    for name, change in changes.items():
        if change.before is not None and PLACE in change.keys:
            others = [each.before for each in changes.values() if each.before and each.kind is not ChangeClass.REMOVE]
            changes[name] = replace(change, blocked=any(overlapping(change.wanted, other) for other in others))
    return changes


def overlapping(spec: MountSpec, other: MountSpec) -> bool:
    """Whether two are at one place, or one within the other."""
    place, there = PurePosixPath(spec.mountpoint), PurePosixPath(other.mountpoint)
    return place.is_relative_to(there) or there.is_relative_to(place)


def _change(name: str, before: MountSpec | None, after: MountSpec | None) -> Change:
    if before is None:
        return Change(name, ChangeClass.ADD, after=after)
    if after is None:
        return Change(name, ChangeClass.REMOVE, before=before)
    keys = changed_keys(before, after)
    return Change(name, class_of(keys), before, after, keys)


def changed_keys(before: MountSpec, after: MountSpec) -> tuple[str, ...]:
    """The keys in which two specs differ, in the order of the specification."""
    return tuple(kebab(key) for key in MountSpec.model_fields if getattr(before, key) != getattr(after, key))


def clashes(spec: MountSpec, others: Iterable[MountSpec]) -> str | None:
    """Why a mount can't be there beside these, as a sentence; None if it can."""
    place = PurePosixPath(spec.mountpoint)
    for other in others:
        there = PurePosixPath(other.mountpoint)
        if place == there:
            return f"{other.name} ({other.source}) is at {there} already: unmount it or choose another mountpoint"
        if spec.name == other.name:
            return f"a mount of the name {spec.name} is there already, at {there}: choose another mountpoint"
        if place.is_relative_to(there) or there.is_relative_to(place):
            return f"{place} and the mountpoint of {other.name}, {there}, are one in the other: mounts can't be nested"
    return None


def names_of(changes: Mapping[str, Change], kind: ChangeClass) -> list[str]:
    """The mounts that are changed so."""
    return [name for name, change in changes.items() if change.kind is kind]
