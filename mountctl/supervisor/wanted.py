"""What a configuration means for the mounts that run, and whether it may be put in force at all. Pure.

Called by supervisor.py, for a reload and for a plan; carried out by applying.py.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from engine.spec import MountSpec
from mountctl.config.classes import ChangeClass
from mountctl.config.diff import Change, clashes, diff
from mountctl.config.load import Config
from mountctl.errors import ConfigError, MountctlError
from mountctl.supervisor.mount import Mount

# A file that was cut, or written by a program that failed, lacks most of its mounts. An operator who takes away two, or
# fewer than half, is believed.
REMOVED_MIN: Final = 3
REMOVED_SHARE_MAX: Final = 0.5


class Refusal(MountctlError):
    """A configuration can't be put in force. `problems` says why, each in a sentence."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems: Final = tuple(problems)

    @classmethod
    def of(cls, error: ConfigError) -> "Refusal":
        """For a configuration with errors."""
        return cls([str(problem) for problem in error.problems] or [str(error)])


@dataclass(frozen=True)
class Wish:
    """How a reload is wanted.

    Args:
        yes: also what a guard would refuse.
        atomic: all mounts are changed, or none is.
        only: the names of the mounts that it is about; none: all.
        confirm: what was before comes back unless somebody confirms within so many seconds; None: it stays.
    """

    yes: bool = False
    atomic: bool = False
    only: tuple[str, ...] = ()
    confirm: float | None = None


@dataclass(frozen=True)
class Planned:
    """A configuration that can be put in force, and what that means for the mounts that run.

    Args:
        config: it.
        file: all that its file says, also where only some mounts were meant.
        changes: what must happen, by mount.
        risks: why nobody does this unasked, each in a sentence.
    """

    config: Config
    file: Config
    changes: dict[str, Change]
    risks: tuple[str, ...] = ()


def declared(mounts: Mapping[str, Mount], config: Config) -> dict[str, MountSpec]:
    """Those that run and are a configuration's: of this one in force, or of one before, if they could not go."""
    return {name: mount.spec for name, mount in mounts.items() if name in config.mounts or not mount.transient}


def planned(
    config: Config,
    mounts: Mapping[str, Mount],
    running: Mapping[str, MountSpec],
    only: Collection[str],
    held: Mapping[str, MountSpec | None],
) -> Planned:
    """What must happen. Raises Refusal.

    Args:
        config: what is wanted.
        mounts: those that run.
        running: those of them that are a configuration's, as they run; the others are mount(8)'s.
        only: the mounts that it is about; none: all.
        held: those that are not to be mounted, whatever the file says, as they are in force; None: they are not.
    """
    if taken := (config.mounts.keys() & mounts.keys()) - running.keys():
        raise Refusal([f"{name}: mount(8) has a mount of that name: unmount it first" for name in sorted(taken)])
    others = {**{name: spec for name, spec in held.items() if spec is not None}, **running}
    file, config = config, _of_some(config, others, only) if only else config
    changes = diff(running, {name: spec for name, spec in config.mounts.items() if name not in held})
    return Planned(config, file, changes, tuple(_risks(changes, mounts)))


def _of_some(config: Config, others: Mapping[str, MountSpec], only: Collection[str]) -> Config:
    """The configuration as far as it is about these mounts; the others are as they run, or as they are held."""
    if unknown := sorted(set(only) - config.mounts.keys() - others.keys()):
        raise Refusal([f"{name}: neither the file nor the supervisor has a mount of that name" for name in unknown])
    wanted = {name: spec for name, spec in config.mounts.items() if name in only}
    kept = {name: spec for name, spec in others.items() if name not in only}
    for name, spec in wanted.items():
        if (clash := clashes(spec, kept.values())) is not None:
            raise Refusal([f"{name}: {clash}"])
    return replace(config, mounts=kept | wanted)


def _risks(changes: Mapping[str, Change], mounts: Mapping[str, Mount]) -> Iterator[str]:
    """What is more often a mistake than meant: half a file, or another bucket under a program's hands."""
    gone = [change for change in changes.values() if change.kind is ChangeClass.REMOVE]
    declared = [change for change in changes.values() if change.before is not None]
    if declared and all(change.after is None for change in changes.values()):
        yield f"the file declares no mount: all {len(declared)} would go"
    elif len(gone) >= REMOVED_MIN and len(gone) > len(declared) * REMOVED_SHARE_MAX:
        yield f"{len(gone)} of {len(declared)} mounts would go"
    for name, change in changes.items():
        if "bucket" in change.keys and (writing := mounts[name].stats.uploads):
            yield f"{name}: its bucket would be another while {_files(writing)} open for writing"


def _files(count: int) -> str:
    return "a file is" if count == 1 else f"{count} files are"
