"""The broker: finds the credentials and the endpoint of every mount and tells of each change.

Runs in a process of its own, forked by the zygote, as root with nobody at its stdin. The supervisor says which mounts
to watch and passes the answers on to their engines. All of botocore runs in threads, one per profile (and environment,
for mounts that have their own), so that a vault or a metadata service that hangs holds up the mounts of its profile and
no other. Never talks to S3; never logs
a secret.
"""

import functools
import logging
import math
import random
import socket
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, TypeVar

import trio

from engine import log
from engine.facts import about
from engine.link import (
    Access,
    AccessFailed,
    Credentials,
    ForgetAccess,
    Link,
    LinkClosed,
    Message,
    RefreshAccess,
    WatchAccess,
)
from engine.logged import LogForm
from engine.message_ids import CREDENTIALS_LACKING, NOT_UNDERSTOOD
from engine.s3.access import (
    AccessUnavailable,
    CredentialSource,
    Fingerprint,
    access,
    source_of,
)
from engine.spec import MountSpec

# An edited file takes effect within this: soon for a person, and two stats cost nothing.
FILES_POLL_SECONDS: Final = 1.5
# A file that stays as it is for this long is complete: its writer writes a few hundred bytes.
FILES_SETTLE_SECONDS: Final = 0.2
# Keys are renewed this long before they expire, so that a vault may be away for a while; below the 10 minutes within
# which botocore raises a failed renewal instead of hiding it.
RENEW_BEFORE_SECONDS: Final = 570.0
# Keys that live shorter are renewed when a third of their time is left.
_RENEW_REMAINING_SHARE: Final = 1 / 3
# Never more often than this by the clock, whatever expiry a credential_process claims.
_RENEW_SECONDS_MIN: Final = 1.0
# A failed try is repeated after this, doubled each time; a minute at most, as a person may be waiting.
RETRY_FIRST_SECONDS: Final = 1.0
RETRY_MAX_SECONDS: Final = 60.0
# All mounts of a profile are refused at once when their keys are revoked: one look-up serves them all.
REFRESH_SECONDS_MIN: Final = 5.0
# After this a mount is told that its credentials hang; the thread goes on, and its answer is taken when it comes.
SLOW_SECONDS: Final = 30.0
# At most this long is slept at a time.
_CLOCK_SECONDS: Final = 60.0
# Profiles whose look-up may hang at the same time; each holds a thread (8 MiB of address space, 0.1 MiB of memory).
THREADS_MAX: Final = 128

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


def run_broker(sock: socket.socket) -> int:
    """Serve one link until it is closed. Returns the exit code. Takes ownership of the socket."""
    trio.run(_serve, sock)
    return 0


async def _serve(sock: socket.socket) -> None:
    link = Link(sock)
    try:
        async with trio.open_nursery() as nursery:
            broker = Broker(link, nursery)
            await nursery.start(broker.watch_files)
            await broker.obey()
            nursery.cancel_scope.cancel()
    finally:
        link.close()


def renew_at(now: float, expires: float | None) -> float:
    """When to renew keys that were had at `now`: seconds since the epoch, infinity if they do not expire."""
    if expires is None:
        return math.inf
    spare = min(RENEW_BEFORE_SECONDS, (expires - now) * _RENEW_REMAINING_SHARE)
    return max(now + _RENEW_SECONDS_MIN, expires - spare)


def retry_delay(failures: int) -> float:
    """Seconds to wait after the n-th failure in a row (1, 2, ...), before jitter."""
    return min(RETRY_MAX_SECONDS, RETRY_FIRST_SECONDS * 2.0 ** min(failures - 1, 16))


@dataclass
class _Mount:
    """A mount that is watched."""

    spec: MountSpec
    behind: bool = True  # what is known was not compared with what it was told
    asked: bool = True  # it waits for an answer, even if that is the same as the last
    told: Access | AccessFailed | None = None


@dataclass
class _Source:
    """A profile in use: its mounts, what is known, and what its task waits for."""

    credentials: CredentialSource
    anonymous: bool
    mounts: dict[str, _Mount] = field(default_factory=dict)
    task: trio.CancelScope = field(default_factory=trio.CancelScope)
    asking: trio.CancelScope | None = None  # a look-up that is under way
    wake: trio.Event = field(default_factory=trio.Event)
    stale: bool = True  # what is known is not believed any more
    keys: Credentials | None = None
    failure: str | None = None
    failures: int = 0  # in a row
    files: Fingerprint | None = None  # as they were before what is known was looked up
    due: float = math.inf  # when to look up again, in seconds since the epoch
    asked_at: float = -math.inf  # on trio's clock

    def distrust(self) -> None:
        """Look up anew, at once; a look-up that is under way began too early to count."""
        self.stale = True
        self.wake.set()
        if self.asking is not None:
            self.asking.cancel()

    def succeeded(self, keys: Credentials | None, now: float) -> None:
        """A look-up brought these keys (None: anonymous)."""
        self.keys, self.failure, self.failures = keys, None, 0
        self.due = renew_at(now, keys.expires if keys else None)

    def failed(self, reason: str, now: float, *, distrusted: bool) -> None:
        """A look-up failed. A renewal that fails takes no keys away that are still good."""
        self.failures += 1
        self.failure = reason
        if distrusted:
            self.keys = None
        self.due = now + retry_delay(self.failures) * random.uniform(0.8, 1.2)
        if self.keys is not None and self.keys.expires is not None and self.keys.expires > now:
            self.due = min(self.due, self.keys.expires)

    def trouble(self, now: float) -> str | None:
        """Why there are no good keys now; None if there are, or none are needed."""
        if self.anonymous or (self.keys is not None and (self.keys.expires is None or self.keys.expires > now)):
            return None
        return self.failure or "the credentials have expired"


_Key = tuple[object, ...]


def _key(spec: MountSpec) -> _Key:
    """Mounts with the same key share a source. A region counts where none of the environment may: for its roles."""
    own = (spec.environment, spec.region) if spec.environment else ((), None)
    return (True, None, None, *own) if spec.no_sign_request else (False, spec.profile, spec.ca_bundle, *own)


class Broker:
    """The mounts that are watched, and one task a profile.

    Args:
        link: to the supervisor.
        nursery: for the tasks; cancelled when the link turns out to be closed.
    """

    def __init__(self, link: Link, nursery: trio.Nursery) -> None:
        self._link = link
        self._nursery = nursery
        self._sending = trio.Lock()
        self._sources: dict[_Key, _Source] = {}
        self._threads = trio.CapacityLimiter(THREADS_MAX)
        # Apart, so that files are watched even when every other thread hangs.
        self._file_threads = trio.CapacityLimiter(1)

    async def obey(self) -> None:
        """Take orders until the supervisor is gone."""
        while True:
            try:
                message, _ = await self._link.receive()
            except LinkClosed:
                return
            self._order(message)

    def _order(self, message: Message) -> None:
        match message:
            case WatchAccess(spec=spec):
                self._forget(spec.name, unless=_key(spec))
                self._watch(spec)
            case ForgetAccess(name=name):
                self._forget(name)
            case RefreshAccess(name=name):
                self._refresh(name)
            case LogForm(form=form):
                log.use_stderr(form, may_open=True)
            case _:
                _log.warning("not an order for a broker: %s", message.type, extra=about(NOT_UNDERSTOOD))

    def _watch(self, spec: MountSpec) -> None:
        source = self._sources.get(_key(spec))
        if source is None:
            source = self._sources[_key(spec)] = _Source(source_of(spec), anonymous=spec.no_sign_request)
            self._nursery.start_soon(self._keep, source)
        source.mounts[spec.name] = _Mount(spec)
        source.wake.set()

    def _forget(self, name: str, *, unless: _Key | None = None) -> None:
        for key, source in list(self._sources.items()):
            if key == unless or name not in source.mounts:
                continue
            del source.mounts[name]
            if not source.mounts:
                del self._sources[key]
                source.task.cancel()

    def _refresh(self, name: str) -> None:
        for source in self._sources.values():
            if (mount := source.mounts.get(name)) is None:
                continue
            mount.asked = mount.behind = True
            # Keys that are just coming or have just come are the answer to all who were refused with the ones before.
            if source.asking is None and trio.current_time() - source.asked_at >= REFRESH_SECONDS_MIN:
                source.distrust()
            source.wake.set()

    async def watch_files(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Have profiles looked up again when a file of theirs changes. Until cancelled."""
        task_status.started()
        while True:
            await trio.sleep(FILES_POLL_SECONDS)
            now = await self._files()
            rewritten = [source for source, files in now if source.files not in (None, files)]
            if not rewritten:
                continue
            before = None
            while before != now:  # half a file is no configuration: wait until its writer has done
                before = now
                await trio.sleep(FILES_SETTLE_SECONDS)
                now = await self._files(rewritten)
            _log.info("AWS configuration files changed: looking up their credentials again")
            for source, files in now:
                source.files = files
                source.failures = 0
                source.distrust()

    async def _files(self, sources: Iterable[_Source] | None = None) -> list[tuple[_Source, Fingerprint]]:
        """The files of sources (None: of all) as they are now."""
        looked = list(self._sources.values() if sources is None else sources)
        return await self._in_thread(
            lambda: [(source, source.credentials.fingerprint()) for source in looked], self._file_threads
        )

    async def _keep(self, source: _Source) -> None:
        """The task of one profile, until its last mount is forgotten."""
        with source.task:
            [(_, source.files)] = await self._files([source])
            while True:
                while source.stale or time.time() >= source.due:
                    await self._look_up(source)
                await self._tell_all(source)
                # A suspended machine's clock goes on while ours stands: look at it now and then.
                with trio.move_on_after(min(max(0.0, source.due - time.time()), _CLOCK_SECONDS)):
                    await source.wake.wait()
                source.wake = trio.Event()

    async def _look_up(self, source: _Source) -> None:
        distrusted, source.stale = source.stale, False
        source.asked_at = trio.current_time()
        keys: Credentials | None = None
        reason: str | None = None
        with trio.CancelScope() as source.asking:
            if not source.anonymous:
                keys, reason = await self._ask(source)
        overtaken, source.asking = source.asking.cancelled_caught, None
        if overtaken:
            return
        if reason is None:
            source.succeeded(keys, time.time())
        else:
            if reason != source.failure:
                _log.warning("%s", reason, extra=about(CREDENTIALS_LACKING))
            source.failed(reason, time.time(), distrusted=distrusted)
        for mount in source.mounts.values():
            mount.behind = True

    async def _ask(self, source: _Source) -> tuple[Credentials | None, str | None]:
        """Keys, or the reason why there are none. Complains while the answer does not come."""
        keys, reason = None, None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._complain, source)
            try:
                keys = await self._in_thread(source.credentials.load)
            except AccessUnavailable as error:
                reason = str(error)
            nursery.cancel_scope.cancel()
        return keys, reason

    async def _complain(self, source: _Source) -> None:
        """Tell mounts without keys that theirs hang: after a while, and those that come later too."""
        by = f"profile {source.credentials.profile!r}" if source.credentials.profile else "the default credentials"
        reason = f"{by}: no answer within {SLOW_SECONDS:.0f} s; still waiting"
        while True:
            await trio.sleep(SLOW_SECONDS)
            if source.trouble(time.time()) is not None:
                for mount in list(source.mounts.values()):
                    message = AccessFailed(name=mount.spec.name, reason=reason)
                    if message != mount.told:
                        await self._tell(source, mount, message)

    async def _tell_all(self, source: _Source) -> None:
        for mount in list(source.mounts.values()):
            if mount.behind:
                asked = mount.asked
                mount.behind = mount.asked = False
                message = await self._message(source, mount.spec)
                if asked or message != mount.told:
                    await self._tell(source, mount, message)

    async def _message(self, source: _Source, spec: MountSpec) -> Access | AccessFailed:
        if (trouble := source.trouble(time.time())) is not None:
            return AccessFailed(name=spec.name, reason=trouble)
        try:
            location = await self._in_thread(functools.partial(source.credentials.locate, spec))
        except AccessUnavailable as error:
            return AccessFailed(name=spec.name, reason=str(error))
        return access(spec, location, source.keys, source.failure)

    async def _tell(self, source: _Source, mount: _Mount, message: Access | AccessFailed) -> None:
        try:
            async with self._sending:
                if source.mounts.get(mount.spec.name) is mount:  # not forgotten meanwhile
                    await self._link.send(message)
        except LinkClosed:
            self._nursery.cancel_scope.cancel()
        mount.told = message

    async def _in_thread(self, call: Callable[[], _T], limiter: trio.CapacityLimiter | None = None) -> _T:
        return await trio.to_thread.run_sync(call, abandon_on_cancel=True, limiter=limiter or self._threads)
