"""Whether S3 is there and lets this mount in, also when no program asks anything.

Run by run.py beside the session. Asks on an idle backend, on one that does not answer, and after a denial: a 403 may be
one object's permission, or the mount's whole. What answers mean for `EngineStats.backend` the client records, but for
the refusal of the listing that is asked for here.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Final

import trio

from engine.errors import BadResponse, S3Error, Throttled, Unreachable
from engine.s3.client import KEYS_SECONDS_MAX
from engine.s3.interface import ObjectClient
from engine.stats import EngineStats

logger = logging.getLogger(__name__)

# Without any answer of S3 for this long, ask: an idle mount's status is hardly older. In seconds; 8,640 requests a day
# are about 0.4 cents at Amazon's prices (4 as listings, for keys that may list the mount's prefix only).
IDLE_SECONDS: Final = 10.0

# While there is trouble: soon enough that `status` tells of its end before people ask. In seconds.
TROUBLE_SECONDS: Final = 2.0

# S3 answers a probe in milliseconds; what takes longer than this is no answer to whoever watches. In seconds.
PROBE_SECONDS_MAX: Final = 5.0

_LISTING: Final = "ListObjectsV2"


class BackendProber:
    """Asks S3 for a sign of life when nothing else does, and for the mount's listing when something was denied.

    Args:
        client: asked by `probe` and `list_objects`.
        stats: its `answers`, `denials` and `backend` say what is known.
        prefix: the mount's.
        explain: why S3 refuses to list it, and how to mend that, as a sentence.
    """

    def __init__(
        self, client: ObjectClient, stats: EngineStats, *, prefix: str, explain: Callable[[S3Error], str]
    ) -> None:
        self._client = client
        self._stats = stats
        self._prefix = prefix
        self._explain = explain
        self._may_probe = True  # HeadBucket tells something: not to keys that may list one prefix only
        self._soon = trio.Event()

    def ask_soon(self) -> None:
        """Something changed, such as the keys: what is known is old."""
        self._soon.set()

    async def run(self) -> None:
        """Probe until cancelled."""
        while True:
            answers, denials = self._stats.answers, self._stats.denials
            changed = await self._pause()
            if changed or self._stats.backend.refused is not None or self._stats.denials != denials:
                await self._ask_for_listing()
            elif self._stats.answers == answers:
                await self._probe()

    async def _pause(self) -> bool:
        """Until a probe is due if nobody else has an answer by then; True if it is needed anyway."""
        self._soon = trio.Event()
        with trio.move_on_after(TROUBLE_SECONDS if self._stats.backend.trouble else IDLE_SECONDS):
            await self._soon.wait()
        return self._soon.is_set()

    async def _probe(self) -> None:
        if self._may_probe:
            error = await self._ask(self._client.probe, PROBE_SECONDS_MAX)
            if error is None or not _is_refusal(error):
                return
        self._may_probe = not await self._ask_for_listing()

    async def _ask_for_listing(self) -> bool:
        """List one key, as every lookup needs; True if S3 did."""

        async def first_key() -> None:
            await self._client.list_objects(self._prefix, max_keys=1)

        error = await self._ask(first_key, PROBE_SECONDS_MAX + KEYS_SECONDS_MAX)  # other keys may be waited for
        if error is not None and _is_refusal(error) and self._stats.backend.refused is None:
            self._stats.refused(self._explain(error), lifted_by=_LISTING)
        return error is None

    async def _ask(self, question: Callable[[], Awaitable[None]], seconds_max: float) -> S3Error | None:
        """Ask; the error, if S3 gave one. A question that got no answer in time tells nothing but that."""
        try:
            with trio.fail_after(seconds_max):
                await question()
        except trio.TooSlowError:
            silence = Unreachable(f"S3 did not answer within {seconds_max:.0f} seconds")
            self._stats.unreachable(str(silence))
            return silence
        except S3Error as error:
            logger.debug("probe: %s", error)  # the client has noted in `stats.backend` what it means
            return error
        return None


def _is_refusal(error: S3Error) -> bool:
    """S3 has understood, and will not: it is not away, not busy and not garbled."""
    return 300 <= error.status < 500 and not isinstance(error, Unreachable | Throttled | BadResponse)
