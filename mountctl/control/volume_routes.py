"""What an orchestrator asks over the control socket: volumes, by mountctl/volume.py. Called by server.py."""

import logging
import os
from typing import Final

from pydantic import ValidationError

from mountctl.control.answers import Answer, problem, told
from mountctl.control.offer import Control
from mountctl.control.peers import Peer
from mountctl.control.protocol import APPLY_PATH, packed
from mountctl.supervisor.volumes.causes import CannotApply
from mountctl.volume import Apply, Cause, Release

# Any other is a trouble of now: it may be gone when it is asked again.
_STATUS: Final = {Cause.INVALID: 400, Cause.NOT_ALLOWED: 403, Cause.CONFLICT: 409}
_UNAVAILABLE: Final = 503

_log = logging.getLogger(__name__)


async def answer(method: bytes, path: str, body: bytes, control: Control, peer: Peer) -> Answer:
    """The answer to one of the two requests about volumes, right or wrong. Raises nothing."""
    if method == b"HEAD":
        return Answer(405, b"", allow="POST")  # an answer to HEAD has no body
    if method != b"POST":
        return problem(405, f"{path} takes POST", allow="POST")
    if peer.uid not in (0, os.geteuid()):
        return problem(403, f"user {peer.uid} may not use volumes: only root may")
    try:
        if path == APPLY_PATH:
            return Answer(200, packed(await control.apply(Apply.model_validate_json(body))))
        return Answer(200, packed(await control.release(Release.model_validate_json(body))))
    except ValidationError as error:
        return problem(400, f"that is not a request for a volume: {told(error)}", cause=Cause.INVALID)
    except CannotApply as refusal:
        return problem(_STATUS.get(refusal.cause, _UNAVAILABLE), str(refusal), cause=refusal.cause)
    except Exception:  # noqa: BLE001 - a bug in one answer is told, and ends nothing
        _log.exception("control socket: %s failed", path)
        return problem(_UNAVAILABLE, "internal error; the supervisor's log has it", cause=Cause.INTERNAL)
