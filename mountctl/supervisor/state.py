"""The states of a mount and what leads from one to another: all of it, in one table.

`mount.py` applies events; nothing else changes a state. The words are those of `status --json`.
"""

from enum import StrEnum
from typing import Final

from engine.link import Backend


class MountState(StrEnum):
    """What a mount is, as an operator sees it."""

    STARTING = "starting"  # its first engine is coming up; nothing is mounted yet
    READY = "ready"  # mounted, served, S3 answers
    # Mounted and served, but S3 does not answer, or refuses the mount as a whole; or it is not where it belongs.
    DEGRADED = "degraded"
    RECOVERING = "recovering"  # mounted; its engine is gone and the next one is coming up; programs wait
    BACKOFF = "backoff"  # could not be mounted; tried again after a while
    FAILED = "failed"  # its engines died one after the other; programs get errors, and an operator has it tried again
    DRAINING = "draining"  # being unmounted
    STOPPED = "stopped"  # unmounted


class MountEvent(StrEnum):
    """What can happen to a mount."""

    ENGINE_READY = "engine ready"
    FAILED = "failed"  # before it was mounted: no session, no S3, no credentials, engine died
    RETRY = "retry"
    ENGINE_LOST = "engine lost"  # while mounted
    GIVEN_UP = "given up"  # another engine would be lost as well
    UNMOUNTED = "unmounted"  # by somebody else
    BACKEND_LOST = "backend lost"
    BACKEND_BACK = "backend back"
    MISPLACED = "misplaced"  # programs don't find it where it belongs
    IN_PLACE = "in place"
    STOP = "stop"
    DONE = "done"


_S = MountState
_E = MountEvent

TRANSITIONS: Final[dict[tuple[MountState, MountEvent], MountState]] = {
    (_S.STARTING, _E.ENGINE_READY): _S.READY,
    (_S.STARTING, _E.FAILED): _S.BACKOFF,
    (_S.STARTING, _E.UNMOUNTED): _S.STARTING,  # the last program has let go of what was unmounted lazily
    (_S.BACKOFF, _E.RETRY): _S.STARTING,
    (_S.READY, _E.BACKEND_LOST): _S.DEGRADED,
    (_S.READY, _E.MISPLACED): _S.DEGRADED,
    (_S.READY, _E.ENGINE_LOST): _S.RECOVERING,
    (_S.READY, _E.UNMOUNTED): _S.STARTING,
    (_S.DEGRADED, _E.BACKEND_BACK): _S.READY,
    (_S.DEGRADED, _E.IN_PLACE): _S.READY,
    (_S.DEGRADED, _E.ENGINE_LOST): _S.RECOVERING,
    (_S.DEGRADED, _E.UNMOUNTED): _S.STARTING,
    (_S.RECOVERING, _E.ENGINE_READY): _S.READY,
    (_S.RECOVERING, _E.ENGINE_LOST): _S.RECOVERING,
    (_S.RECOVERING, _E.UNMOUNTED): _S.STARTING,
    **{(state, _E.GIVEN_UP): _S.FAILED for state in (_S.READY, _S.DEGRADED, _S.RECOVERING)},
    (_S.FAILED, _E.RETRY): _S.STARTING,
    (_S.DRAINING, _E.DONE): _S.STOPPED,
    **{
        (state, _E.STOP): _S.DRAINING
        for state in (_S.STARTING, _S.READY, _S.DEGRADED, _S.RECOVERING, _S.BACKOFF, _S.FAILED)
    },
}

# Nothing will change by waiting a moment: what `reload` and READY wait for.
SETTLED: Final = frozenset({_S.READY, _S.DEGRADED, _S.BACKOFF, _S.FAILED, _S.STOPPED})
# An engine serves it, and programs use it.
SERVED: Final = frozenset({_S.READY, _S.DEGRADED})


def next_state(state: MountState, event: MountEvent) -> MountState:
    """Where an event leads. Raises KeyError for one that can't happen in this state: a bug of ours."""
    return TRANSITIONS[state, event]


def after_heartbeat(
    state: MountState, backend: Backend, place: str | None, trouble_before: str | None
) -> MountEvent | None:
    """What an engine's heartbeat means for a mount that is served; None: it stays in its state.

    Args:
        state: the mount's.
        backend: what the engine knows of S3 now.
        place: why programs don't find the mount where it belongs; None: they do.
        trouble_before: what the heartbeat before said of S3.
    """
    if state is _S.READY and (backend.trouble or place) is not None:
        return _E.BACKEND_LOST if backend.trouble else _E.MISPLACED
    if state is _S.DEGRADED and (backend.trouble or place) is None and backend.reachable:
        return _E.IN_PLACE if trouble_before is None else _E.BACKEND_BACK
    return None
