"""With which configuration a supervisor begins: the file's, or the last good one. Called by supervisor.py."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from engine.facts import about
from engine.message_ids import RELOAD
from mountctl.config.load import Config
from mountctl.errors import ConfigError
from mountctl.supervisor.remembered import Remembered
from mountctl.supervisor.results import Reload

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Trying:
    """The configuration is on trial since a supervisor before.

    Args:
        before: what was in force before it.
        until: when it ends, in seconds since the epoch.
        seconds: how long it was to last.
    """

    before: Config
    until: float
    seconds: float


def begin(load: Callable[[], Config], remembered: Remembered) -> tuple[Config, Reload, Trying | None]:
    """What is in force from the start, what became of the file, and whether that is on trial. Raises ConfigError.

    A file that was on trial when its time was over is in force only when somebody reloads it, or writes another.
    """
    last_good, trials = remembered.last_good, remembered.trials
    if last_good is None or trials is None:
        return load(), Reload(ok=True), None
    noted, before = trials.read(), last_good.kept()
    try:
        config = load()
    except ConfigError as error:
        return *last_good.instead_of(error), None
    if noted is None or before is None or not noted.is_of(config):
        trials.remove()
        last_good.note(config)
        return config, Reload(ok=True), None
    left = noted.until - time.time()
    if left <= 0:
        told = nobody_confirmed(noted.seconds)
        _log.warning("%s", told, extra=about(RELOAD))
        return before, Reload(ok=False, errors=(told,)), None
    # A clock that went back makes no trial longer.
    until = time.time() + min(left, noted.seconds)
    return config, Reload(ok=True), Trying(before, until, noted.seconds)


def nobody_confirmed(seconds: float) -> str:
    """What is told of a trial that is over."""
    return f"nobody confirmed the last reload within {seconds:.0f} s: what was in force before is so again"
