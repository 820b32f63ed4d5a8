"""Keeps the engines of mounts that ask for limits in slices of their own. One task of the supervisor's, beside mounts.

Looks at what should be and what is, and has systemd mend the difference: after a start, a takeover, an adoption, a
reload it is the same. No mount waits for it, and one whose limits can't be had is served without, and says so.
"""

import contextlib
import logging
import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Final, Protocol

import trio

from engine.facts import about
from engine.message_ids import LIMITS_NOT_IN_FORCE
from engine.spec import MountSpec
from mountctl.status import SliceStatus
from mountctl.supervisor.slices import asking, cgroups
from mountctl.supervisor.slices.units import (
    NAME_BYTES_MAX,
    NO_LIMITS,
    asked,
    is_slice_of,
    limits,
    own_slice,
    scope_in,
    scope_properties,
)
from mountctl.supervisor.systemd import our_unit

# Processes that were forked while others were moved, and a systemd that was away, are found by looking again.
_AGAIN_SECONDS: Final = 10.0
# systemd moves processes within milliseconds of its answer.
_MOVED_SECONDS_MAX: Final = 5.0
_POLL_SECONDS: Final = 0.02
# Many changes at once, as at a start, are one look: of 200 mounts it takes about as long.
_PAUSE_SECONDS: Final = 0.02

_UNDER_WAY: Final = "systemd is being asked"

# A slice, and what it is told.
_Wish = tuple[str, tuple[str, ...]]

_log = logging.getLogger(__name__)


class Engines(Protocol):
    """A mount's."""

    @property
    def pids(self) -> list[int]:
        """Of those that live."""
        ...


class Mounted(Protocol):
    """A mount."""

    spec: MountSpec

    @property
    def engines(self) -> Engines:
        """They."""
        ...


class Slices:
    """What is known of the slices of all mounts."""

    def __init__(self) -> None:
        self._wake = trio.Event()
        self._version = 0  # systemd's; 0: not known yet
        self._told: dict[str, tuple[str, ...]] = {}  # what each slice was told last, by its name
        self._places: dict[str, Path] = {}  # where each is that has processes of ours, or had
        self._memory: dict[str, cgroups.Group] = {}  # by the mount's name
        self._trouble: dict[str, tuple[_Wish, str | None]] = {}  # likewise: what was wanted, and what is not in force

    def look(self) -> None:
        """Something may be otherwise than it should be."""
        self._wake.set()

    def hear(self, changed: Callable[[], None]) -> Callable[[], None]:
        """What the supervisor is to call when a mount has changed, instead of this."""

        def tell() -> None:
            self.look()
            changed()

        return tell

    def status(self, spec: MountSpec) -> SliceStatus | None:
        """What is told of a mount's slice; None if it needs none."""
        if not asked(spec):
            return None
        memory, (wish, trouble) = self._memory.get(spec.name), self._trouble.get(spec.name, (None, None))
        return SliceStatus(
            name=own_slice(spec),
            trouble=trouble if wish == _wish(spec) else _UNDER_WAY,
            memory_bytes=None if memory is None else memory.memory_bytes,
        )

    def times_full(self, name: str) -> int:
        """How often a mount wanted more memory than it may have, as far as that is known."""
        memory = self._memory.get(name)
        return 0 if memory is None else memory.times_full

    async def run(self, mounts: Callable[[], Iterable[Mounted]]) -> None:
        """See to it, until cancelled.

        Args:
            mounts: all; of several of one name the last one's options count.
        """
        for mount in mounts():  # of a supervisor before us; what is wanted now may be something else
            for pid in mount.engines.pids:
                self._find(mount.spec.name, cgroups.paths(pid))
        while True:
            self._wake = trio.Event()
            await self._mend(mounts())
            await trio.sleep(_PAUSE_SECONDS)
            with trio.move_on_after(_AGAIN_SECONDS if self._told or self._trouble else math.inf):
                await self._wake.wait()

    async def finish(self) -> None:
        """All is unmounted, and no supervisor comes after us."""
        with contextlib.suppress(asking.Silent):
            await self._let_go(frozenset())

    async def _mend(self, mounts: Iterable[Mounted]) -> None:
        by_name: dict[str, list[Mounted]] = {}
        for mount in mounts:
            by_name.setdefault(mount.spec.name, []).append(mount)
        wanted = {name: found for name, found in by_name.items() if asked(found[-1].spec)}
        without = asking.no_systemd() if wanted else None
        try:
            for found in wanted.values():
                spec, pids = found[-1].spec, [pid for mount in found for pid in mount.engines.pids]
                if without is None:
                    await self._see_to(spec, pids)
                else:
                    self._note(spec, f"{', '.join(asked(spec))}: {without}")
            await self._let_go({own_slice(found[-1].spec) for found in wanted.values()})
        except asking.Silent:
            return  # nor would it answer what else there is to ask
        for name in (self._trouble.keys() | self._memory.keys()) - wanted.keys():
            self._trouble.pop(name, None)
            self._memory.pop(name, None)

    async def _see_to(self, spec: MountSpec, pids: Sequence[int]) -> None:
        try:
            self._note(spec, await self._confine(spec, own_slice(spec), pids))
        except asking.Refused as refused:
            self._note(spec, str(refused))
            if isinstance(refused, asking.Silent):
                raise

    def _note(self, spec: MountSpec, reason: str | None) -> None:
        """What of its limits is not in force; None: all are."""
        _, before = self._trouble.get(spec.name, (None, _UNDER_WAY))
        if reason != before:
            if reason is None:
                _log.info("%s: the limits of its slice are in force", spec.name)
            else:
                _log.warning(
                    "%s: it has not the limits that it asks for: %s",
                    spec.name,
                    reason,
                    extra=about(LIMITS_NOT_IN_FORCE),
                )
        self._trouble[spec.name] = _wish(spec), reason

    async def _confine(self, spec: MountSpec, unit: str, pids: Sequence[int]) -> str | None:
        """Have these and what they have forked in the slice, with its limits. Returns what is not in force."""
        if len(scope_in(unit, max(pids, default=0)).encode()) > NAME_BYTES_MAX:
            return "the name of its slice would be too long: give the mount a shorter name, or one with fewer dashes"
        if self._told.get(unit) != (told := limits(spec)):
            await asking.set_limits(unit, told)
            self._told[unit] = told
        for pid in pids:
            outside = [each for each in cgroups.tree(pid) if not cgroups.is_in(cgroups.paths(each), unit)]
            if outside:
                self._version = self._version or await asking.version()
                properties = scope_properties(outside, unit, our_unit(), self._version)
                await asking.start_scope(scope_in(unit, outside[0]), properties)
                await self._moved(outside, spec)
        groups = cgroups.paths(pids[0]) if pids else {}
        if not groups:  # there is no engine now
            return self._trouble.get(spec.name, (None, None))[1]
        self._find(spec.name, groups)
        if not cgroups.is_in(groups, unit):
            return "systemd has not moved its engine there"
        return "; ".join(cgroups.unmet(groups, unit, spec)) or None

    async def _moved(self, pids: Sequence[int], spec: MountSpec) -> None:
        """Wait until they are in the slice, and with version 1 in that of each controller, one after the other."""
        unit, lacking = own_slice(spec), list(cgroups.lacking(spec))

        def is_there(groups: dict[str, PurePosixPath]) -> bool:
            return cgroups.is_in(groups, unit) and list(cgroups.unmet(groups, unit, spec)) == lacking

        with trio.move_on_after(_MOVED_SECONDS_MAX):
            for pid in pids:
                # Of a process that moves between control groups nobody is told.
                while (groups := cgroups.paths(pid)) and not is_there(groups):  # noqa: ASYNC110
                    await trio.sleep(_POLL_SECONDS)

    def _find(self, name: str, groups: dict[str, PurePosixPath]) -> None:
        """Note which slice of the mount of this name a process is in, if in any: that above, too, may be called so."""
        within = [[part for part in path.parts if part.endswith(".slice")] for path in groups.values()]
        for unit in {parts[-1] for parts in within if parts}:
            if is_slice_of(unit, name):
                if (place := cgroups.place_of(groups, unit)) is not None:
                    self._places[unit] = place
                    self._told.setdefault(unit, ())
                if (memory := cgroups.group_of(groups, unit, "memory")) is not None:
                    self._memory[name] = memory

    async def _let_go(self, wanted: Iterable[str]) -> None:
        """Of slices that nobody wants any more, stop those that are empty, and take the limits from the others."""
        unwanted = self._told.keys() - set(wanted)
        empty = [unit for unit in unwanted if unit not in self._places or cgroups.is_empty(self._places[unit])]
        try:
            if empty:
                await asking.stop(empty)
            for unit in empty:
                self._told.pop(unit)
                self._places.pop(unit, None)
            for unit in unwanted - set(empty):
                if self._told[unit] != NO_LIMITS:
                    await asking.set_limits(unit, NO_LIMITS)
                    self._told[unit] = NO_LIMITS
        except asking.Silent:
            raise
        except asking.Refused as refused:
            _log.debug("slices that are not needed any more stay: %s", refused)


def _wish(spec: MountSpec) -> _Wish:
    return own_slice(spec), limits(spec)
