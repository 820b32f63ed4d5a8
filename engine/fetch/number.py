"""How many fetcher processes a mount gets. Called by spawner.py, once an engine."""

import os
from pathlib import Path
from typing import Final

from engine.s3.pool import connections_for
from engine.spec import MountSpec

# More than one engine has a use for: it replies what one of them fetches over plain HTTP, and what two to three do over
# TLS (docs/performance.md).
AUTO_MAX: Final = 4

# Cores that an engine fills alone: with two, the other one is the reading program's.
CORES_ALONE: Final = 2

# What an engine alone does over TLS, in Gbit/s: a mount that is meant to reach no more needs no others.
ENGINE_GBPS: Final = 5

_CONTROL_GROUP: Final = Path("/proc/self/cgroup")
_CONTROL_GROUPS: Final = Path("/sys/fs/cgroup")


def number_of(spec: MountSpec, cores: int | None = None) -> int:
    """The mount's `fetchers`; `auto` depends on how many cores there are (default: those that we may use)."""
    if spec.fetchers != "auto":
        return spec.fetchers
    cores = usable_cores() if cores is None else cores
    if cores <= CORES_ALONE:
        return 0
    most = min(cores // 2, AUTO_MAX)
    gbps = spec.maximum_throughput_gbps
    return most if gbps is None else min(most, (gbps - 1) // ENGINE_GBPS)


def connections_of_engine(spec: MountSpec, fetchers: int) -> int:
    """Most connections of an engine's own: all that the mount may have, or half of them beside fetchers."""
    every = connections_for(spec.maximum_throughput_gbps)
    return max(1, every // 2) if fetchers else every


def connections_of_each(spec: MountSpec, fetchers: int) -> int:
    """Most connections of one fetcher: its share of the other half."""
    return max(1, connections_for(spec.maximum_throughput_gbps) // 2 // fetchers)


def usable_cores(own: Path = _CONTROL_GROUP, groups: Path = _CONTROL_GROUPS) -> int:
    """Cores that this process may keep busy: those of its CPU set, and what its control groups allow (version 2).

    Args:
        own: tells which group is ours.
        groups: where all groups are.
    """
    cores = len(os.sched_getaffinity(0))
    try:
        line = next(line for line in own.read_text().splitlines() if line.startswith("0::"))
    except (OSError, StopIteration):
        return cores
    group = groups / line.removeprefix("0::").lstrip("/")
    allowed = [_allowed(each / "cpu.max") for each in (group, *group.parents) if each.is_relative_to(groups)]
    return max(1, int(min([float(cores), *allowed])))


def _allowed(path: Path) -> float:
    """Cores by a `cpu.max`: microseconds of CPU, or `max`, in a period of so many microseconds."""
    try:
        quota, period = path.read_text().split()
        return int(quota) / int(period)
    except (OSError, ValueError):
        return float("inf")
