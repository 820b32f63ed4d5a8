"""What a configuration means for the mounts that run, and whether it may be put in force at all. Pure.

Called by supervisor.py, for a reload and for a plan; carried out by applying.py.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from mountctl.config.diff import Change, diff
from mountctl.config.load import Config
from mountctl.errors import ConfigError, MountctlError
from mountctl.supervisor.mount import Mount


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
class Planned:
    """A configuration that can be put in force, and what that means for the mounts that run."""

    config: Config
    changes: dict[str, Change]


def planned(config: Config, mounts: Mapping[str, Mount], declared: Collection[str]) -> Planned:
    """What must happen. Raises Refusal.

    Args:
        config: what is wanted.
        mounts: those that run.
        declared: the names of those that are the configuration's in force; the others are mount(8)'s.
    """
    running = {name: mount.spec for name, mount in mounts.items() if name in declared}
    if taken := (config.mounts.keys() & mounts.keys()) - running.keys():
        raise Refusal([f"{name}: mount(8) has a mount of that name: unmount it first" for name in sorted(taken)])
    return Planned(config, diff(running, config.mounts))
