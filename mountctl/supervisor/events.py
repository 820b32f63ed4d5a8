"""What has happened to mounts and their supervisor: a ring of sentences, for `mountctl events`. In memory only.

The supervisor's parts note what they do or see (each where its log line is written); control/streams.py reads. What
is older than EVENTS_MAX events is in the log.
"""

import json
import time
from collections import deque
from collections.abc import Callable
from enum import StrEnum
from itertools import islice
from typing import Final, NamedTuple, Self

from mountctl.status import utc
from mountctl.supervisor.changes import Changes

# A day with a hundred mounts and a reload an hour; about half a MiB.
EVENTS_MAX: Final = 2000
# Of one sentence. What S3 or an operating system says can be long; a reload of a thousand mounts has an event a mount.
TEXT_CHARACTERS_MAX: Final = 500


class Kind(StrEnum):
    """What kind of thing happened. Each has its meaning, for docs/reference/events.md."""

    meaning: str

    def __new__(cls, value: str, meaning: str) -> Self:
        """A member of this value."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member

    STATE = (
        "state",
        "a mount is in another state, or in the same for another reason; a retry that fails as before is not",
    )
    S3 = "s3", "S3 does not answer a mount, or refuses it as a whole; or does so no longer"
    ENGINE = (
        "engine",
        "an engine that had served ended, and how; another took over, was handed the mount, or was adopted",
    )
    RELOAD = (
        "reload",
        "a reload begins; what it did to each mount that it changed; its end. An upgrade, `confirm` likewise",
    )
    CONFIG = "config", "a configuration was refused, and why"
    LOG = "log", "the level of a mount's log, or of all, was changed"
    HOLD = "hold", "an operator has stopped a mount, or started it"
    VOLUME = (
        "volume",
        "a volume was bound at a target, or again since its mount has another session; or was released there",
    )
    SUPERVISOR = "supervisor", "it begins, or ends"


class Event(NamedTuple):
    """One thing that happened.

    Args:
        id: rises by one from event to event, and over restarts of the supervisor by more.
        at: seconds since the epoch.
        kind: of it.
        mount: whose; None: it is not about one mount.
        state: the mount's, from then on; None: it is not about that.
        text: a sentence.
    """

    id: int
    at: float
    kind: Kind
    mount: str | None
    state: str | None
    text: str

    def json(self) -> str:
        """As it goes over the control socket: keys are added freely, and never renamed."""
        told = self._asdict() | {"at": utc(self.at).isoformat(timespec="milliseconds").replace("+00:00", "Z")}
        return json.dumps(told)  # escaped: names of files may hold what is no text


def by_clock(now: float) -> int:
    """A first number, above those of the supervisor before: a thousand events a second never come for long."""
    return int(now * 1000)


class Events:
    """The ring.

    Args:
        clock: seconds since the epoch.
        first: the first event's number (event_ids.py); 0: by the clock.
    """

    def __init__(self, clock: Callable[[], float] = time.time, first: int = 0) -> None:
        self.changes = Changes()
        self._clock = clock
        self._first = self._next = first or by_clock(clock())
        self._ring: deque[Event] = deque(maxlen=EVENTS_MAX)

    def note(self, kind: Kind, text: str, *, mount: str | None = None, state: str | None = None) -> None:
        """It has happened now."""
        if len(text) > TEXT_CHARACTERS_MAX:
            text = text[: TEXT_CHARACTERS_MAX - 3] + "..."
        self._ring.append(Event(self._next, self._clock(), kind, mount, state, text))
        self._next += 1
        self.changes.tell()

    def after(self, seen: int) -> list[Event]:
        """Those after the one of this number, which may be another supervisor's; all, if it is none that ever was."""
        if not self._ring:
            return []
        if seen >= self._next:  # of a clock that was ahead, and a state directory that is not there any more
            seen = 0
        return list(islice(self._ring, max(0, seen + 1 - self._ring[0].id), None))

    def missed(self, seen: int) -> int:
        """How many that came after this one are in the ring no longer."""
        return max(0, self._ring[0].id - 1 - seen) if self._ring and self._first <= seen < self._next else 0
