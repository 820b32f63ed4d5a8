"""Archived objects of a mount: finds them, and has S3 restore them. One `Archives` an engine, made by run.py.

S3 says of each object whether it has a copy, makes one, or neither: that is asked anew each time. Nothing is kept here:
what is under way is the supervisor's to know (supervisor/restoring.py), as it takes longer than an engine may live.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import trio

from engine.errors import AccessDenied, NoSuchKey, S3Error
from engine.facts import about
from engine.message_ids import RESTORES
from engine.restores import ANSWER_SECONDS_MAX, AskRestore, PathTold, RestoreTaken, RestoreTold
from engine.s3.interface import ListPage, ObjectInfo

# Requests at once: S3 takes them on in some 50 ms each, and reading needs connections, too.
_AT_ONCE: Final = 8
# How often it is told how far a request is: about twice a second at that rate, in objects.
_TOLD_EVERY: Final = 100
# A supervisor that is so busy that its link is full has room again soon.
_AGAIN_SECONDS: Final = 0.1
# Amazon's documentation, "Archive retrieval options": how long it takes at most as a rule, in seconds, by tier.
_EXPECTED_SECONDS: Final = {"Expedited": 5 * 60.0, "Standard": 5 * 3600.0, "Bulk": 12 * 3600.0}
_EXPECTED_DEEP_SECONDS: Final = {"Expedited": 12 * 3600.0, "Standard": 12 * 3600.0, "Bulk": 48 * 3600.0}

_DEEP: Final = "DEEP_ARCHIVE"

logger = logging.getLogger(__name__)


class Client(Protocol):
    """S3, as far as it is needed here."""

    async def head_object(self, key: str) -> ObjectInfo: ...  # noqa: D102
    async def list_objects(self, prefix: str, *, delimiter: str = "/", token: str | None = None) -> ListPage: ...  # noqa: D102
    async def restore_object(self, key: str, *, days: int, tier: str) -> bool: ...  # noqa: D102


@dataclass
class _Found:
    """What was found at a path and below it, and what S3 was asked for of that."""

    to_ask: list[ObjectInfo] = field(default_factory=list)  # what is archived, if S3 is to be asked for it
    archived: int = 0
    bytes: int = 0
    readable: int = 0
    under_way: int = 0
    asked: int = 0
    seconds: float | None = None  # what S3 takes for what it was asked for
    sample: ObjectInfo | None = None  # of those under way

    def add(self, info: ObjectInfo, *, begin: bool) -> None:
        if not info.archived:
            self.readable += 1
        elif info.restoring:
            self.goes_on(info)
        else:
            self.archived += 1
            self.bytes += info.size
            if begin:
                self.to_ask.append(info)

    def goes_on(self, info: ObjectInfo) -> None:
        """S3 restores it. Deep archives take longest, so one of these is the sample."""
        self.under_way += 1
        if self.sample is None or (info.storage_class == _DEEP and self.sample.storage_class != _DEEP):
            self.sample = info

    def begins(self, info: ObjectInfo, tier: str) -> None:
        """S3 was asked for it, and restores it from now on."""
        self.goes_on(info)
        self.asked += 1
        seconds = (_EXPECTED_DEEP_SECONDS if info.storage_class == _DEEP else _EXPECTED_SECONDS)[tier]
        self.seconds = max(self.seconds or 0.0, seconds)


class _TooMuch(Exception):
    """More than the request allows; the text is a sentence."""


class Archives:
    """What is archived in a mount.

    Args:
        client: S3.
        prefix: the mount's.
        tell: sends the supervisor a message; False if it has no room for it now.
    """

    def __init__(self, client: Client, prefix: str, tell: Callable[[RestoreTaken | RestoreTold], bool]) -> None:
        self._client = client
        self._prefix = prefix
        self._tell = tell

    async def serve(self, requests: trio.MemoryReceiveChannel[AskRestore]) -> None:
        """Answer requests, one after the other, until cancelled."""
        async for asked in requests:
            await self.answer(asked)

    async def answer(self, asked: AskRestore) -> None:
        """Do what a request asks for, and tell what came of it. Raises nothing of S3's."""
        found: list[_Found] = []
        failures: list[str] = []
        with trio.move_on_after(ANSWER_SECONDS_MAX) as scope:
            try:
                await self._look(asked, found)
                if asked.begin:
                    await self._begin(asked, found, failures)
            except _TooMuch as refusal:
                await self._surely(RestoreTold(number=asked.number, failure=str(refusal)))
                return
            except S3Error as error:
                await self._surely(RestoreTold(number=asked.number, failed=1, failure=str(error)))
                return
        if scope.cancelled_caught:
            failures.append(f"it took longer than {ANSWER_SECONDS_MAX:.0f} s: ask for less at once")
        await self._surely(self._told(asked, found, failures))

    async def _surely(self, told: RestoreTaken | RestoreTold) -> None:
        """Tell what somebody waits for: it is not left out when the supervisor is busy."""
        while not self._tell(told):  # noqa: ASYNC110 - nobody says when a socket of another task has room
            await trio.sleep(_AGAIN_SECONDS)

    async def _look(self, asked: AskRestore, found: list[_Found]) -> None:
        """Ask S3 of each path, and of all below it. Raises _TooMuch, S3Error."""
        for path in asked.paths:
            key = f"{self._prefix}{path}"
            found.append(here := _Found())
            is_there = False
            if path:
                try:
                    here.add(await self._client.head_object(key), begin=asked.begin)
                    is_there = True
                except NoSuchKey:
                    if not asked.recursive and not asked.missing_ok:
                        raise
                _check(asked, found)
            if asked.recursive:
                is_there |= await self._look_below(f"{key}/" if path else key, asked, found)
            if not is_there and not asked.missing_ok:
                raise NoSuchKey("there is no such object, and none below it", status=404, key=key)

    async def _look_below(self, prefix: str, asked: AskRestore, found: list[_Found]) -> bool:
        """Whether there is anything that begins with this.

        Some servers' listings do not say what is being restored: then one is seen to be by a HEAD, and all others are
        asked about, too.
        """
        is_there, token = False, None
        tells: bool | None = None  # the listing says what is being restored; None: there was nothing to learn it by
        while True:
            page = await self._client.list_objects(prefix, delimiter="", token=token)
            for listed in page.objects:
                info = listed
                if listed.archived and not listed.restoring and not tells:
                    info = await self._client.head_object(listed.key)
                    tells = not info.restoring
                found[-1].add(info, begin=asked.begin)
            is_there |= bool(page.objects)
            _check(asked, found)
            token = page.next_token
            if token is None:
                return is_there

    async def _begin(self, asked: AskRestore, found: Sequence[_Found], failures: list[str]) -> None:
        """Have all that are archived restored, and tell how far that is."""
        archived = sum(here.archived for here in found)
        limit = trio.CapacityLimiter(_AT_ONCE)

        async def one(here: _Found, info: ObjectInfo) -> None:
            async with limit:
                try:
                    new = await self._client.restore_object(info.key, days=asked.days, tier=asked.tier)
                except S3Error as error:
                    failures.append(_explained(error))
                    return
            if not new:
                here.goes_on(info)
                return
            here.begins(info, asked.tier)
            if (begun := sum(each.asked for each in found)) % _TOLD_EVERY == 0:
                self._tell(RestoreTaken(number=asked.number, archived=archived, asked=begun))

        await self._surely(RestoreTaken(number=asked.number, archived=archived))  # from now on it is paid for
        async with trio.open_nursery() as nursery:
            for here in found:
                for info in here.to_ask:
                    nursery.start_soon(one, here, info)
        if begun := sum(here.asked for here in found):
            logger.info("S3 restores %d archived objects (%s)", begun, asked.tier, extra=about(RESTORES))

    def _told(self, asked: AskRestore, found: Sequence[_Found], failures: Sequence[str]) -> RestoreTold:
        paths = tuple(
            PathTold(
                under_way=here.under_way,
                asked=here.asked,
                sample="" if here.sample is None else here.sample.key.removeprefix(self._prefix),
                seconds=here.seconds,
            )
            for here in found
        )
        return RestoreTold(
            number=asked.number,
            archived=sum(here.archived for here in found),
            archived_bytes=sum(here.bytes for here in found),
            under_way=sum(here.under_way for here in found),
            readable=sum(here.readable for here in found),
            asked=sum(here.asked for here in found),
            failed=len(failures),
            failure=failures[0] if failures else "",
            paths=paths if len(paths) == len(asked.paths) else (),
        )


def _check(asked: AskRestore, found: Sequence[_Found]) -> None:
    """Raises _TooMuch."""
    if not asked.limited and not asked.begin:
        return
    if sum(here.archived for here in found) > asked.objects_max:
        raise _TooMuch(f"more than {asked.objects_max} objects are archived there: give --max-objects, or fewer paths")
    if asked.bytes_max is not None and sum(here.bytes for here in found) > asked.bytes_max:
        raise _TooMuch(f"more than {asked.bytes_max} bytes are archived there: give --max-bytes, or fewer paths")


def _explained(error: S3Error) -> str:
    return (
        f"{error}: it needs the permission s3:RestoreObject (`mountctl iam-policy --restore`)"
        if isinstance(error, AccessDenied)
        else str(error)
    )
