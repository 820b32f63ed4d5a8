"""What must happen for the mounts that run to become the mounts that are wanted. Pure: touches nothing.

Called by the supervisor's reload and by `mountctl plan`; carried out by the supervisor only.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from engine.spec import MountSpec, kebab


@dataclass(frozen=True)
class Plan:
    """Names of mounts by what must happen to them, each group in alphabetical order.

    Args:
        added: to be mounted.
        removed: to be unmounted.
        changed: to be changed, each with its keys that differ, as they are written in TOML.
        unchanged: to be left alone.
    """

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: dict[str, tuple[str, ...]]
    unchanged: tuple[str, ...]

    @property
    def empty(self) -> bool:
        """Whether nothing must happen."""
        return not (self.added or self.removed or self.changed)


def diff(running: Mapping[str, MountSpec], wanted: Mapping[str, MountSpec]) -> Plan:
    """Compare what runs with what is wanted, by name: a mount with another name is another mount."""
    both = sorted(running.keys() & wanted.keys())
    differing = {name: changed_keys(running[name], wanted[name]) for name in both}
    return Plan(
        added=tuple(sorted(wanted.keys() - running.keys())),
        removed=tuple(sorted(running.keys() - wanted.keys())),
        changed={name: keys for name, keys in differing.items() if keys},
        unchanged=tuple(name for name in both if not differing[name]),
    )


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
