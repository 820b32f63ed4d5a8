"""One mount's supervising task: session, state, tries; from its start until it is unmounted.

Run by supervisor.py, one `Mount.run` a mount. The session is this task's; its engines are engines.py's. What may happen
in which state stands in state.py; this file applies it. Never touches the mountpoint's path while something is mounted.
"""

import contextlib
import logging
import math
import time
from collections.abc import Iterator
from functools import partial
from typing import Final

import trio

from engine.counted import Stats
from engine.link import Access, AccessFailed, Backend, Heartbeat
from engine.spec import MountSpec
from mountctl.supervisor import inflight, placing, telling
from mountctl.supervisor.access import Known
from mountctl.supervisor.backoff import Backoff
from mountctl.supervisor.changes import Changes
from mountctl.supervisor.endings import Ending, Gone
from mountctl.supervisor.engine import STOP_TIMEOUT_SECONDS, EndOfConversation, Engine
from mountctl.supervisor.engines import Engines
from mountctl.supervisor.handover import Handover, HandoverFailed
from mountctl.supervisor.keeping import Keeping
from mountctl.supervisor.lookout import VANISHED
from mountctl.supervisor.restarts import Next, Restarts, given_up
from mountctl.supervisor.services import Services
from mountctl.supervisor.session import FSTYPE, Session, SessionError
from mountctl.supervisor.settling import Settling
from mountctl.supervisor.state import SERVED, SETTLED, MountEvent, MountState, after_heartbeat, next_state
from mountctl.supervisor.still import Reasons
from mountctl.supervisor.zygote import ForkError

_LOOK_SECONDS: Final = 2.0  # one that was given up is looked at so often: somebody may have unmounted what is left

_log = logging.getLogger(__name__)


class Mount:
    """A mount and everything `status` tells of it.

    Args:
        spec: what to mount; only a handover, a move or a live change changes it.
        uid: the user and group that its engines become.
        services: the supervisor's.
        transient: no file declares it: it is over when somebody unmounts it.
        session: the one that a supervisor before left attached; owned.
        engine: the one that serves it, if it is alive; owned.
        instead_of: whose place it takes as soon as it can be used.
        waits: it asks S3 and then waits for `settling.begin`; another mount may have its name meanwhile.
    """

    def __init__(
        self,
        spec: MountSpec,
        uid: int,
        services: Services,
        *,
        transient: bool = False,
        session: Session | None = None,
        engine: Engine | None = None,
        instead_of: "Mount | None" = None,
        waits: bool = False,
    ) -> None:
        self.left_behind: str | None = None  # why its mount is still there, if it could not be unmounted
        self.given_way = False  # another mount has its place; it goes on for those who have files open on it
        self._instead_of = instead_of
        self.spec = spec
        self.transient: Final = transient
        self.unmounted = False  # by somebody else, for good
        self.uid: Final = uid
        self.state = MountState.STARTING if session is None else MountState.RECOVERING
        self.since = time.time()
        self.changes: Final = Changes()  # of its state, or of what its engine says
        self.reason: str | None = None
        self.gone: Gone | None = None  # how its last engine ended; None: there was none, as there was no session
        self._reasons = Reasons()
        self.takeovers = 0
        self.backend = Backend()
        self.last_error: str | None = None
        self._services = services
        self._tell = partial(telling.engine, services.events, spec.name)
        self._session = session
        self._keeping = Keeping(services.fds, services.noted, services.leaving, spec.name, mine=not waits)
        self._unanswered = session is not None and engine is None  # what the engine before had read may be
        self.engines: Final = Engines(
            self,
            uid,
            services,
            self._keeping,
            adopted=engine,
            region=session.region if session is not None else "",
        )
        self._aborted: Session | None = None  # mounted and dead: its place is kept until another takes it
        self._again = trio.Event()  # somebody wants it tried now
        self._scope = trio.CancelScope()
        self.settling: Final = Settling(lambda: self.engine, waits=waits)
        self._done = trio.Event()

    @property
    def stats(self) -> Stats:
        """Counters since this mount was started, over all its engines."""
        return self.engines.stats

    @property
    def engine(self) -> Engine | None:
        """The one that serves, or comes up."""
        return self.engines.current

    @property
    def in_use(self) -> bool:
        """Programs wait for an engine."""
        return self.state is MountState.RECOVERING

    @property
    def session(self) -> Session | None:
        """What its engines serve; None while there is none."""
        return self._session

    @property
    def access(self) -> Known:
        """What the broker said of its credentials."""
        return self._services.access.known(self.spec.name)

    async def run(self) -> None:
        """Serve until `stop` (or cancellation), then unmount and leave nothing behind."""
        self.watch_access()
        try:
            with self._scope:
                await self._keep_serving()
        finally:
            with trio.CancelScope(shield=True):
                await self._end()

    @property
    def stopping(self) -> bool:
        """`stop` was called, or another mount has its place."""
        return self._scope.cancel_called or self.given_way

    def watch_access(self) -> None:
        """Be told of its credentials, and nobody else that has its name."""
        self._services.access.watch(self.spec, self._pass_on)

    async def stop(self, patience: float = 0.0) -> None:
        """Unmount; returns when all is gone. One that was replaced may drain for so many seconds before."""
        with trio.move_on_after(patience):
            await self._done.wait()
        self._scope.cancel()
        await self._done.wait()

    async def prepare_handover(self, spec: MountSpec | None = None) -> Handover:
        """Have an engine ready for the same session, perhaps with other options, for `engines.switch` and `release`.

        Raises HandoverFailed.
        """
        if self._session is None or self.state not in SERVED:
            raise HandoverFailed(f"it is {self.state}: no engine is there to hand it over")
        return await self.engines.prepare(self._session, spec)

    async def change_live(self, spec: MountSpec) -> None:
        """Have other options that its engine takes while it serves, or need not know of."""
        async with self.engines.between_handovers():
            self.spec = spec
            self._services.access.changed(spec)
            if self._session is not None:
                self._session.served_as(spec)
            self.engines.change_live(spec)
            self._services.slices.look()

    async def move(self, spec: MountSpec) -> None:
        """Be at another mountpoint; what is open stays so. Raises SessionError, OSError; then it is where it was."""
        async with self.engines.between_handovers():
            if self._session is None or self.state not in SERVED:
                raise SessionError(f"it is {self.state}")
            await placing.move(self._session, spec)
            self.spec = spec
            self._keeping.moved(self._session)

    @contextlib.contextmanager
    def giving_way(self) -> Iterator[Session]:
        """Within this another mount is put in its place; it is as before if that fails. Raises SessionError."""
        session, engine = self._session, self.engine
        if session is None or engine is None or self.state not in SERVED:
            raise SessionError(f"the mount that it is to replace is {self.state}: try again")
        self._keeping.let_go(engine)
        try:
            yield session
        finally:
            if session.attached:
                self._keeping.session(session, engine)
            else:
                self.given_way = True
                self._apply(MountEvent.STOP)

    async def try_again(self) -> None:
        """Do now what waits for its next try; returns when it is known how it is."""
        self.settling.again()
        self._again.set()
        await self.settling.wait()

    async def _keep_serving(self) -> None:
        backoff, restarts = Backoff(), Restarts()
        while True:
            started = trio.current_time()
            event, reason, gone = await self._attempt()
            if self.given_way:
                return
            now = trio.current_time()
            backoff.served(now - started)
            pause = backoff.next_delay() if event is MountEvent.FAILED else 0.0
            if event is MountEvent.ENGINE_LOST:
                ending, served = (Ending.REFUSED, 0.0) if gone is None else (gone.ending, gone.served)
                following, pause = restarts.after(ending, served, now)
                if following is not Next.TAKE_OVER:
                    self._abort(held=gone is not None and gone.stuck)
                if following is Next.GIVE_UP:
                    reason = given_up(self.spec.name, reason, self.engines.served_before)
                    event, restarts, pause = MountEvent.GIVEN_UP, Restarts(), math.inf
            self._apply(event, reason)
            self.unmounted = (event is MountEvent.UNMOUNTED or await self._pause(pause)) and self.transient
            if self.unmounted:
                return
            if event in (MountEvent.FAILED, MountEvent.GIVEN_UP):
                self._apply(MountEvent.RETRY)

    async def _pause(self, seconds: float) -> bool:
        """Wait so long, or until somebody wants it tried again. True if a dead mount was unmounted meanwhile."""
        self._again = trio.Event()
        with trio.move_on_after(seconds):
            while not self._again.is_set():
                with trio.move_on_after(_LOOK_SECONDS):
                    await self._again.wait()
                if self.transient and self._aborted is not None and not self._aborted.alive():
                    return True
        return False

    async def _attempt(self) -> tuple[MountEvent, str, Gone | None]:
        """Engines on the session, until the last of them is gone. Returns what happened, why, and how it went."""
        self.gone = None
        try:
            if self._unanswered and self._session is not None and not await inflight.settle(self._session):
                self._abort()
            if self._session is None:
                self._session = Session.create(self.spec)
            gone = self.gone = await self.engines.serve(self._session)
            self._unanswered = gone.unanswered
        except (SessionError, ForkError, OSError) as error:
            return *self._without_engine(str(error)), None
        return *self._without_engine(gone.reason), gone

    def _without_engine(self, reason: str) -> tuple[MountEvent, str]:
        """No engine serves: what that means depends on whether programs have the mount."""
        session = self._session
        if session is not None and session.attached:
            if session.alive():
                if session.connected():
                    return MountEvent.ENGINE_LOST, reason
                self._abort()
                return MountEvent.ENGINE_LOST, "somebody else ended its FUSE connection"
            then = "it is over" if self.transient else "mounting it again"
            telling.unmounted(self.spec.name, session.mountpoint, then)
            session.detach()
            self._drop_session()
            return MountEvent.UNMOUNTED, "it was unmounted by somebody else"
        self._drop_session()
        # A session that was to take the place of another is not attached yet: programs have the one that is dead.
        return (MountEvent.ENGINE_LOST if self.state is MountState.RECOVERING else MountEvent.FAILED), reason

    async def engine_is_ready(self, engine: Engine, session: Session, *, planned: bool) -> None:
        """An engine serves: attach the session, if it is new. Raises EndOfConversation if that can't be."""
        if planned:
            self._tell(f"engine {engine.pid} serves it now, handed over by the one before")
            return
        if self.given_way:
            raise EndOfConversation("another mount has its place")
        if session.attached:
            self.takeovers += 1
            self._tell(f"engine {engine.pid} took it over from one that is gone")
        else:
            try:
                await self._attach(session, engine)
            except (SessionError, OSError) as error:
                raise EndOfConversation(str(error)) from error
        self._apply(MountEvent.ENGINE_READY)
        _log.info("%s: %s is mounted at %s", self.spec.name, self.spec.source, session.mountpoint)

    async def _attach(self, session: Session, engine: Engine) -> None:
        if (old := self._instead_of) is None:
            self._keeping.session(session, engine)
            await placing.attach(session, self._aborted)
            self._aborted = None
            return
        try:
            with old.giving_way() as before:
                try:
                    self._keeping.session(session, engine)
                    await placing.replace(session, before)
                except BaseException:
                    self._keeping.let_go(engine)
                    raise
        finally:
            if old.given_way:
                self._instead_of = None

    def engine_is_adopted(self, engine: Engine) -> None:
        """An engine that a supervisor before this one has started has served all the while."""
        self._apply(MountEvent.ENGINE_READY)
        self._tell(f"adopted engine {engine.pid}, which has served all the while")

    def _pass_on(self, message: Access | AccessFailed) -> None:
        if isinstance(message, AccessFailed) and self.state is MountState.RECOVERING:
            self._still(message.reason, of_s3=False)
        self.engines.pass_on(message)

    def engine_beats(self, heartbeat: Heartbeat) -> None:
        """What the engine says of S3, and what the kernel shows of the mount."""
        self.last_error = heartbeat.last_error or self.last_error
        before, self.backend, session = self.backend.trouble, heartbeat.backend, self._session
        trouble, place = self.backend.trouble, None
        if session is not None and session.attached:
            place = session.lookout.look(session.mount_id, session.minor, FSTYPE, trio.current_time())
        if (event := after_heartbeat(self.state, self.backend, place, before)) is not None:
            self._apply(event, trouble or place)
        elif self.state is MountState.DEGRADED and (reason := trouble or place) is not None:
            self._still(reason, of_s3=trouble is not None)
        if session is not None and session.lookout.vanished and self.state in SERVED:
            self._apply(MountEvent.UNMOUNTED, VANISHED)
        self.changes.tell()

    def _still(self, reason: str, *, of_s3: bool) -> None:
        """It is in the same state, for this reason."""
        if reason != self.reason:
            self.reason = reason
            if self._reasons.is_news(reason):
                telling.still(self._services.events, self.spec.name, self.state, reason, of_s3=of_s3)
            self._services.changed()

    def _apply(self, event: MountEvent, reason: str | None = None) -> None:
        """Go where the table says, and tell."""
        before, self.state = self.state, next_state(self.state, event)
        if event is not MountEvent.RETRY:  # while it is tried again, the reason for the last failure is still of use
            telling.state(self._services.events, self.spec.name, event, (before, self.state), reason, said=self.reason)
            self.reason = reason
            self._reasons.begin(reason)
        if self.state is not before:
            self.since = time.time()
        if self.state in SETTLED:
            self.settling.settle()
        self.changes.tell()
        self._services.changed()

    def _abort(self, *, held: bool = False) -> None:
        """End the session, so that nobody waits for it any more. What is mounted stays, and gives ENOTCONN.

        Args:
            held: by an engine that can't be ended.
        """
        session = self._session
        if session is not None and session.attached:
            self._keeping.session_is_gone(session)
            session.abort(held=held)
            self._session, self._aborted = None, session
        self._drop_session()

    def _drop_session(self) -> None:
        if self._session is not None:
            self._keeping.session_is_gone(self._session)
            self._session.close()
            self._session = None

    async def _end(self) -> None:
        """Unmount first, so that nobody new comes in; then let the engine answer what it has; then let go.

        When a supervisor is to come after this one, what is mounted stays: the kernel keeps requests for it.
        """
        if not self.given_way:
            self._apply(MountEvent.STOP)
            self._services.access.forget(self.spec.name)
        try:
            stays = self._session is None or not self._session.attached or self._keeping.session_stays()
            if self._session is not None and not stays:
                self.left_behind = await placing.unmount(self._session)
            if self._aborted is not None and not self._services.leaving():
                self.left_behind = await placing.unmount(self._aborted)
        finally:
            if self.engine is not None and self._keeping.engine_stays(self.engine):
                self._services.left.update(self.engines.leave())
            else:
                await self.engines.end_all(self._session, STOP_TIMEOUT_SECONDS, goes_on=stays)
            self._drop_session()
            self._apply(MountEvent.DONE)
            self._done.set()
