"""The engines of one mount on its session, one after the other: forked, talked with, handed over, ended.

Owned by mount.py, which decides whether there is to be another engine, and what the mount is meanwhile. Here is how
one comes to serve, and how one gives way to the next without a program noticing.
"""

import contextlib
import logging
import os
from collections.abc import AsyncIterator
from typing import Final

import trio

from engine.counted import Stats
from engine.facts import about
from engine.link import ForkEngine, HandedOver, Heartbeat, Message, Prepared, Ready, RefreshAccess
from engine.logged import Logged
from engine.message_ids import NOT_UNDERSTOOD
from engine.spec import MountSpec
from engine.uploads import UploadsTold
from mountctl.supervisor import endings, handover, inflight, telling
from mountctl.supervisor.access import Word, later
from mountctl.supervisor.bequest import Bequest
from mountctl.supervisor.endings import Ending, Gone
from mountctl.supervisor.engine import Engine, Hearer
from mountctl.supervisor.handover import Handover, HandoverFailed
from mountctl.supervisor.host import Host
from mountctl.supervisor.keeping import Keeping
from mountctl.supervisor.process import Exit
from mountctl.supervisor.services import Services
from mountctl.supervisor.session import Session
from mountctl.supervisor.tally import Tally
from mountctl.supervisor.watch import Watch

# An engine that has closed its link, or sees ours closed, ends at once; one that does not is stuck.
EXIT_TIMEOUT_SECONDS: Final = 1.0

_log = logging.getLogger(__name__)


class Engines:
    """All engines of one mount.

    Args:
        host: the mount.
        uid: the user and group that they become.
        services: the supervisor's.
        keeping: what a supervisor after this one finds of them.
        adopted: the one that serves already; owned.
        region: where one found the bucket to be.
    """

    def __init__(
        self,
        host: Host,
        uid: int,
        services: Services,
        keeping: Keeping,
        *,
        adopted: Engine | None = None,
        region: str = "",
    ) -> None:
        self.current = adopted
        self.handovers = 0
        self.last_exit: str | None = None
        self.served_before: tuple[str, ...] = ()  # what an engine that died was serving, by the word of the next one
        self._host: Final = host
        self._uid: Final = uid
        self._zygote: Final = services.zygote
        self._access: Final = services.access
        self._keeping: Final = keeping
        self._leftovers: Final = services.leftovers
        self._events: Final = services.events
        self._logs: Final = services.logs
        self._slices: Final = services.slices
        services.logs.of(host.spec.name)  # so that the supervisor's own lines of it are heard from now on
        self._region = region
        self._tally: Final = Tally()
        self._ready_at: float | None = None  # when the current one began to serve
        self._known: Word | None = None  # of its access, with its options: another may have its name
        self._handing_over: Final = trio.Semaphore(1)  # not a Lock: who prepares a handover may not be who ends it
        self._handover: Handover | None = None

    @property
    def stats(self) -> Stats:
        """Counters over all of them."""
        return self._tally.total

    @property
    def pids(self) -> list[int]:
        """The processes of those that live, the one that serves first."""
        prepared = None if self._handover is None else self._handover.successor
        each = (self.current, prepared if prepared is not self.current else None)
        return [engine.pid for engine in each if engine is not None and engine.pid and not engine.ended]

    @property
    def counted_by_current(self) -> Stats:
        """The current one's alone, as it told last."""
        return self._tally.now

    async def serve(self, session: Session) -> Gone:
        """One engine, and those that it hands over to, from its fork to the last one's end.

        Raises ForkError, OSError: there is none.
        """
        engine, change = self.current or await self._fork(session, self._host.spec), None
        try:
            while True:
                gone = await self._live(engine, session, change)
                if change is not None:
                    change.failed(gone.reason)
                change = self._handover
                if change is None or not change.switching or change.old is not engine or change.successor is None:
                    return gone
                if gone.unanswered and not await inflight.settle(session):
                    await self._end_now(change.successor)
                    return gone
                change.old_is_gone()
                engine = change.successor
        finally:
            if self._handover is not None and self._handover.switching:
                self._handover.failed("the mount is being unmounted")

    @contextlib.asynccontextmanager
    async def between_handovers(self) -> AsyncIterator[None]:
        """Within this no engine hands over, and the mount's options are nobody else's to change."""
        async with self._handing_over:
            yield

    async def prepare(self, session: Session, spec: MountSpec | None = None) -> Handover:
        """Have an engine ready to serve the same session, perhaps with other options, beside the one that serves.

        To be followed by `release` in any case; until then no other handover begins. Raises HandoverFailed.
        """
        await self._handing_over.acquire()
        if (engine := self.current) is None:
            self._handing_over.release()
            raise HandoverFailed("there is no engine just now to hand it over")
        spec = spec or self._host.spec
        change = self._handover = Handover(engine, spec, self._end_now, resends=session.has_resend)
        try:
            if spec != self._host.spec:
                self._access.watch(spec, self.pass_on)
            await change.prepare(lambda: self._fork(session, spec, beside=True), self._greet, self._hear_from_successor)
        except BaseException:
            await self.release(change)
            raise
        return change

    async def switch(self, change: Handover) -> None:
        """Have the engine that is prepared serve; programs notice nothing.

        Raises HandoverFailed; then the mount is served as before, or is on its way to that.
        """
        if self.current is not change.old:
            raise HandoverFailed("its engine ended by itself meanwhile")
        with trio.CancelScope(shield=True):  # half way nobody serves; `serve` ends it, whatever happens
            await change.switch()

    async def release(self, change: Handover) -> None:
        """It is over, or will not be needed. Not cancelled."""
        with trio.CancelScope(shield=True):
            await change.call_off()
            self._handover = None  # not before: what the broker says meanwhile is the successor's
            if change.spec != self._host.spec and self._access.watches(change.spec.name):
                self._access.watch(self._host.spec, self.pass_on)
        self._handing_over.release()

    def change_live(self, spec: MountSpec) -> None:
        """Have the current one take what of these options it takes while it serves."""
        if self.current is not None:
            self.current.change_live(spec, self._logs.form)

    def pass_on(self, message: Word) -> None:
        """What the broker says, to whom it concerns."""
        change = self._handover
        if change is not None and change.spec != self._host.spec:  # the successor's alone, even before there is one
            change.access = later(message, change.access)
            if change.successor is not None:
                change.successor.post(message)
            return
        self._known = later(message, self._known)
        if change is not None and not change.switching and change.successor is not None:
            change.successor.post(message)
        if self.current is not None:
            self.current.post(message)

    async def end_all(self, session: Session | None, grace_seconds: float, *, goes_on: bool = False) -> None:
        """End those that are there. To be called when `serve` was cancelled, or has returned.

        Args:
            session: the one that they serve.
            grace_seconds: what the current one gets to end by itself.
            goes_on: another supervisor's engine goes on with the session, and with files that are being written.
        """

        async def hear(message: Message, fds: list[int]) -> None:
            if isinstance(message, HandedOver) and session is not None and self.current is not None:
                self._left(self.current, session, fds)
                return
            for fd in fds:
                os.close(fd)
            if isinstance(message, Logged):
                self._logged(message)
            elif isinstance(message, UploadsTold) and session is not None:
                self._leftovers.heard(session, message)

        if (successor := self._successor()) is not None:
            await self._end_now(successor)
        if self.current is not None:
            if goes_on and session is not None and session.attached:
                self.current.tell_to_hand_over(handover.grace_seconds(resends=session.has_resend))
                grace_seconds = handover.seconds_max(resends=session.has_resend)
            else:
                self.current.tell_to_stop()
            self.last_exit = str(await self._end(self.current, grace_seconds, hear))
            self.current = None

    def leave(self) -> list[int]:
        """Let go of those that are there, which go on for the next supervisor; returns their processes.

        To be called when `serve` was cancelled.
        """
        left = [engine for engine in (self.current, self._successor()) if engine is not None]
        for engine in left:
            engine.leave()
        self.current = None
        return [engine.pid for engine in left]

    def _successor(self) -> Engine | None:
        """One that is to serve, and does not yet."""
        change = self._handover
        if change is None or not change.switching or change.successor is self.current:
            return None
        return change.successor

    def _toll(self) -> endings.Toll:
        return endings.Toll(endings.oom_kills(), self._slices.times_full(self._host.spec.name))

    async def _end(self, engine: Engine, grace_seconds: float, hear: Hearer | None = None) -> Exit:
        end = await engine.end(grace_seconds, hear)
        self._keeping.engine_is_gone(engine)
        return end

    async def _end_now(self, engine: Engine) -> Exit:
        return await self._end(engine, 0.0)

    async def _live(self, engine: Engine, session: Session, change: Handover | None) -> Gone:
        """One engine's life, to its end. One that was not handed the session properly changes nothing of the mount."""
        before, toll = (self._host.spec, self._known), self._toll()
        self.current, self._ready_at = engine, None
        if change is not None and change.spec != self._host.spec:
            self._host.spec, self._known = change.spec, change.access
        try:
            await self._converse(engine, session, change)
        finally:
            self._tally.is_gone()
        # Cancelled in between: the mount ends the current one.
        if self._ready_at is None and before[0] != self._host.spec:
            self._host.spec, self._known = before
        known, served = engine.ending, 0.0 if self._ready_at is None else trio.current_time() - self._ready_at
        engine.tell_to_stop()  # if it is still there: nobody can use what it serves
        end = await self._end(engine, EXIT_TIMEOUT_SECONDS)
        memory = self._toll().since(toll)
        self.current, self.last_exit = None, endings.told(end, engine.killed_for, memory)
        if self._ready_at is not None:  # of one that never served, the mount's state says what there is to say
            telling.engine(self._events, self._host.spec.name, f"engine {engine.pid} {self.last_exit}")
        # Without a connection no engine can do anything but end.
        lost = not session.connected()
        ending = Ending.OUTSIDE if lost else endings.of(end, known, memory)
        session.next_generation()
        reason = engine.reason or f"the engine {self.last_exit}"
        return Gone(reason, ending, served, unanswered=end.code != 0, stuck=end.stuck, cause=engine.cause)

    async def _fork(self, session: Session, spec: MountSpec, *, beside: bool = False) -> Engine:
        """A new engine on this session, or `beside` the one that serves it. Raises ForkError."""
        session.uid, session.transient, session.region = self._uid, self._host.transient, self._region
        if beside:
            session.next_generation()
        else:
            session.write_record()
        order = ForkEngine(
            spec=spec,
            uid=self._uid,
            gid=self._uid,
            init_request=session.init_request.hex(),
            generation=session.generation,
            attached=session.attached or self._host.in_use,
            region=self._region,
            resend=session.generation > 0 and session.has_resend,
            waits=beside or self._host.settling.waits,
            bequeathed=bool(session.bequest.fds) and not beside,
            log_form=self._logs.form,
            log_level=self._logs.levels.of(spec),
        )
        process = await self._zygote.fork_engine(order, session.fuse_fd, session.journal_fd)
        self._slices.look()
        engine = Engine(process, spec, generation=session.generation)
        if session.attached:
            self._keeping.engine(engine)  # before it is sent anything: see adoption.py
        return engine

    def _greet(self, engine: Engine) -> None:
        """Post what every engine must have."""
        change = self._handover
        others = change is not None and change.successor is engine and change.spec != self._host.spec
        known = change.access if change is not None and others else self._known
        engine.reopen_log()
        if engine.adopted:
            engine.greet_adopted(self._logs.levels.of(self._host.spec), self._logs.form)
        if known is not None:
            engine.post(known)

    async def _converse(self, engine: Engine, session: Session, change: Handover | None) -> None:
        """Talk with an engine until it is gone. It has its own reason then, if it gave one."""
        self._greet(engine)
        # An adopted one may wait for it still: whoever was to hand it over is gone, supervisor and engine.
        if change is not None or engine.adopted or session.bequest.fds:
            engine.tell_to_take_over(session.bequest.fds, resend=session.has_resend)

        watch = Watch(engine, session)

        async def hear(message: Message, fds: list[int]) -> None:
            match message:
                case Prepared():
                    watch.prepared()
                    self._host.settling.engine_is_prepared(engine)
                case Ready():
                    watch.ready()
                    await self._ready(engine, message, session, change)
                case Heartbeat():
                    watch.heard(message)
                    if message.serving and self._ready_at is None:  # Ready was for the supervisor before this one
                        watch.ready()
                        self._ready_at = trio.current_time()
                        self._keeping.bequest_is_taken(session)
                        self._host.engine_is_adopted(engine)
                    self._tally.heard(message.stats)
                    self._host.engine_beats(message)
                case RefreshAccess():
                    self._access.refresh(self._host.spec.name)
                case Logged():
                    self._logged(message)
                case UploadsTold():
                    self._leftovers.heard(session, message, engine.post)
                case HandedOver():
                    self._left(engine, session, fds)
                case _:
                    for fd in fds:
                        os.close(fd)
                    _log.warning(
                        "%s: unexpected message from the engine: %s",
                        self._host.spec.name,
                        message.type,
                        extra=about(NOT_UNDERSTOOD),
                    )

        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch.run)
            await engine.converse(hear)
            nursery.cancel_scope.cancel()

    async def _ready(self, engine: Engine, message: Ready, session: Session, change: Handover | None) -> None:
        self._ready_at = trio.current_time()
        self._region, engine.version = message.region, message.version or None
        session.region = self._region
        self._keeping.bequest_is_taken(session)
        self.served_before = message.served_before
        if change is None and message.served_before and self.last_exit is not None:
            self.last_exit += f", while it served {', '.join(message.served_before)}"
        if change is not None:
            self.handovers += 1
            session.served_as(change.spec)
            change.succeeded()
        await self._host.engine_is_ready(engine, session, planned=change is not None)

    def _left(self, engine: Engine, session: Session, fds: list[int]) -> None:
        """An engine has handed over, with these."""
        self._keeping.bequest_is_taken(session)  # there is none by now, unless it was lost who took it
        session.bequest = Bequest(engine.generation, tuple(fds))
        self._keeping.bequest(session)

    def _hear_from_successor(self, message: Message) -> None:
        if isinstance(message, RefreshAccess):
            self._access.refresh(self._host.spec.name)
        elif isinstance(message, Logged):
            self._logged(message)

    def _logged(self, message: Logged) -> None:
        self._logs.of(self._host.spec.name).add(message.line)
