"""Carries out what a configuration means for the mounts that run: each change by its class. Called by supervisor.py.

Never decides what is to be changed (config/diff.py), and touches no mount that is not in what it is given.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Protocol

import trio

from engine.spec import MountSpec
from mountctl.config.classes import ChangeClass
from mountctl.config.diff import Change, diff
from mountctl.errors import MountctlError
from mountctl.supervisor.handover import HandoverFailed
from mountctl.supervisor.mount import Mount
from mountctl.supervisor.results import CHANGED_LIVE, HANDED_OVER, MOVED, REPLACED, WELL, trouble
from mountctl.supervisor.session import SessionError
from mountctl.supervisor.state import SERVED

# How many mounts are changed at once: each has two engines meanwhile, and two cores start about that many a second.
AT_ONCE: Final = 16

_log = logging.getLogger(__name__)


class Host(Protocol):
    """The supervisor, as far as changes of its mounts concern it."""

    mounts: dict[str, Mount]

    async def start(self, specs: list[MountSpec]) -> None:
        """Start mounts and wait a bounded while until it is known how each is."""
        ...

    async def replace(self, name: str, spec: MountSpec) -> str | None:
        """Have another session take a mount's place once it can be used. Returns why it could not be had."""
        ...

    async def remove(self, name: str) -> None:
        """Unmount one; returns when all is gone."""
        ...


async def apply(changes: Mapping[str, Change], host: Host) -> dict[str, str]:
    """Make it so. Returns what came of each mount, in a word or a sentence."""
    results: dict[str, str] = {}
    anew: list[Change] = []  # those to be mounted when what must go is gone
    limit = trio.CapacityLimiter(AT_ONCE)

    async def do(step: Callable[[Change, Host], Awaitable[str]], change: Change) -> None:
        async with limit:
            try:
                results[change.name] = await step(change, host)
            except Exception:  # noqa: BLE001 - one mount's trouble, even a bug of ours, is no other mount's
                _log.exception("%s: internal error; it may be as it was", change.name)
                results[change.name] = "not changed: internal error; the supervisor's log has it"

    # What goes may be where another is to be, so it goes first.
    in_place: list[tuple[Callable[[Change, Host], Awaitable[str]], Change]] = []
    async with trio.open_nursery() as nursery:
        for change in changes.values():
            if change.kind is ChangeClass.NOTHING:
                results[change.name] = "unchanged"
            elif change.kind is ChangeClass.REMOVE:
                nursery.start_soon(do, _remove, change)
            elif change.kind is ChangeClass.ADD:
                anew.append(change)
            elif change.kind is ChangeClass.LIVE:
                in_place.append((_change_live, change))
            elif change.blocked or host.mounts[change.name].state not in SERVED:
                anew.append(change)
                nursery.start_soon(do, _remove, change)
            else:
                in_place.append((_IN_PLACE[change.kind], change))
    async with trio.open_nursery() as nursery:
        for step, change in in_place:
            nursery.start_soon(do, step, change)
    await host.start([change.wanted for change in anew])
    for change in anew:
        results[change.name] = _became(change, host)
    return dict(sorted(results.items()))


class WentBack(MountctlError):
    """Not all mounts could be changed, so none is. `results` tells what came of each, tries and ways back."""

    def __init__(self, troubled: str, results: Mapping[str, str]) -> None:
        super().__init__(f"all went back to what it was, because of {troubled}")
        self.results: Final = dict(results)


async def apply_all_or_none(changes: Mapping[str, Change], host: Host) -> dict[str, str]:
    """The same, but where one mount can't be changed, those that were are changed back.

    What programs would notice most comes last, when all else has gone well: mounts that go, and those that need their
    places. Raises WentBack.
    """
    places = [change.before for change in changes.values() if change.before is not None]
    last = {name: change for name, change in changes.items() if change.needs_room(places)}
    results: dict[str, str] = {}
    for part in ({name: change for name, change in changes.items() if name not in last}, last):
        results |= await apply(part, host)
        if troubled := sorted(f"{name} ({result})" for name, result in results.items() if result not in WELL):
            back = diff(
                {name: host.mounts[name].spec for name in results if name in host.mounts},
                {name: before for name in results if (before := changes[name].before) is not None},
            )
            undone = {name: change for name, change in back.items() if change.kind is not ChangeClass.NOTHING}
            _log.error("going back to what was before: %s", "; ".join(troubled))
            for name, result in (await apply(undone, host)).items():
                results[name] = f"{results[name]}, went back: {result}"
            for name in changes.keys() - results.keys():
                results[name] = "unchanged"
            raise WentBack("; ".join(troubled), dict(sorted(results.items())))
    return dict(sorted(results.items()))


async def hand_over(mount: Mount, spec: MountSpec) -> str:
    """Have another engine serve a mount. Returns what came of it, in a word or a sentence."""
    try:
        await mount.hand_over(spec)
    except HandoverFailed as error:
        _log.error("%s: %s", mount.spec.name, error)
        return f"not handed over: {error}"
    return HANDED_OVER


async def _change_live(change: Change, host: Host) -> str:
    await host.mounts[change.name].change_live(change.wanted)
    return CHANGED_LIVE


async def _hand_over(change: Change, host: Host) -> str:
    return await hand_over(host.mounts[change.name], change.wanted)


async def _move(change: Change, host: Host) -> str:
    try:
        await host.mounts[change.name].move(change.wanted)
    except (SessionError, OSError) as error:
        _log.error("%s: not moved: %s", change.name, error)
        return f"not moved: {error}"
    return MOVED


async def _replace(change: Change, host: Host) -> str:
    if (reason := await host.replace(change.name, change.wanted)) is None:
        return REPLACED
    _log.error("%s: not replaced: %s", change.name, reason)
    return f"not replaced: {reason}"


_IN_PLACE: Final = {ChangeClass.HANDOVER: _hand_over, ChangeClass.MOVE: _move, ChangeClass.REPLACE: _replace}


async def _remove(change: Change, host: Host) -> str:
    await host.remove(change.name)
    return "removed"


def _became(change: Change, host: Host) -> str:
    mount = host.mounts.get(change.name)
    if mount is None:
        return "unmounted by somebody else"
    return ("added" if change.kind is ChangeClass.ADD else "restarted") + trouble(mount)
