"""The units of systemd that a mount with limits has: what they are called, and what they are told. Pure.

A slice of its own has the limits, so that they hold for its engine, its fetchers and the next engine together, and
count over all of them. Each engine is in a scope in it, as only scopes have processes that systemd has not started.
"""

from collections.abc import Sequence
from typing import Final

from engine.spec import MiB, MountSpec
from mountctl.config.classes import LIMITS

DEFAULT_PARENT: Final = "mountctl.slice"
# systemd.unit(5).
NAME_BYTES_MAX: Final = 255

_SUFFIX: Final = ".slice"
_FIELDS: Final = {key: key.replace("-", "_") for key in LIMITS}  # of MountSpec
# The version of systemd in which scopes have OOMPolicy=, as systemd.scope(5) says.
_OOM_POLICY_OF_SCOPES: Final = 253

# Name, signature and words of a value, as busctl(1) has them.
Property = tuple[str, ...]


def asked(spec: MountSpec) -> tuple[str, ...]:
    """The options for which a mount needs a slice, as they are written in TOML; none: it needs none."""
    return tuple(key for key, field in _FIELDS.items() if getattr(spec, field) is not None)


def own_slice(spec: MountSpec) -> str:
    """The mount's slice. By systemd's rule its name is that of the slice that it is in, and its own behind a dash."""
    return f"{(spec.slice or DEFAULT_PARENT).removesuffix(_SUFFIX)}-{_escaped(spec.name)}{_SUFFIX}"


def is_slice_of(unit: str, name: str) -> bool:
    """Whether a unit is the slice of the mount of this name, below whichever other."""
    return unit.endswith(f"-{_escaped(name)}{_SUFFIX}")


def scope_in(unit: str, pid: int) -> str:
    """The scope for processes of which this is the first, in a slice."""
    return f"{unit.removesuffix(_SUFFIX)}-{pid}.scope"


def scope_properties(pids: Sequence[int], unit: str, before: str | None, version: int) -> list[Property]:
    """What a scope is told at its start.

    Args:
        pids: the processes that are to be in it; it ends with the last of them.
        unit: the slice.
        before: a unit that a shutdown stops first, since it ends them itself.
        version: systemd's.
    """
    return [
        ("Description", "s", "Engine of an S3 mount (mountctl)"),
        ("Slice", "s", unit),
        ("PIDs", "au", str(len(pids)), *map(str, pids)),
        # One that the kernel has ended for memory is told by ourselves, and is no failed unit for ever.
        ("CollectMode", "s", "inactive-or-failed"),
        # A fetcher that is ended is replaced: no reason to end its engine. Before that version there is no choice.
        *([("OOMPolicy", "s", "continue")] if version >= _OOM_POLICY_OF_SCOPES else []),
        *([("Before", "as", "1", before)] if before else []),
    ]


def limits(spec: MountSpec) -> tuple[str, ...]:
    """What the slice is told: every limit, so that one that is no longer asked for is none."""
    return (
        f"MemoryHigh={_bytes(spec.memory_high)}",
        f"MemoryMax={_bytes(spec.memory_max)}",
        f"CPUWeight={spec.cpu_weight or ''}",
    )


NO_LIMITS: Final = ("MemoryHigh=infinity", "MemoryMax=infinity", "CPUWeight=")


def _bytes(mebibytes: int | None) -> str:
    return "infinity" if mebibytes is None else str(mebibytes * MiB)


def _escaped(name: str) -> str:
    """A mount's name within a unit's: of what it may have, systemd takes only the dash for something else."""
    return name.replace("-", r"\x2d")
