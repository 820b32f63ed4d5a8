"""What the kernel says of control groups, of either version: who is in them, what limits are there, what they count.

Reads files of the kernel's own, which never wait. systemd alone writes to them.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple

from engine.spec import MiB, MountSpec
from mountctl.supervisor.slices.units import asked

TOP: Final = Path("/sys/fs/cgroup")  # where systemd mounts them, whatever the version
_UNIFIED: Final = ""  # of version 2, as cgroups(7) has it in /proc/PID/cgroup
_CPU_SHARES: Final = "cpu.shares"
_CPU_SHARES_DEFAULT: Final = 1024
# What a group has if its controller is on, in version 2.
_SIGNS: Final = {"memory": "memory.max", "cpu": "cpu.weight"}
_CONTROLLERS: Final = {"memory-high": "memory", "memory-max": "memory", "cpu-weight": "cpu"}
_HIGH_IS_NEWER: Final = "memory-high takes cgroup v2, and here the memory controller is of v1"


class Group(NamedTuple):
    """A control group of one controller.

    Args:
        directory: it.
        unified: it is of version 2.
    """

    directory: Path
    unified: bool

    @property
    def memory_bytes(self) -> int | None:
        """In use now; None if that is not known."""
        return _number(self.directory / ("memory.current" if self.unified else "memory.usage_in_bytes"))

    @property
    def memory_max_bytes(self) -> int | None:
        """The limit; None: there is none."""
        return _number(self.directory / ("memory.max" if self.unified else "memory.limit_in_bytes"))

    @property
    def times_full(self) -> int:
        """How often more memory was wanted than may be had: with version 1 also when some could be got back then."""
        if not self.unified:
            return _number(self.directory / "memory.failcnt") or 0
        return int(dict(_pairs(_text(self.directory / "memory.events"))).get("oom", "0"))


def paths(pid: int) -> dict[str, PurePosixPath]:
    """The groups that a process is in, by controller; empty if it is gone."""
    return parse(_text(Path(f"/proc/{pid}/cgroup")))


def parse(text: str) -> dict[str, PurePosixPath]:
    """The same of a text of /proc/PID/cgroup."""
    found: dict[str, PurePosixPath] = {}
    for line in text.splitlines():
        _, controllers, path = line.split(":", 2)
        found |= dict.fromkeys(controllers.split(","), PurePosixPath(path))
    return found


def is_in(found: dict[str, PurePosixPath], unit: str) -> bool:
    """Whether a process is in the groups of a unit, or of one below."""
    return any(unit in path.parts for path in found.values())


def group_of(found: dict[str, PurePosixPath], unit: str, controller: str, top: Path = TOP) -> Group | None:
    """A unit's group, by a process that is in it; None if the controller is not on there."""
    path = found.get(controller)
    if path is not None and unit in path.parts:
        return Group(top / controller / _up_to(path, unit), unified=False)
    path = found.get(_UNIFIED)
    if path is None or unit not in path.parts:
        return None
    group = Group(_unified(top) / _up_to(path, unit), unified=True)
    return group if (group.directory / _SIGNS[controller]).exists() else None


def place_of(found: dict[str, PurePosixPath], unit: str, top: Path = TOP) -> Path | None:
    """Where systemd itself tells what belongs to a unit, by a process that is in it."""
    for controller, where in ((_UNIFIED, _unified(top)), ("name=systemd", top / "systemd")):
        if (path := found.get(controller)) is not None and unit in path.parts:
            return where / _up_to(path, unit)
    return None


def unmet(found: dict[str, PurePosixPath], unit: str, spec: MountSpec, top: Path = TOP) -> Iterator[str]:
    """Which limits of a mount are not in force in its slice, each as a sentence.

    Args:
        found: the groups of its engine.
        unit: the slice.
        spec: of the mount.
        top: where control groups are.
    """
    memory, cpu = (group_of(found, unit, controller, top) for controller in ("memory", "cpu"))
    keys = set(asked(spec))
    if memory is None:
        yield from (_off(key) for key in ("memory-high", "memory-max") if key in keys)
    else:
        if spec.memory_high is not None and not memory.unified:
            yield _HIGH_IS_NEWER
        most = memory.memory_max_bytes
        if spec.memory_max is not None and (most is None or most > spec.memory_max * MiB):
            yield "memory-max is not what systemd has set"
    if spec.cpu_weight is not None and (cpu is None or _is_off(cpu, spec.cpu_weight)):
        yield _off("cpu-weight")


def lacking(spec: MountSpec, top: Path = TOP) -> Iterator[str]:
    """What this host's control groups lack for the limits of a mount that does not run yet, each as a sentence."""
    controllers = _text(top / "cgroup.controllers").split()
    for key in asked(spec):
        controller = _CONTROLLERS.get(key)
        older = controller is not None and (top / controller).is_dir()
        if key == "memory-high" and older:
            yield _HIGH_IS_NEWER
        elif controller is not None and not older and controller not in controllers:
            yield _off(key)


def is_empty(place: Path) -> bool:
    """Whether no process is in a group, or below. One that is not there is."""
    return not any(_text(Path(directory, "cgroup.procs")).strip() for directory, _, _ in os.walk(place))


def tree(pid: int) -> list[int]:
    """A process and those that it has forked, and so on; empty if it is gone."""
    found, queue = [], [pid]
    while queue:
        each = queue.pop()
        with contextlib.suppress(OSError):
            tasks = [task.path for task in os.scandir(f"/proc/{each}/task")]
            found.append(each)
            queue += [int(child) for task in tasks for child in _text(Path(task, "children")).split()]
    return found


def _off(key: str) -> str:
    return f"{key}: the control groups here have no {_CONTROLLERS[key]} controller"


def _is_off(cpu: Group, weight: int) -> bool:
    """With version 1 the group of a slice may be there for others' sake; then nobody has said what its share is."""
    default = 100
    return not cpu.unified and weight != default and _number(cpu.directory / _CPU_SHARES) == _CPU_SHARES_DEFAULT


def _unified(top: Path) -> Path:
    """Where version 2 is: alone, or beside version 1."""
    return top if (top / "cgroup.controllers").exists() else top / "unified"


def _up_to(path: PurePosixPath, unit: str) -> PurePosixPath:
    """The group of a unit that is on the way to this one, relative to the top."""
    return PurePosixPath(*path.parts[1 : path.parts.index(unit) + 1])


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        yield name, value


def _number(path: Path) -> int | None:
    text = _text(path).strip()
    return int(text) if text.isdecimal() else None


def _text(path: Path) -> str:
    """A file's; empty if it can't be read: the process or the group is gone, or the kernel has none such."""
    with contextlib.suppress(OSError):
        return path.read_text(errors="replace")
    return ""
