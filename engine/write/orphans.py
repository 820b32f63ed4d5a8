"""Multipart uploads that an engine before left in S3: aborted in the background, for their parts are paid for.

Owned by uploader.py. Tries until S3 says that an upload is gone; what is not by the end of this engine is known to the
next one. Never aborts one that may be somebody else's, or is this engine's own: both may be writing by the same keys.
"""

import contextlib
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial
from typing import Final

import trio

from engine.errors import EngineError
from engine.facts import about
from engine.message_ids import UPLOAD_LEFT, UPLOADS_ABORTED
from engine.s3.interface import ObjectClient
from engine.write.records import UploadRecords

logger = logging.getLogger(__name__)

# Uploads at once: an engine of hundreds of writers leaves hundreds, and programs want to go on meanwhile.
AT_ONCE_MAX: Final = 4

# Seconds between tries; S3's client has tried for a minute by then. Missing leave to abort lasts, an outage passes.
RETRY_SECONDS_MIN: Final = 60.0
RETRY_SECONDS_MAX: Final = 3600.0

# An upload whose beginning was not answered may come to be after we looked: so there is a second look, in seconds.
LOOK_AGAIN_SECONDS: Final = 10.0

# By how many seconds S3's clock may differ from ours: beyond it S3 refuses what we sign.
SKEW_SECONDS_MAX: Final = 900.0


class Orphans:
    """What is to be aborted.

    Args:
        client: S3.
        records: where it is written down that an upload is certainly not in S3 any more.
        whose: who left them, for the log.
    """

    def __init__(self, client: ObjectClient, records: UploadRecords, *, whose: str = "the engine before") -> None:
        self.client: Final = client
        self._records: Final = records
        self._whose: Final = whose
        self._left: dict[str, str] = {}
        self._own: set[str] = set()
        self._beginning: Counter[str] = Counter()  # keys of which S3 may have one more than we know of
        self._asked: dict[str, float] = {}
        self._tried = trio.Event()

    def add(self, uploads: Mapping[str, str], asked: Mapping[str, float]) -> None:
        """Further ones, to be called before `run`.

        Args:
            uploads: keys by upload id.
            asked: when S3 was asked to begin one, by key; its answer is not known.
        """
        self._left.update(uploads)
        self._asked.update(asked)

    @contextlib.contextmanager
    def beginning(self, key: str) -> Iterator[None]:
        """In here this engine itself begins an upload of this key; then call `spare`."""
        self._beginning[key] += 1
        try:
            yield
        finally:
            self._beginning[key] -= 1
            if not self._beginning[key]:
                del self._beginning[key]  # or each key that was ever written would stay

    def spare(self, upload_id: str) -> None:
        """This engine has begun this one, or goes on with it."""
        self._own.add(upload_id)

    def over(self, upload_id: str) -> None:
        """It is complete or aborted, so it can't be found."""
        self._own.discard(upload_id)

    async def tried(self) -> None:
        """Wait until each was tried once: from then on none of them can become an object, if S3 could be asked."""
        if self._left:
            await self._tried.wait()

    async def run(self) -> None:
        """Abort all; ends when none is left."""
        async with trio.open_nursery() as nursery:
            if self._asked:
                nursery.start_soon(self._look_for_all)
            await self._abort_all()

    async def run_later(self) -> None:
        """The same, for what has just failed."""
        await trio.sleep(RETRY_SECONDS_MIN)
        await self.run()

    async def _abort_all(self) -> None:
        count, seconds = len(self._left), RETRY_SECONDS_MIN
        while self._left:
            failures = await _try_all([partial(self._abort, each, key) for each, key in self._left.items()])
            if not self._tried.is_set() and failures:
                logger.warning(
                    "%d multipart uploads of %s are still in S3, and are tried again: %s",
                    len(failures),
                    self._whose,
                    failures[0],
                    extra=about(UPLOAD_LEFT),
                )
            self._tried.set()
            if failures:
                await trio.sleep(seconds)
                seconds = min(RETRY_SECONDS_MAX, seconds * 2)
        if count:
            logger.info("%d multipart uploads of %s were aborted", count, self._whose, extra=about(UPLOADS_ABORTED))

    async def _abort(self, upload_id: str, key: str) -> None:
        await self.client.abort_multipart_upload(key, upload_id)
        del self._left[upload_id]
        self._records.upload_ended(upload_id)

    async def _look_for_all(self) -> None:
        known, looks = set(self._left), 0
        while True:
            failures = await _try_all([partial(self._look_for, key, known) for key in self._asked])
            looks += 1
            # What is begun here meanwhile can't be told from what we look for, until S3 has answered.
            if not self._asked or (looks > 1 and not any(self._beginning[key] for key in self._asked)):
                break
            await trio.sleep(LOOK_AGAIN_SECONDS)
        for key in list(self._asked):
            self._records.upload_looked_for(key)
        if failures:
            text = "whether the engine before left further uploads in S3 is not known: %s"
            logger.warning(text, failures[0], extra=about(UPLOAD_LEFT))

    async def _look_for(self, key: str, known: set[str]) -> None:
        """Find the upload that was begun, if it was, and abort it."""
        since = self._asked[key] - SKEW_SECONDS_MAX
        listed = await self.client.list_multipart_uploads(key)
        if self._beginning[key]:
            return
        others = known | self._own
        found = [
            upload
            for upload in listed
            if upload.key == key and upload.upload_id not in others and upload.initiated >= since
        ]
        if len(found) > 1:
            text = "%d uploads of %r were begun lately: none is aborted, as one only is ours"
            logger.warning(text, len(found), key, extra=about(UPLOAD_LEFT, key=key))
        elif found:
            await self.client.abort_multipart_upload(key, found[0].upload_id)
        if found:
            del self._asked[key]
            self._records.upload_looked_for(key)


async def _try_all(calls: list[Callable[[], Awaitable[None]]]) -> list[EngineError]:
    """Make all calls, some at once; returns what failed."""
    failures: list[EngineError] = []
    limit = trio.CapacityLimiter(AT_ONCE_MAX)

    async def attempt(call: Callable[[], Awaitable[None]]) -> None:
        async with limit:
            try:
                await call()
            except EngineError as error:
                failures.append(error)

    async with trio.open_nursery() as nursery:
        for call in calls:
            nursery.start_soon(attempt, call)
    return failures
