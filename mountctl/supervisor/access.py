"""Keeps the broker running and passes what it says on to the engines: credentials, endpoints, regions.

Called by supervisor.py (which runs it) and mount.py (which subscribes). Keeps each mount's latest answer, for who
subscribes anew and for `status`. Never logs a message's secrets: they are SecretStr.
"""

import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import trio

from engine.facts import about
from engine.link import Access, AccessFailed, ForgetAccess, LinkClosed, Message, RefreshAccess, WatchAccess
from engine.logged import LogForm
from engine.message_ids import HELPER_GONE
from engine.spec import MountSpec
from mountctl.supervisor.backoff import Backoff
from mountctl.supervisor.log_lines import Logs
from mountctl.supervisor.process import ForkedProcess
from mountctl.supervisor.zygote import ForkError, Zygote

# Orders that wait while the broker is started again; each mount has at most a few.
_ORDERS_MAX: Final = 10_000
_END_TIMEOUT_SECONDS: Final = 1.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Known:
    """What was said of a mount's access: the last keys that were had, and why there are no newer ones."""

    access: Access | None = None
    error: str | None = None


Word = Access | AccessFailed
Listener = Callable[[Word], None]


def later(message: Word, before: Word | None) -> Word:
    """The last word of two. Keys that were had once stay good until they expire: a failed refresh takes none away."""
    return before if isinstance(before, Access) and isinstance(message, AccessFailed) else message


class AccessHub:
    """The broker's other end. `run` it in a task of its own.

    Args:
        zygote: forks brokers.
        logs: says in which form they log.
    """

    def __init__(self, zygote: Zygote, logs: Logs) -> None:
        self._zygote = zygote
        self._logs = logs
        logs.form_changed = lambda: self._order(LogForm(form=logs.form))
        self._watched: dict[str, tuple[MountSpec, Listener]] = {}
        self._latest: dict[str, Access | AccessFailed] = {}
        self._errors: dict[str, str] = {}  # why there are no newer keys, by mount
        self._broker: ForkedProcess | None = None
        self._conversation = trio.CancelScope()
        self._send, self._receive = trio.open_memory_channel[Message](_ORDERS_MAX)

    def watch(self, spec: MountSpec, listener: Listener) -> None:
        """Have the latest word on this mount's access now, if there is one, and each later one."""
        if spec.name in self._watched and self._watched[spec.name][0] != spec:
            self._latest.pop(spec.name, None)  # it may name another endpoint, or another's keys
        self._watched[spec.name] = (spec, listener)
        self._order(WatchAccess(spec=spec))
        if (latest := self._latest.get(spec.name)) is not None:
            listener(latest)

    def changed(self, spec: MountSpec) -> None:
        """The mount has other options now, which its engine was not told of: those that concern the broker alone."""
        if spec.name in self._watched and self._watched[spec.name][0].environment != spec.environment:
            self.watch(spec, self._watched[spec.name][1])

    def watches(self, name: str) -> bool:
        """Somebody listens for this mount."""
        return name in self._watched

    def forget(self, name: str) -> None:
        """The mount is gone."""
        if self._watched.pop(name, None) is None:  # of two mounts of one name, one that replaces the other
            return
        self._latest.pop(name, None)
        self._errors.pop(name, None)
        self._order(ForgetAccess(name=name))

    def refresh(self, name: str) -> None:
        """S3 refused the mount's keys: have the broker fetch new ones."""
        self._order(RefreshAccess(name=name))

    def known(self, name: str) -> Known:
        """All that is known of this mount's access."""
        latest = self._latest.get(name)
        return Known(latest if isinstance(latest, Access) else None, self._errors.get(name))

    def renew(self) -> None:
        """Have another broker, of the zygote's present code. Engines keep the keys that they have meanwhile."""
        self._conversation.cancel()

    async def run(self) -> None:
        """Keep a broker running until cancelled."""
        backoff = Backoff()
        while True:
            try:
                broker = await self._zygote.fork_broker(self._logs.form)
            except ForkError as error:
                _log.error("cannot start the broker: %s", error, extra=about(HELPER_GONE))
            else:
                started = trio.current_time()
                with trio.CancelScope() as self._conversation:
                    await self._talk(broker)
                if self._conversation.cancelled_caught:
                    continue
                backoff.served(trio.current_time() - started)
            await trio.sleep(backoff.next_delay())

    def _order(self, message: Message) -> None:
        try:
            self._send.send_nowait(message)
        except trio.WouldBlock:
            # It hangs: nobody is so slow. The next one is told all mounts that there are, so none of this is missed.
            if self._broker is not None:
                _log.error("the broker reads no orders: it is killed", extra=about(HELPER_GONE))
                self._broker.kill()

    async def _talk(self, broker: ForkedProcess) -> None:
        self._broker = broker
        try:
            with contextlib.suppress(LinkClosed):
                for spec, _ in self._watched.values():
                    await broker.link.send(WatchAccess(spec=spec))
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._pass_orders, broker, nursery.cancel_scope)
                    await self._pass_answers(broker)
                    nursery.cancel_scope.cancel()
        finally:
            self._broker = None
            broker.link.close()
            end = await broker.end(_END_TIMEOUT_SECONDS)
            broker.close()
        _log.warning("the broker %s; starting another", end, extra=about(HELPER_GONE))

    async def _pass_orders(self, broker: ForkedProcess, scope: trio.CancelScope) -> None:
        try:
            while True:
                await broker.link.send(await self._receive.receive())
        except LinkClosed:
            scope.cancel()

    async def _pass_answers(self, broker: ForkedProcess) -> None:
        with contextlib.suppress(LinkClosed):
            while True:
                message, _ = await broker.link.receive()
                if isinstance(message, Access | AccessFailed) and message.name in self._watched:
                    self._note(message)

    def _note(self, message: Access | AccessFailed) -> None:
        self._latest[message.name] = later(message, self._latest.get(message.name))
        error = message.renewal_error if isinstance(message, Access) else message.reason
        if error is None:
            self._errors.pop(message.name, None)
        else:
            self._errors[message.name] = error
        self._watched[message.name][1](message)
