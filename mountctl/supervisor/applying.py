"""Carries out what a configuration means for the mounts that run: each change by its class. Called by supervisor.py.

First all mounts that are new or changed are asked whether they can be had (steps.py); nothing is touched before all
have answered. Never decides what is to be changed (config/diff.py), and touches no mount that is not in what it is
given.
"""

import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import Final

import trio

from engine.facts import about
from engine.message_ids import CHANGE_FAILED
from mountctl.config.classes import ChangeClass
from mountctl.config.diff import Change, diff, overlapping
from mountctl.errors import MountctlError
from mountctl.supervisor.results import UNCHANGED, WELL
from mountctl.supervisor.steps import Anew, Host, Refused, Remove, Step, recovered, step_of

# How many mounts are asked at once. A server that does not answer takes five seconds of each (engine/preflight.py), and
# two cores start so many engines in two.
ASKED_AT_ONCE: Final = 64
# How many are changed at once: each has two engines that do something then.
AT_ONCE: Final = 16

_BUG: Final = "internal error; the supervisor's log has it"

_log = logging.getLogger(__name__)


class WentBack(MountctlError):
    """Not all mounts could be changed, so none is. `results` tells what came of each, tries and ways back."""

    def __init__(self, done: str, troubled: Mapping[str, str], results: Mapping[str, str]) -> None:
        because = "; ".join(f"{name} ({result})" for name, result in sorted(troubled.items()))
        super().__init__(f"{done}, because of {because}")
        self.results: Final = dict(sorted(results.items()))


async def apply(changes: Mapping[str, Change], host: Host) -> dict[str, str]:
    """Make it so, but for what can't be had. Returns what came of each mount, in a word or a sentence."""
    async with _asked(changes, host) as asked:
        steps, refused = asked
        results = _refusals(steps, refused, all_steps=False)
        results |= await _carry_out([step for step in steps if step.name not in results])
    return dict(sorted((_unchanged(changes) | results).items()))


async def apply_all_or_none(changes: Mapping[str, Change], host: Host) -> dict[str, str]:
    """The same, but where one mount can't be had, nothing is touched; where one then can't be changed all the same,
    those that were are changed back.

    What programs would notice most comes last, when all else has gone well: mounts that go, and those that need their
    places. Raises WentBack.
    """
    results = _unchanged(changes)
    async with _asked(changes, host) as asked:
        steps, refused = asked
        if refusals := _refusals(steps, refused, all_steps=True):
            raise WentBack("nothing was changed", refusals, dict.fromkeys(changes, UNCHANGED) | refusals)
        places = [change.before for change in changes.values() if change.before is not None]
        last = {step.name for step in steps if step.change.needs_room(places)}
        for part in (
            [step for step in steps if step.name not in last],
            [step for step in steps if step.name in last],
        ):
            results |= await _carry_out(part)
            if troubled := {name: result for name, result in results.items() if result not in WELL}:
                break
    if troubled:
        raise WentBack("all went back to what it was", troubled, await _go_back(changes, results, host))
    return dict(sorted(results.items()))


async def _go_back(changes: Mapping[str, Change], results: Mapping[str, str], host: Host) -> dict[str, str]:
    """Change back what was changed. Returns what came of each."""
    befores = {name: before for name in results if (before := changes[name].before) is not None}
    back = diff({name: host.mounts[name].spec for name in results if name in host.mounts}, befores)
    _log.error("not all could be changed: going back to what was before", extra=about(CHANGE_FAILED))
    undone = await apply({name: each for name, each in back.items() if each.kind is not ChangeClass.NOTHING}, host)
    ways_back = {name: f"{results[name]}, went back: {result}" for name, result in undone.items()}
    return {**dict.fromkeys(changes, UNCHANGED), **results, **ways_back}


def _unchanged(changes: Mapping[str, Change]) -> dict[str, str]:
    return {name: UNCHANGED for name, change in changes.items() if change.kind is ChangeClass.NOTHING}


@contextlib.asynccontextmanager
async def _asked(changes: Mapping[str, Change], host: Host) -> AsyncIterator[tuple[list[Step], dict[str, str]]]:
    """The steps, each prepared as far as it can be, and why some are refused. At the end what was not done is cleared
    away.
    """
    wanted = [change for change in changes.values() if change.kind is not ChangeClass.NOTHING]
    await recovered([host.mounts[change.name] for change in wanted if change.name in host.mounts])
    steps = [step_of(change, host) for change in wanted]
    refused: dict[str, str] = {}

    async def ask(step: Step) -> None:
        try:
            await step.prepare()
        except Refused as refusal:
            refused[step.name] = str(refusal)
        except Exception:  # noqa: BLE001 - one mount's trouble, even a bug of ours, is no other mount's
            _log.exception("%s: internal error", step.name)
            refused[step.name] = _BUG

    try:
        await _each(steps, ask, ASKED_AT_ONCE)
        yield steps, refused
    finally:
        with trio.CancelScope(shield=True):
            await _each(steps, lambda step: step.call_off(), ASKED_AT_ONCE)


def _refusals(steps: Iterable[Step], refused: Mapping[str, str], *, all_steps: bool) -> dict[str, str]:
    """What is told of those that do not begin: refused ones, and those whose place stays another's by that.

    Args:
        steps: all.
        refused: why, by mount.
        all_steps: also those that would begin all the same.
    """
    told = {
        step.name: step.failed(refused[step.name])
        for step in steps
        if step.name in refused and (all_steps or step.must_be_prepared)
    }
    for name, result in told.items():
        _log.error("%s: %s", name, result, extra=about(CHANGE_FAILED))
    staying = [step for step in steps if step.name in told and step.change.before is not None]
    while staying:
        before = staying.pop().change.before
        assert before is not None
        for step in steps:
            if step.is_new and step.name not in told and overlapping(step.change.wanted, before):
                told[step.name] = step.failed(f"{before.name} stays at {before.mountpoint}")
                _log.error("%s: %s", step.name, told[step.name], extra=about(CHANGE_FAILED))
                if step.change.before is not None:
                    staying.append(step)
    return told


async def _carry_out(steps: Iterable[Step]) -> dict[str, str]:
    """What goes may be where another is to be, so it goes first; what is new comes when all else has been changed."""
    results: dict[str, str] = {}

    async def make_room(step: Step) -> None:
        try:
            await step.make_room()
        except Exception:  # noqa: BLE001 - see above
            _log.exception("%s: internal error; it may be as it was", step.name)
            results[step.name] = step.failed(_BUG)

    async def carry_out(step: Step) -> None:
        try:
            results[step.name] = await step.carry_out()
        except Exception:  # noqa: BLE001 - see above
            _log.exception("%s: internal error; it may be as it was", step.name)
            results[step.name] = step.failed(_BUG)
        finally:
            await step.call_off()
        if results[step.name] not in WELL:
            _log.error("%s: %s", step.name, results[step.name], extra=about(CHANGE_FAILED))

    steps = list(steps)
    wanted = [step.change.after for step in steps if step.change.after is not None]
    rooms = [step for step in steps if isinstance(step, Anew) or step.is_in_the_way(wanted)]
    going = [step for step in steps if isinstance(step, Remove) and step not in rooms]
    async with trio.open_nursery() as nursery:
        # Nobody waits for those, which may wait for files that are being written.
        nursery.start_soon(_each, going, carry_out, AT_ONCE)
        await _each(rooms, make_room, AT_ONCE)
        for new in (False, True):
            now = [step for step in steps if step.is_new is new and step not in going and step.name not in results]
            await _each(now, carry_out, AT_ONCE)
    return results


async def _each(steps: Iterable[Step], do: Callable[[Step], Awaitable[None]], at_once: int) -> None:
    limit = trio.CapacityLimiter(at_once)

    async def one(step: Step) -> None:
        async with limit:
            await do(step)

    async with trio.open_nursery() as nursery:
        for step in steps:
            nursery.start_soon(one, step)
