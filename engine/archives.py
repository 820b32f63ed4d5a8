"""Archived objects of a mount: has S3 restore them, knows what is under way. One `Archives` an engine, made by run.py.

S3 says of each object whether it has a copy, makes one, or neither: that is asked anew each time, and nothing is kept
over the end of an engine but what S3 itself knows. What is under way is looked at now and then, one object for all that
were asked for together: S3 gives no other sign.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

import trio

from engine.errors import AccessDenied, NoSuchKey, S3Error
from engine.restores import AskRestore, RestoresUnderWay, RestoreTold
from engine.s3.interface import ListPage, ObjectInfo

# Requests at once: S3 takes them on in some 50 ms each, and reading needs connections, too.
_AT_ONCE: Final = 8
# Amazon's documentation, "Archive retrieval options": how long it takes at most as a rule, in seconds, by tier.
_EXPECTED_SECONDS: Final = {"Expedited": 5 * 60.0, "Standard": 5 * 3600.0, "Bulk": 12 * 3600.0}
_EXPECTED_DEEP_SECONDS: Final = {"Expedited": 12 * 3600.0, "Standard": 12 * 3600.0, "Bulk": 48 * 3600.0}
# How often one of them is looked at: twenty requests in the usual time of the tier, once a minute at most.
_LOOKS: Final = 20
_LOOK_SECONDS_MIN: Final = 60.0

logger = logging.getLogger(__name__)


class Client(Protocol):
    """S3, as far as it is needed here."""

    async def head_object(self, key: str) -> ObjectInfo: ...  # noqa: D102
    async def list_objects(self, prefix: str, *, delimiter: str = "/", token: str | None = None) -> ListPage: ...  # noqa: D102
    async def restore_object(self, key: str, *, days: int, tier: str) -> bool: ...  # noqa: D102


@dataclass
class _Batch:
    """Objects that were asked for together. `expected`: when they may be there, on trio's clock."""

    keys: list[str]
    tier: str
    expected: float
    look_at: float


@dataclass
class _Found:
    """What was found of a request, before anything is asked of S3."""

    archived: list[ObjectInfo] = field(default_factory=list)
    restoring: list[ObjectInfo] = field(default_factory=list)
    readable: int = 0
    bytes: int = 0

    def add(self, info: ObjectInfo) -> None:
        if not info.archived:
            self.readable += 1
        elif info.restoring:
            self.restoring.append(info)
        else:
            self.archived.append(info)
            self.bytes += info.size


class _TooMuch(Exception):
    """More than the request allows; the text is a sentence."""


class Archives:
    """What is archived in a mount.

    Args:
        client: S3.
        prefix: the mount's.
        tell: sends the supervisor a message.
    """

    def __init__(self, client: Client, prefix: str, tell: Callable[[RestoreTold | RestoresUnderWay], object]) -> None:
        self._client = client
        self._prefix = prefix
        self._tell = tell
        self._batches: list[_Batch] = []
        self._changed = trio.Event()

    async def serve(self, requests: trio.MemoryReceiveChannel[AskRestore]) -> None:
        """Answer requests, one after the other, and look at what is under way; until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.run)
            async for asked in requests:
                await self.answer(asked)

    async def answer(self, asked: AskRestore) -> None:
        """Do what a request asks for, and tell what came of it. Raises nothing of S3's."""
        found = _Found()
        try:
            await self._look(asked, found)
        except _TooMuch as refusal:
            told = RestoreTold(number=asked.number, failure=str(refusal))
        except S3Error as error:
            told = RestoreTold(number=asked.number, failed=1, failure=str(error))
        else:
            told = await self._begin(asked, found) if asked.begin else _counted(asked, found)
            self._note(asked, [info for info in found.restoring if info.archived])
        self._tell(told)
        self.tell()

    async def run(self) -> None:
        """Look at what is under way until cancelled."""
        while True:
            due = min((batch.look_at for batch in self._batches), default=float("inf"))
            self._changed = trio.Event()
            with trio.move_on_at(due):
                await self._changed.wait()
                continue
            for batch in [each for each in self._batches if each.look_at <= trio.current_time()]:
                await self._look_at(batch)
            self.tell()

    def tell(self) -> None:
        """Tell the supervisor what is under way."""
        offset = _epoch_offset()
        self._tell(
            RestoresUnderWay(
                count=sum(len(batch.keys) for batch in self._batches),
                next_expected=min((batch.expected + offset for batch in self._batches), default=None),
            )
        )

    async def _look(self, asked: AskRestore, found: _Found) -> None:
        """Ask S3 of each path, and of all below it. Raises _TooMuch, S3Error."""
        for path in asked.paths:
            key = f"{self._prefix}{path}"
            is_there = False
            if path:
                try:
                    found.add(await self._client.head_object(key))
                    is_there = True
                except NoSuchKey:
                    if not asked.recursive:
                        raise
                _check(asked, found)
            if asked.recursive and not await self._look_below(f"{key}/" if path else key, asked, found) | is_there:
                raise NoSuchKey("there is no such object, and none below it", status=404, key=key)

    async def _look_below(self, prefix: str, asked: AskRestore, found: _Found) -> bool:
        """Whether there is anything that begins with this."""
        is_there, token = False, None
        while True:
            page = await self._client.list_objects(prefix, delimiter="", token=token)
            for info in page.objects:
                found.add(info)
            is_there |= bool(page.objects)
            _check(asked, found)
            token = page.next_token
            if token is None:
                return is_there

    async def _begin(self, asked: AskRestore, found: _Found) -> RestoreTold:
        """Have all that are archived restored."""
        begun: list[ObjectInfo] = []
        failures: list[S3Error] = []
        limit = trio.CapacityLimiter(_AT_ONCE)

        async def one(info: ObjectInfo) -> None:
            async with limit:
                try:
                    new = await self._client.restore_object(info.key, days=asked.days, tier=asked.tier)
                except S3Error as error:
                    failures.append(error)
                    return
            (begun if new else found.restoring).append(info)

        async with trio.open_nursery() as nursery:
            for info in found.archived:
                nursery.start_soon(one, info)
        self._note(asked, begun)
        if begun:
            logger.info("S3 restores %d archived objects (%s)", len(begun), asked.tier)
        return RestoreTold(
            number=asked.number,
            archived=len(found.archived),
            archived_bytes=found.bytes,
            under_way=len(found.restoring) + len(begun),
            readable=found.readable,
            asked=len(begun),
            failed=len(failures),
            failure=_explained(failures[0]) if failures else "",
        )

    def _note(self, asked: AskRestore, infos: list[ObjectInfo]) -> None:
        known = {key for batch in self._batches for key in batch.keys}
        for deep in (False, True):
            keys = sorted(i.key for i in infos if i.key not in known and (i.storage_class == "DEEP_ARCHIVE") is deep)
            if keys:
                seconds = (_EXPECTED_DEEP_SECONDS if deep else _EXPECTED_SECONDS)[asked.tier]
                now = trio.current_time()
                self._batches.append(_Batch(keys, asked.tier, now + seconds, now + _pause(seconds)))
                self._changed.set()

    async def _look_at(self, batch: _Batch) -> None:
        """If the first of a batch is there, look at all others; those that are there are no longer under way."""
        left: list[str] = []
        for number, key in enumerate(batch.keys):
            if await self._is_under_way(key):
                left.append(key)
                if number == 0:
                    left = batch.keys
                    break
        if len(left) < len(batch.keys):
            logger.info("%d archived objects are restored and can be read", len(batch.keys) - len(left))
        batch.keys = left
        batch.look_at = trio.current_time() + _pause(_EXPECTED_SECONDS[batch.tier])
        self._batches = [each for each in self._batches if each.keys]

    async def _is_under_way(self, key: str) -> bool:
        try:
            info = await self._client.head_object(key)
        except NoSuchKey:
            return False
        except S3Error:
            return True  # it may be there the next time
        return info.archived and info.restoring


def _check(asked: AskRestore, found: _Found) -> None:
    """Raises _TooMuch."""
    if len(found.archived) > asked.objects_max:
        raise _TooMuch(f"more than {asked.objects_max} objects are archived there: give --max-objects, or fewer paths")
    if asked.bytes_max is not None and found.bytes > asked.bytes_max:
        raise _TooMuch(f"more than {asked.bytes_max} bytes are archived there: give --max-bytes, or fewer paths")


def _explained(error: S3Error) -> str:
    return f"{error}: it needs the permission s3:RestoreObject" if isinstance(error, AccessDenied) else str(error)


def _counted(asked: AskRestore, found: _Found) -> RestoreTold:
    return RestoreTold(
        number=asked.number,
        archived=len(found.archived),
        archived_bytes=found.bytes,
        under_way=len(found.restoring),
        readable=found.readable,
    )


def _pause(seconds: float) -> float:
    return max(_LOOK_SECONDS_MIN, seconds / _LOOKS)


def _epoch_offset() -> float:
    return time.time() - trio.current_time()
