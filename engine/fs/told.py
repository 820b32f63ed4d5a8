"""What writing has to tell in the log. Called by writing.py."""

import logging

from engine.errors import EngineError
from engine.facts import about
from engine.message_ids import REQUEST_FAILED, UPLOAD_LOST

logger = logging.getLogger(__name__)


def lost(key: str, error: EngineError) -> None:
    """A file was closed, and did not become an object behind its program's back."""
    facts = about(UPLOAD_LOST, key=key, error=error)
    logger.error("%r is not uploaded, and its program was not told: %s", key, error, extra=facts)


def overwrite_wanted() -> None:
    """A program opens a file to replace it, which this mount does not let it."""
    logger.warning(
        "a program wanted to empty a file that exists: only with allow-overwrite files are replaced",
        extra=about(REQUEST_FAILED),
    )
