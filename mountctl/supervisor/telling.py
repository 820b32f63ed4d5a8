"""What becomes of a mount, in the log and among the events. Called by mount.py, engines.py and by_hand.py.

One place, so that `mountctl events` and the log tell the same. Decides nothing.
"""

import logging
from typing import Final

from engine.facts import about
from engine.message_ids import ENGINE_CHANGED, HELD, LOG_LEVEL, MOUNT_STATE, S3_STATE, UNMOUNTED
from mountctl.supervisor.events import Events, Kind
from mountctl.supervisor.state import MountEvent, MountState

_log = logging.getLogger(__name__)

_OF_S3: Final = (MountEvent.BACKEND_LOST, MountEvent.BACKEND_BACK)


def state(
    events: Events,
    name: str,
    event: MountEvent,
    states: tuple[MountState, MountState],
    reason: str | None,
    *,
    said: str | None,
) -> None:
    """A mount has gone from one state to another, or is in the same for another reason.

    Args:
        events: the ring.
        name: of the mount.
        event: what happened to it.
        states: before and after.
        reason: why, in a sentence.
        said: the reason that was given before.
    """
    (before, after), known = states, reason == said
    # A retry that fails as before is not news.
    is_news = not (known and reason is not None and after is MountState.BACKOFF)
    level = logging.INFO if reason is None or (known and is_news) else logging.WARNING if is_news else logging.DEBUG
    text = f"{before} -> {after}{f': {reason}' if reason else ''}"
    of_s3 = event in _OF_S3
    _log.log(level, "%s: %s", name, text, extra=about(S3_STATE if of_s3 else MOUNT_STATE))
    if is_news:
        events.note(Kind.S3 if of_s3 else Kind.STATE, text, mount=name, state=after)


def still(events: Events, name: str, state: MountState, reason: str, *, of_s3: bool) -> None:
    """A mount is in the same state for another reason."""
    text = f"still {state}: {reason}"
    _log.warning("%s: %s", name, text, extra=about(S3_STATE if of_s3 else MOUNT_STATE))
    events.note(Kind.S3 if of_s3 else Kind.STATE, text, mount=name, state=state)


def hold(events: Events, name: str, text: str, state: str | None = None) -> None:
    """What an operator has done to a mount; `state`: the mount's from then on."""
    _log.info("%s: %s", name, text, extra=about(HELD))
    events.note(Kind.HOLD, text, mount=name, state=state)


def engine(events: Events, name: str, text: str) -> None:
    """Something about the engine of a mount."""
    _log.info("%s: %s", name, text, extra=about(ENGINE_CHANGED))
    events.note(Kind.ENGINE, text, mount=name)


def unmounted(name: str, mountpoint: str, then: str) -> None:
    """Somebody else has unmounted a mount. Its state is told besides."""
    _log.warning("%s: %s was unmounted by somebody else; %s", name, mountpoint, then, extra=about(UNMOUNTED))


def log_level(events: Events, text: str, name: str | None = None) -> None:
    """What the log level of a mount, or of all, is from now on."""
    _log.info("%s%s", f"{name}: " if name else "", text, extra=about(LOG_LEVEL))
    events.note(Kind.LOG, text, mount=name)
