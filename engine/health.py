"""Whether S3 is there, also when no program asks anything: probes on an idle or unreachable backend.

Run by run.py beside the session. Only asks; what the answer means for `EngineStats.backend` the client records.
"""

import logging
from typing import Final

import trio

from engine.errors import S3Error
from engine.s3.interface import ObjectClient
from engine.stats import EngineStats

logger = logging.getLogger(__name__)

# Without any answer of S3 for this long, ask: an idle mount's status is hardly older. In seconds; 8,640 requests a day
# are about 0.4 cents at Amazon's prices.
IDLE_SECONDS: Final = 10.0

# While S3 does not answer: soon enough that `status` tells of its return before people ask. In seconds.
UNREACHABLE_SECONDS: Final = 2.0

# S3 answers a probe in milliseconds; what takes longer than this is no answer to whoever watches. In seconds.
PROBE_SECONDS_MAX: Final = 5.0


class BackendProber:
    """Asks S3 for a sign of life when nothing else does.

    Args:
        client: asked by `probe`.
        stats: its `answers` and `backend` say what is known.
    """

    def __init__(self, client: ObjectClient, stats: EngineStats) -> None:
        self._client = client
        self._stats = stats

    async def run(self) -> None:
        """Probe until cancelled."""
        while True:
            before = self._stats.answers
            await self._pause()
            if self._stats.answers == before:
                await self._probe()

    async def _pause(self) -> None:
        """Until a probe is due if nobody else has an answer by then."""
        unreachable = self._stats.backend.reachable is False
        await trio.sleep(UNREACHABLE_SECONDS if unreachable else IDLE_SECONDS)

    async def _probe(self) -> None:
        try:
            with trio.fail_after(PROBE_SECONDS_MAX):
                await self._client.probe()
        except trio.TooSlowError:
            self._stats.unreachable(f"S3 did not answer within {PROBE_SECONDS_MAX:.0f} seconds")
        except S3Error as error:
            logger.debug("probe: %s", error)  # the client has noted in `stats.backend` what it means
