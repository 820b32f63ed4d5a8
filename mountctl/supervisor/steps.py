"""How one mount is changed, by the class of the change: what is asked before anything is touched, and what is done.

Made and called by applying.py, which has all mounts asked before the first is touched. Each step's engine, if it needs
another, is the one that S3 has answered: nothing is asked twice.
"""

import logging
from collections.abc import Iterable
from typing import ClassVar, Final, Protocol

import trio

from engine.facts import about
from engine.message_ids import CHANGE_FAILED
from engine.spec import MountSpec
from mountctl.config.classes import PLACE, ChangeClass
from mountctl.config.diff import Change, overlapping
from mountctl.errors import MountctlError
from mountctl.supervisor import placing
from mountctl.supervisor.handover import Handover, HandoverFailed
from mountctl.supervisor.mount import Mount
from mountctl.supervisor.results import CHANGED_LIVE, HANDED_OVER, MOVED, REPLACED, trouble
from mountctl.supervisor.session import SessionError
from mountctl.supervisor.state import SERVED

# How long a mount that is new is waited for, until it is said how far it is.
SETTLE_SECONDS: Final = 15.0
# How long for one that takes the place of another, which is not touched before: longer than an engine may take to
# start (watch.START_TIMEOUT_SECONDS).
READY_SECONDS_MAX: Final = 60.0
# How long a mount that is to go waits for files that are being written, as `mountctl stop` does.
WRITTEN_SECONDS_MAX: Final = 30.0
# How long an engine that comes after one that died is waited for, which is there in a fraction of it; one that can't be
# had (keys that nobody gives) may need just this change.
RECOVER_SECONDS_MAX: Final = 5.0

_log = logging.getLogger(__name__)


class Host(Protocol):
    """The supervisor, as far as changes of its mounts concern it."""

    mounts: dict[str, Mount]

    def stage(self, spec: MountSpec, *, beside: bool, instead_of: Mount | None = None) -> Mount:
        """Start a mount that asks S3 and then waits for `begin`; `beside` the one of its name, or as that."""
        ...

    def put_in_place(self, mount: Mount, *, drained: Mount | None = None) -> None:
        """One that was beside is its name's mount now; `drained` goes on for those who have files open on it."""
        ...

    async def remove(self, mount: Mount) -> None:
        """Unmount one, wherever it is, and forget it; returns when all is gone."""
        ...


class Refused(MountctlError):
    """A change can't be had, and has not begun; the message says why."""


class Step:
    """One change. Its parts are called in this order, and `call_off` in any case."""

    # How it is told that there was no change.
    failure: ClassVar[str]
    # Otherwise it begins in any case, and is tried again and again by its mount.
    must_be_prepared: ClassVar[bool] = True
    # It comes when all that is served has been changed.
    is_new: ClassVar[bool] = False

    def __init__(self, change: Change, host: Host) -> None:
        self.change: Final = change
        self.name: Final = change.name
        self.host: Final = host

    async def prepare(self) -> None:
        """Find out whether it can be had; no program notices. Raises Refused."""

    async def make_room(self) -> None:
        """Take away what is where others may be wanted."""

    async def carry_out(self) -> str:
        """Do it. Returns what came of it, in a word or a sentence."""
        raise NotImplementedError

    async def call_off(self) -> None:
        """Clear away what was prepared and not carried out."""

    def is_in_the_way(self, wanted: Iterable[MountSpec]) -> bool:
        """Whether it takes away what is where one of these is to be, or within, or around."""
        gone = self.change.before if self.change.after is None else None
        return gone is not None and any(overlapping(gone, each) for each in wanted)

    def failed(self, reason: object) -> str:
        """What came of it, if it has not been done."""
        return f"{self.failure}: {reason}"

    async def check_place(self) -> None:
        """Whether a mount can be where this one is wanted. Raises Refused.

        Where a mount of the configuration is, nobody is asked: it may be about to go.
        """
        places = [mount.spec for mount in self.host.mounts.values() if mount.session and not mount.transient]
        if any(overlapping(self.change.wanted, place) for place in places):
            return
        try:
            await placing.check(self.change.wanted.mountpoint)
        except (SessionError, OSError) as error:
            raise Refused(str(error)) from error

    def check_reach(self) -> None:
        """Whether it can be unmounted, without taking somebody else's mount away. Raises Refused."""
        mount = self.host.mounts.get(self.name)
        if mount is not None and mount.session is not None and (over := mount.session.covered()) is not None:
            raise Refused(f"{over}: unmount that first")


class Live(Step):
    """Its engine takes it while it serves."""

    failure = "not changed"

    async def carry_out(self) -> str:
        """By a message."""
        await self.host.mounts[self.name].change_live(self.change.wanted)
        return CHANGED_LIVE


class HandOver(Step):
    """Another engine serves its session."""

    failure = "not handed over"
    _prepared: tuple[Mount, Handover] | None = None

    async def prepare(self) -> None:
        """A successor comes up beside its engine."""
        mount = self.host.mounts[self.name]
        try:
            self._prepared = mount, await mount.prepare_handover(self.change.wanted)
        except HandoverFailed as error:
            raise Refused(str(error)) from error

    async def carry_out(self) -> str:
        """The successor takes the session."""
        assert self._prepared is not None, "it was prepared"
        mount, change = self._prepared
        try:
            await mount.engines.switch(change)
        except HandoverFailed as error:
            return self.failed(error)
        return HANDED_OVER

    async def call_off(self) -> None:
        """Also when it was carried out: another handover may begin."""
        if self._prepared is not None:
            (mount, change), self._prepared = self._prepared, None
            await mount.engines.release(change)


class Move(Step):
    """It is at another place."""

    failure = "not moved"

    async def prepare(self) -> None:
        """The places are looked at."""
        self.check_reach()
        await self.check_place()

    async def carry_out(self) -> str:
        """Same engine, files stay open."""
        try:
            await self.host.mounts[self.name].move(self.change.wanted)
        except (SessionError, OSError) as error:
            return self.failed(error)
        return MOVED


class _Staged(Step):
    """Another mount, which is prepared beside what there is."""

    _staged: Mount | None = None
    _patience_seconds: ClassVar[float] = READY_SECONDS_MAX

    async def _stage(self, *, beside: bool, instead_of: Mount | None = None) -> None:
        new = self._staged = self.host.stage(self.change.wanted, beside=beside, instead_of=instead_of)
        with trio.move_on_after(self._patience_seconds):
            await new.settling.wait()
        if not new.settling.prepared:
            raise Refused(new.reason or f"it did not come up within {self._patience_seconds:.0f} s")

    async def _begin(self) -> Mount:
        """Have it mounted; returns it when it is known how it is, or after a while."""
        new, self._staged = self._staged, None
        assert new is not None, "it was prepared"
        new.settling.begin()
        with trio.move_on_after(self._patience_seconds):
            await new.settling.wait()
        return new

    async def call_off(self) -> None:
        """It was not begun."""
        if self._staged is not None:
            new, self._staged = self._staged, None
            await self.host.remove(new)
            if (old := self.host.mounts.get(self.name)) is not None:
                old.watch_access()  # its keys went to the other


class Replace(_Staged):
    """Another session takes its place."""

    failure = "not replaced"

    async def prepare(self) -> None:
        """The other one comes up beside it."""
        self.check_reach()
        if PLACE in self.change.keys:
            await self.check_place()
        await self._stage(beside=True, instead_of=self.host.mounts[self.name])

    async def carry_out(self) -> str:
        """The other one is attached, and the old one detached."""
        old = self.host.mounts[self.name]
        new = await self._begin()
        if not old.given_way:
            self._staged = new
            return self.failed(new.reason or f"it did not come up within {READY_SECONDS_MAX:.0f} s")
        self.host.put_in_place(new, drained=old)
        told = trouble(new)
        return self.failed(told) if told else REPLACED


class Add(_Staged):
    """It is new."""

    failure = "not added"
    must_be_prepared = False
    is_new = True
    _patience_seconds = SETTLE_SECONDS

    async def prepare(self) -> None:
        """It comes up, and is mounted nowhere yet."""
        try:
            await self.check_place()
        except Refused:
            self._staged = self.host.stage(self.change.wanted, beside=False)
            raise
        await self._stage(beside=False)

    async def carry_out(self) -> str:
        """It is mounted, or tried again and again."""
        new = await self._begin()
        return "unmounted by somebody else" if new.unmounted else "added" + trouble(new)


class Anew(_Staged):
    """It goes first, and is mounted anew: what it is to be can't be had while it is there, or it is not served."""

    failure = "not restarted"
    is_new = True
    _writing = 0

    async def prepare(self) -> None:
        """The other one comes up, mounted nowhere yet."""
        self.check_reach()
        try:
            await self.check_place()
            await self._stage(beside=True)
        except Refused:
            if (old := self.host.mounts.get(self.name)) is not None and old.state in SERVED:
                raise
            self._staged = self._staged or self.host.stage(self.change.wanted, beside=True)

    async def make_room(self) -> None:
        """The old one goes."""
        if (old := self.host.mounts.get(self.name)) is not None:
            self._writing = await written(old, WRITTEN_SECONDS_MAX)
            await self.host.remove(old)
        assert self._staged is not None, "it was prepared"
        self.host.put_in_place(self._staged)
        self._staged.watch_access()  # the old one has taken the name along

    async def carry_out(self) -> str:
        """The other one is mounted."""
        new = await self._begin()
        return "unmounted by somebody else" if new.unmounted else f"restarted{_while(self._writing)}{trouble(new)}"


class Remove(Step):
    """It goes."""

    failure = "not removed"
    _result: str | None = None

    async def prepare(self) -> None:
        """Nobody is asked."""
        self.check_reach()

    async def make_room(self) -> None:
        """It may be where another is to be."""
        self._result = "removed"
        if (mount := self.host.mounts.get(self.name)) is not None:
            self._result += _while(await written(mount, WRITTEN_SECONDS_MAX))
            await self.host.remove(mount)
            if mount.left_behind is not None:
                self._result += f", but its mount is left: {mount.left_behind}"

    async def carry_out(self) -> str:
        """If it is still there."""
        if self._result is None:
            await self.make_room()
        return self._result or ""


_CLASSES: Final[dict[ChangeClass, type[Step]]] = {
    ChangeClass.ADD: Add,
    ChangeClass.REMOVE: Remove,
    ChangeClass.LIVE: Live,
    ChangeClass.HANDOVER: HandOver,
    ChangeClass.MOVE: Move,
    ChangeClass.REPLACE: Replace,
}


def step_of(change: Change, host: Host) -> Step:
    """What is to be done, for a change that is one."""
    kind = _CLASSES[change.kind]
    lives = change.kind not in (ChangeClass.ADD, ChangeClass.REMOVE, ChangeClass.LIVE)
    mount = host.mounts.get(change.name)
    if lives and (change.blocked or mount is None or mount.state not in SERVED):
        kind = Anew
    return kind(change, host)


async def recovered(mounts: Iterable[Mount]) -> None:
    """Wait for those of which the engine has just died: programs have them, and they are not to go for that."""
    with trio.move_on_after(RECOVER_SECONDS_MAX):
        for mount in mounts:
            await mount.changes.until(lambda: not mount.in_use)  # noqa: B023 - it is over before the next


async def written(mount: Mount, seconds: float) -> int:
    """Wait until no file of a mount is being written, for so long at most. Returns how many still are."""
    with trio.move_on_after(seconds):
        await mount.changes.until(lambda: not mount.stats.uploads)
    return mount.stats.uploads


def _while(writing: int) -> str:
    return f", while {writing} files were being written" if writing else ""


async def hand_over(mount: Mount, spec: MountSpec | None = None) -> None:
    """Have another engine serve a mount, perhaps with other options; programs notice nothing.

    Raises HandoverFailed; then the mount is served as before, or is on its way to that.
    """
    change = await mount.prepare_handover(spec)
    try:
        await mount.engines.switch(change)
    finally:
        await mount.engines.release(change)


async def told_of_handover(mount: Mount) -> str:
    """The same, with the same options. Returns what came of it, in a word or a sentence."""
    try:
        await hand_over(mount)
    except HandoverFailed as error:
        _log.error("%s: %s", mount.spec.name, error, extra=about(CHANGE_FAILED))
        return f"{HandOver.failure}: {error}"
    return HANDED_OVER
