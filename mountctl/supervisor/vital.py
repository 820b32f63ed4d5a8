"""What an internal error of the supervisor does: it ends this process as SIGKILL would, and nothing else.

Used by daemon.py and supervisor.py for their tasks. If such an error went its usual way through the nurseries, every
mount would be unmounted on it. But engines go on by themselves, and what is kept of them (fdstore.py) has the next
supervisor adopt them. So there is no clean-up.
"""

import logging
import os
from collections.abc import Awaitable, Callable
from typing import Any, Final

from engine.facts import about
from engine.message_ids import INTERNAL_ERROR
from mountctl.errors import MountctlError

EXIT_INTERNAL_ERROR: Final = 70  # EX_SOFTWARE of sysexits.h

_log = logging.getLogger(__name__)


def vital(task: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    """The task, to be run in a nursery: what it raises and nobody expects ends the process at once.

    Errors with a sentence for a person (MountctlError) go on to whoever waits.
    """

    async def run(*arguments: Any, **options: Any) -> None:
        try:
            await task(*arguments, **options)
        except Exception as error:
            if _is_told(error):
                raise
            text = "internal error; what is mounted is left to the next supervisor"
            _log.critical(text, exc_info=True, extra=about(INTERNAL_ERROR))
            for handler in logging.getLogger().handlers:
                handler.flush()
            os._exit(EXIT_INTERNAL_ERROR)

    return run


def _is_told(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return all(map(_is_told, error.exceptions))
    return isinstance(error, MountctlError)
