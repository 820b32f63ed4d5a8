"""Keeps the metrics' address as the configuration has it: opened, moved and closed by reloads. Run by daemon.py.

An address that can't be had is told in the log and in the status, and tried again; mounts are served in any case.
"""

import logging
from collections.abc import Callable
from typing import Final

import trio

from engine.facts import about
from engine.message_ids import METRICS_ADDRESS
from mountctl.config.address import Address
from mountctl.control.listener import CannotListen, PageServer, bind
from mountctl.status import MetricsStatus, Status
from mountctl.supervisor.changes import Changes

# For one that is taken by a program that ends, or whose interface comes up.
RETRY_SECONDS: Final = 5.0

_log = logging.getLogger(__name__)


class Listening:
    """Where metrics are told, if anywhere.

    Args:
        wanted: the option metrics-listen, as it is now.
        changes: told of when the configuration changes.
        status: of all mounts.
    """

    def __init__(self, wanted: Callable[[], str | None], changes: Changes, status: Callable[[], Status]) -> None:
        self._wanted = wanted
        self._changes = changes
        self._status = status
        self._error: str | None = None

    @property
    def state(self) -> MetricsStatus | None:
        """For the status; None: it is not to be listened anywhere."""
        listen = self._wanted()
        return None if listen is None else MetricsStatus(listen=listen, error=self._error)

    async def run(self) -> None:
        """Until cancelled. Raises nothing."""
        while True:
            listen = self._wanted()
            try:
                if listen is not None:
                    await self._listen(listen)
                else:
                    await self._changed(listen)
            except Exception:  # noqa: BLE001 - metrics are not worth a mount
                _log.exception("metrics: internal error")
                await trio.sleep(RETRY_SECONDS)

    async def _listen(self, listen: str) -> None:
        """As long as it is wanted there, or until it is to be tried again."""
        address = Address.parse(listen)
        try:
            listener = bind(address)
        except CannotListen as error:
            if str(error) != self._error:
                _log.warning("metrics: %s", error, extra=about(METRICS_ADDRESS))
            self._error = str(error)
            with trio.move_on_after(RETRY_SECONDS):
                await self._changed(listen)
            return
        self._error = None
        _log.info("metrics: listening on %s", address, extra=about(METRICS_ADDRESS))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(PageServer(self._status, is_loopback=address.is_loopback).serve, listener)
            await self._changed(listen)
            nursery.cancel_scope.cancel()

    async def _changed(self, listen: str | None) -> None:
        await self._changes.until(lambda: self._wanted() != listen)
        self._error = None
