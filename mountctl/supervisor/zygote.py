"""Our side of the zygote: starts it, has it fork engines and the broker, starts it again when it is gone.

Called by supervisor.py, mount.py and access.py. One order at a time.
"""

import logging
import os
import subprocess
import sys
from typing import Final, Self

import trio
from pydantic import SecretStr

from engine.facts import about
from engine.link import FDS_MAX, ForkBroker, Forked, ForkEngine, ForkFailed, Link, LinkClosed, ZygoteReady, pair
from engine.logged import Form
from engine.message_ids import HELPER_GONE
from mountctl.interpreter import PYTHON
from mountctl.supervisor.process import ForkedProcess

# A fork takes 10-30 ms, the imports before the first one a second on a busy machine; beyond this it is stuck.
FORK_TIMEOUT_SECONDS: Final = 20.0
_END_TIMEOUT_SECONDS: Final = 2.0

_log = logging.getLogger(__name__)


class ForkError(Exception):
    """The zygote could not fork; the message says why."""


class _Started:
    """One zygote process: its link, and its first word."""

    def __init__(self) -> None:
        ours, theirs = pair()
        with theirs:
            self.process = subprocess.Popen(
                [*PYTHON, "-m", "engine.zygote", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=sys.stderr,
                start_new_session=True,
                env={
                    name: value for name, value in os.environ.items() if not (_is_brokers(name) or _is_systemds(name))
                },
            )
        self.link = Link(ours, fds_max=FDS_MAX)
        self.version: str | None = None  # of the code that its engines run; None before it can fork

    async def ready(self) -> None:
        """Wait until it can fork. Raises LinkClosed if it ends before that."""
        if self.version is None:
            answer, _ = await self.link.receive()
            if not isinstance(answer, ZygoteReady):
                raise LinkClosed(f"its first word was {answer.type}")
            self.version = answer.version

    async def stop(self) -> None:
        """End it; what it forked goes on."""
        self.link.close()
        pidfd = os.pidfd_open(self.process.pid)
        for killed in (False, True):
            if killed:
                self.process.kill()
            with trio.move_on_after(_END_TIMEOUT_SECONDS):
                await trio.lowlevel.wait_readable(pidfd)
        os.close(pidfd)
        self.process.poll()  # one that is stuck in the kernel is not waited for


class Zygote:
    """Forks engines and the broker. Use as an async context manager: at its end the zygote process ends."""

    def __init__(self) -> None:
        self._order = trio.Lock()
        self._started: _Started | None = None

    async def __aenter__(self) -> Self:
        self._started = _Started()
        return self

    async def __aexit__(self, *exc: object) -> None:
        with trio.CancelScope(shield=True):
            await self._current.stop()

    @property
    def version(self) -> str | None:
        """Of the code that new engines run; None while it is coming up."""
        return self._current.version

    async def renew(self) -> None:
        """Have new engines run the code that is installed now. Raises ForkError if it does not start."""
        fresh = _Started()
        try:
            with trio.fail_after(FORK_TIMEOUT_SECONDS):
                await fresh.ready()
        except (LinkClosed, trio.TooSlowError) as error:
            with trio.CancelScope(shield=True):
                await fresh.stop()
            raise ForkError("the code that is installed now does not start; its log lines say why") from error
        except trio.Cancelled:
            with trio.CancelScope(shield=True):
                await fresh.stop()
            raise
        async with self._order:
            before, self._started = self._current, fresh
            with trio.CancelScope(shield=True):
                await before.stop()

    async def fork_engine(self, order: ForkEngine, session_fd: int, journal_fd: int) -> ForkedProcess:
        """A new engine on this session. Raises ForkError."""
        return await self._fork(order, (session_fd,), (journal_fd,))

    async def fork_broker(self, log_form: Form | None) -> ForkedProcess:
        """A new broker, that logs in this form. Raises ForkError."""
        environment = {name: SecretStr(value) for name, value in os.environ.items() if _is_brokers(name)}
        return await self._fork(ForkBroker(environment=environment, log_form=log_form))

    async def _fork(
        self, order: ForkEngine | ForkBroker, before: tuple[int, ...] = (), behind: tuple[int, ...] = ()
    ) -> ForkedProcess:
        """A process with a link of its own; the link's descriptor stands between `before` and `behind`."""
        async with self._order:
            try:
                return await self._order_fork(order, before, behind)
            except LinkClosed:
                # Killed or crashed: no reason to keep programs waiting for a mount's next try.
                _log.warning("the zygote is gone; starting another", extra=about(HELPER_GONE))
            await self._restart()
            try:
                return await self._order_fork(order, before, behind)
            except LinkClosed as error:
                await self._restart()
                raise ForkError("the zygote ends before it has forked; its log lines say why") from error

    async def _order_fork(
        self, order: ForkEngine | ForkBroker, before: tuple[int, ...], behind: tuple[int, ...]
    ) -> ForkedProcess:
        """One order and its answer. Raises LinkClosed if the zygote is gone, ForkError if it can't or is stuck."""
        ours, theirs = pair()
        try:
            with theirs:
                pid, pidfd = await self._ask(order, (*before, theirs.fileno(), *behind))
        except trio.TooSlowError as error:
            ours.close()
            _log.warning("the zygote is stuck; starting another", extra=about(HELPER_GONE))
            await self._restart()
            raise ForkError(f"the zygote did not answer within {FORK_TIMEOUT_SECONDS:.0f} s") from error
        except BaseException:
            ours.close()
            raise
        return ForkedProcess(pid, pidfd, Link(ours))

    async def _ask(self, order: ForkEngine | ForkBroker, fds: tuple[int, ...]) -> tuple[int, int]:
        link = self._current.link
        # An order that was sent is waited for, or the next one would get its answer.
        with trio.CancelScope(shield=True, deadline=trio.current_time() + FORK_TIMEOUT_SECONDS):
            await self._current.ready()
            await link.send(order, fds)
            answer, handed = await link.receive()
            match answer:
                case Forked(pid=pid):
                    return pid, handed[0]
                case ForkFailed(reason=reason):
                    raise ForkError(reason)
                case _:
                    raise ForkError(f"the zygote answered {answer.type}")
        raise trio.TooSlowError

    @property
    def _current(self) -> _Started:
        assert self._started is not None, "it was entered"
        return self._started

    async def _restart(self) -> None:
        with trio.CancelScope(shield=True):  # half of it would leave a zygote that nobody has
            await self._current.stop()
        self._started = _Started()


def _is_brokers(name: str) -> bool:
    """Keys, tokens and proxies (with their passwords) are the broker's only: no engine's /proc/PID/environ has them."""
    return (name.startswith("AWS_") and name != "AWS_CA_BUNDLE") or name.lower() in ("https_proxy", "http_proxy")


def _is_systemds(name: str) -> bool:
    """Only the supervisor talks to systemd."""
    return name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
