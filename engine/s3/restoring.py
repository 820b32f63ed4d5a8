"""The request of HttpClient that has an archived object restored. Only client.py derives from it."""

import abc
import hashlib
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from engine.errors import S3Error
from engine.s3.connection import Connection
from engine.s3.http1 import Head
from engine.s3.request import Request

_T = TypeVar("_T")

# What S3 says of one that somebody has asked for already; it goes on.
_UNDER_WAY: Final = "RestoreAlreadyInProgress"
_BODY: Final = (
    '<RestoreRequest xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Days>{days}</Days>'
    "<GlacierJobParameters><Tier>{tier}</Tier></GlacierJobParameters></RestoreRequest>"
)


class Restores(abc.ABC):
    """Has archived objects restored."""

    _always: tuple[tuple[str, str], ...]  # headers of every request

    @abc.abstractmethod
    async def _perform(
        self, request: Callable[[], Request], receive: Callable[[Head, Connection], Awaitable[_T]]
    ) -> _T:
        """Attempt until it succeeds or is not worth another attempt."""

    async def restore_object(self, key: str, *, days: int, tier: str) -> bool:
        """Have S3 make a readable copy of an archived object, for so many days. Returns at once: it takes hours.

        False if S3 does so already. Asking for one that has a copy keeps that for longer. Raises S3Error.
        """
        body = _BODY.format(days=days, tier=tier).encode()
        request = Request(
            "RestoreObject",
            "POST",
            key,
            query=(("restore", ""),),
            amz_headers=self._always,
            body=(body,),
            payload=hashlib.sha256(body).hexdigest(),
        )

        async def receive(_head: Head, connection: Connection) -> None:
            await connection.read()

        try:
            await self._perform(lambda: request, receive)
        except S3Error as error:
            if error.code == _UNDER_WAY:
                return False
            raise
        return True
