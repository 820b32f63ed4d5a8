"""How long to wait before the next try. Pure; used by mount.py and access.py."""

import random
from typing import Final

# The first retry is hardly noticed; a minute is the longest that an operator who has mended S3 should wait.
FIRST_SECONDS: Final = 0.2
LONGEST_SECONDS: Final = 30.0
# A fifth either way: engines that died together do not come back in step.
JITTER: Final = 0.2
# Whoever served this long has recovered: the next failure starts from the beginning.
HEALTHY_AFTER_SECONDS: Final = 60.0


class Backoff:
    """Delays that double from FIRST_SECONDS to LONGEST_SECONDS, with jitter."""

    def __init__(self) -> None:
        self._failures = 0

    def next_delay(self) -> float:
        """Seconds to wait after one more failure."""
        delay: float = min(LONGEST_SECONDS, FIRST_SECONDS * 2.0**self._failures)
        self._failures += 1 if delay < LONGEST_SECONDS else 0
        return delay * random.uniform(1 - JITTER, 1 + JITTER)

    def served(self, seconds: float) -> None:
        """The last attempt worked for so long."""
        if seconds >= HEALTHY_AFTER_SECONDS:
            self._failures = 0
