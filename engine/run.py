"""One engine under a supervisor: from its order to its exit code.

Called by the zygote in a freshly forked process, unprivileged already, with the session's /dev/fuse and one end of a
link. Composes the engine from what the other floors offer; never decides what a request gets. What it tells the
supervisor: Ready or Unavailable, then heartbeats. An engine that `waits` gets ready beside the one that serves, and is
given the session when that one has handed over.

Nurseries by lifetime: the link and heartbeats ⊃ the session ⊃ what open files fetch.
"""

import faulthandler
import logging
import math
import os
import socket
from typing import Final

import trio

from engine import __version__, log
from engine import link as links
from engine.access_in_use import AccessInUse
from engine.archives import Archives
from engine.assembly import serving
from engine.facts import about
from engine.fetch.fetchers import Fetchers
from engine.fetch.number import connections_of_engine
from engine.fetch.spawner import Spawner
from engine.fuse import session
from engine.fuse.adopt import adopt
from engine.fuse.operations import Operations
from engine.health import BackendProber
from engine.link import (
    HEARTBEAT_SECONDS,
    Access,
    AccessFailed,
    Beat,
    ForkEngine,
    HandedOver,
    HandOver,
    Heartbeat,
    Link,
    LinkClosed,
    Prepared,
    Ready,
    RefreshAccess,
    Stop,
    TakeOver,
    Unavailable,
)
from engine.logged import LogFile, LogForm, Logged, LogLevel
from engine.message_ids import CREDENTIALS_LACKING, ENGINE_CHANGED, NOT_UNDERSTOOD, UPLOAD_LOST
from engine.metrics import log_metrics
from engine.preflight import Unmountable, preflight
from engine.restores import AskRestore, RestoreTaken
from engine.s3.client import HttpClient
from engine.s3.configured import Authorities, CaBundleUnusable, client_for
from engine.stats import EngineStats
from engine.stderr import STDERR_FD
from engine.telling import UploadTeller
from engine.uploads import AbortUploads, TellUploads

logger = logging.getLogger(__name__)

EXIT_STOPPED: Final = 0
EXIT_UNAVAILABLE: Final = 3
EXIT_LINK_CLOSED: Final = 4

# Without a turn of its loop for so many seconds an engine ends, and its log has where it was stuck. A supervisor sees
# that much earlier (hangs.py); but there may be none, and nobody else could end an engine that programs wait for.
STUCK_SECONDS_MAX: Final = 60.0
# How often that limit is put off, as a share of it: each time is a thread that ends and one that begins (0.2 ms).
_PUT_OFF_SHARE: Final = 1 / 6

SYSTEM_AUTHORITIES: Final = Authorities()

# Keys change every hour or so; one more than is being applied never waits.
_ACCESS_WAITING_MAX: Final = 8
# The supervisor has four on their way at once.
_RESTORES_WAITING_MAX: Final = 16


def run_engine(
    message: ForkEngine,
    session_fd: int,
    link: socket.socket,
    journal_fd: int,
    authorities: Authorities = SYSTEM_AUTHORITIES,
) -> int:
    """Serve one mount until told to stop, the mount is gone, or the supervisor is. Returns the exit code.

    `authorities` were read before the privileges were dropped; the log is set up.
    0: stopped or unmounted; 3: the mount can't be had, which was told; 4: the supervisor closed the link.
    """
    spawner = Spawner.fork(message.spec, authorities)  # before there is an event loop, which no fork would survive
    return trio.run(_Engine(message, session_fd, link, journal_fd, authorities, spawner).run)


class _Engine:
    """The parts of one engine, and the tasks that join them."""

    def __init__(
        self,
        order: ForkEngine,
        session_fd: int,
        sock: socket.socket,
        journal_fd: int,
        authorities: Authorities,
        spawner: Spawner | None,
    ) -> None:
        self._authorities = authorities
        self._order = order
        self._spec = order.spec
        self._session_fd = session_fd
        self._journal_fd = journal_fd
        self._sock = sock
        self._stats = EngineStats()
        self._fetchers = Fetchers(spawner, self._stats, self._keys_rejected)
        self._exit_code = EXIT_STOPPED
        self._access = AccessInUse(order.spec, order.region, self._stats)
        self._client: HttpClient | None = None
        self._serving = False
        self._said_ready = False
        self._scope = trio.CancelScope()
        self._resend = order.resend
        self._handed: tuple[int, ...] | None = None  # descriptors of what the engine before has handed over
        self._taking_over = trio.Event()
        self._handing_over = False
        self._session_scope = trio.CancelScope()
        self._uploads = UploadTeller(self._tell)
        self._restores, self._asked_restores = trio.open_memory_channel[AskRestore](_RESTORES_WAITING_MAX)

    async def run(self) -> int:
        self._link = Link(self._sock, fds_max=links.FDS_MAX)
        log.tell_also(lambda line: self._tell(Logged(line=line)))
        accesses, self._accesses = trio.open_memory_channel[Access](_ACCESS_WAITING_MAX)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._listen, accesses)
                nursery.start_soon(self._beat)
                with self._scope:
                    await self._live()
                nursery.cancel_scope.cancel()
        finally:
            log.tell_repeats(end=True)
            self._link.close()
        return self._exit_code

    async def _live(self) -> None:
        """From the first credentials to the end of the session."""
        access = self._access.use(await self._accesses.receive())
        try:
            trust = self._authorities.trust()
            if not self._order.attached or self._order.waits:
                access = await preflight(self._spec, access, self._stats, trust=trust)
                self._access.found(access)
        except CaBundleUnusable as trouble:
            await self._refuse(Unmountable(str(trouble)))
            return
        except Unmountable as refusal:
            await self._refuse(refusal)
            return
        client = client_for(
            self._spec,
            access,
            self._stats,
            trust=trust,
            rejected=self._keys_rejected,
            connections_max=connections_of_engine(self._spec, self._fetchers.count),
        )
        self._client = client
        self._fetchers.use(access)
        try:
            if self._order.waits:
                await self._send(Prepared())
            if self._order.waits or self._order.bequeathed:
                await self._taking_over.wait()
            await self._serve(client)
        finally:
            with trio.CancelScope(shield=True):
                await client.aclose()

    async def _refuse(self, refusal: Unmountable) -> None:
        self._exit_code = EXIT_UNAVAILABLE
        logger.debug("%s", refusal)  # the supervisor tells it, and knows whether it is news
        await self._send(Unavailable(reason=str(refusal), code=refusal.code, status=refusal.status))

    async def _serve(self, client: HttpClient) -> None:
        """Serve the session until it ends: Stop, an unmount, or the supervisor's end."""
        adopted = trio.Event()
        async with trio.open_nursery() as nursery:
            prober = BackendProber(client, self._stats, prefix=self._spec.prefix, explain=self._access.explain)
            nursery.start_soon(self._apply_access, client, prober)
            nursery.start_soon(prober.run)
            nursery.start_soon(Archives(client, self._spec.prefix, self._tell).serve, self._asked_restores)
            if self._spec.log_metrics:
                nursery.start_soon(log_metrics, self._stats)
            async with serving(
                client,
                self._spec,
                self._stats,
                generation=self._order.generation,
                journal_fd=self._journal_fd,
                handed=self._handed,
                teller=self._uploads,
                fetchers=self._fetchers,
            ) as operations:
                nursery.start_soon(self._announce, adopted, operations.served_before)
                adopt(
                    operations,
                    self._session_fd,
                    bytes.fromhex(self._order.init_request),
                    resend=self._resend,
                    adopted=adopted.set,
                )
                self._serving = True
                with self._session_scope:
                    await session.serve(self._spec.max_threads)
                session.close(unmount=False)
                if self._handing_over:
                    await self._hand_over(operations)
                else:
                    await operations.drain()
            nursery.cancel_scope.cancel()

    async def _hand_over(self, operations: Operations) -> None:
        """What programs are writing goes to the successor."""
        with trio.CancelScope(shield=True):
            fds = await operations.leave()
            try:
                await self._link.send(HandedOver(), fds)
            except LinkClosed:
                told = about(UPLOAD_LOST)
                logger.error("the supervisor is gone: what is being written is lost", extra=told)  # noqa: TRY400 - no trace helps
            finally:
                for fd in fds:
                    os.close(fd)

    async def _announce(self, adopted: trio.Event, served_before: tuple[str, ...]) -> None:
        await adopted.wait()
        await self._send(Ready(region=self._access.region, version=__version__, served_before=served_before))
        self._said_ready = True

    async def _listen(self, accesses: trio.MemorySendChannel[Access]) -> None:
        """Messages of the supervisor, until it goes."""
        try:
            while True:
                message, fds = await self._link.receive()
                match message:
                    case Access():
                        await accesses.send(message)
                    case AccessFailed():
                        await self._without_access(message)
                    case Stop():
                        self._end(EXIT_STOPPED)
                        await trio.sleep(message.seconds)
                        logger.warning(
                            "not all that is being served has ended after %.1f s: stopping",
                            message.seconds,
                            extra=about(ENGINE_CHANGED),
                        )
                        self._scope.cancel()
                        return
                    case TakeOver():
                        self._take_over(message, fds)
                    case HandOver() if self._serving:
                        self._end(EXIT_STOPPED)
                        self._handing_over = True
                        if message.grace_seconds is not None:
                            self._session_scope.deadline = trio.current_time() + message.grace_seconds
                    case HandOver():
                        self._end(EXIT_STOPPED)  # it has nothing to hand over
                    case TellUploads():
                        self._uploads.tell_all()
                    case AbortUploads():
                        self._uploads.abort(message.uploads)
                    case AskRestore():
                        self._tell(RestoreTaken(number=message.number))
                        await self._restores.send(message)
                    case LogFile():
                        log.use_file(fds[0], message.form)
                    case LogForm():
                        log.use_stderr(message.form, *fds)
                    case Beat():
                        self._stats.backend_changed()
                    case LogLevel():
                        log.set_level(message.wanted)
                        self._fetchers.set_log_level(message.wanted)
                    case _:
                        logger.warning("unexpected message: %s", message.type, extra=about(NOT_UNDERSTOOD))
        except LinkClosed:
            logger.warning("the supervisor is gone: stopping", extra=about(ENGINE_CHANGED))
            self._end(EXIT_LINK_CLOSED)

    def _take_over(self, message: TakeOver, fds: list[int]) -> None:
        if self._taking_over.is_set() or self._serving:  # told again, by a supervisor that adopts it
            for fd in fds:
                os.close(fd)
        else:
            self._resend, self._handed = message.resend, tuple(fds)
        self._taking_over.set()

    async def _without_access(self, message: AccessFailed) -> None:
        logger.warning("no credentials: %s", message.reason, extra=about(CREDENTIALS_LACKING))
        self._stats.last_error = message.reason
        if self._client is not None:
            self._client.keep()
            self._fetchers.keep()
        if self._access.current is None and (not self._order.attached or self._order.waits):
            await self._refuse(Unmountable(message.reason))
            self._scope.cancel()
        self._access.no_others(message.reason)

    async def _apply_access(self, client: HttpClient, prober: BackendProber) -> None:
        async for told in self._accesses:
            access = self._access.use(told)
            client.use(access)
            self._fetchers.use(access)
            logger.debug("new word on credentials")
            if self._stats.backend.refused is not None:
                prober.ask_soon()

    def _end(self, code: int) -> None:
        """Answer what has been read from the kernel, then end. Nothing has been, if the session is not ours yet."""
        self._exit_code = code
        if self._serving:
            session.stop()
        else:
            self._scope.cancel()

    async def _beat(self) -> None:
        """Heartbeats, and one at once when the backend comes or goes. Without them this process ends itself."""
        put_off = -math.inf
        while True:
            if (now := trio.current_time()) >= put_off + STUCK_SECONDS_MAX * _PUT_OFF_SHARE:
                faulthandler.dump_traceback_later(STUCK_SECONDS_MAX, exit=True, file=STDERR_FD)
                put_off = now
            changed = trio.Event()
            self._stats.backend_changed = changed.set
            self._access.note_expiry()
            log.tell_repeats()
            self._uploads.catch_up()
            self._tell(
                Heartbeat(
                    stats=self._stats.snapshot(),
                    backend=self._stats.backend,
                    last_error=self._stats.last_error,
                    serving=self._said_ready,
                )
            )
            with trio.move_on_after(HEARTBEAT_SECONDS):
                await changed.wait()

    def _keys_rejected(self) -> None:
        self._tell(RefreshAccess(name=self._spec.name))

    def _tell(self, message: links.Message) -> bool:
        """Send what may be lost: a full link means a supervisor too busy for it. False if it was left out."""
        try:
            if self._link.send_nowait(message):
                return True
            logger.debug("the supervisor is slow to read: %s left out", message.type)
        except LinkClosed:
            logger.debug("the supervisor is gone: %s left out", message.type)  # _listen ends the engine
        return False

    async def _send(self, message: links.Message) -> None:
        """Send what must arrive."""
        try:
            await self._link.send(message)
        except LinkClosed:
            logger.debug("the supervisor is gone: %s left out", message.type)  # _listen ends the engine
