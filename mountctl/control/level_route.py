"""The control socket's `log-level`: what may be asked. Called by server.py."""

from collections.abc import Mapping, Sequence
from typing import get_args

from engine.logged import Level
from mountctl.control.answers import Answer, problem
from mountctl.control.offer import Control
from mountctl.control.peers import Peer
from mountctl.control.protocol import (
    DEFAULT_LEVEL,
    LEVEL_PATH,
    LEVEL_SECONDS_MAX,
    NAME_PARAMETER,
    RestartResult,
    packed,
)


async def answer(method: bytes, control: Control, asked: Mapping[str, Sequence[str]], peer: Peer) -> Answer:
    """Change the level of one mount. Raises UnknownMount, or another MountctlError."""
    if method != b"POST":
        return problem(405, f"{LEVEL_PATH} takes POST", allow="POST")
    [name, *others] = asked.get(NAME_PARAMETER, []) or [""]
    if others or not name:
        return problem(400, f"which mount? {LEVEL_PATH}?{NAME_PARAMETER}=...")
    levels: dict[str, Level | None] = {each: each for each in get_args(Level)} | {DEFAULT_LEVEL: None}
    wanted = asked.get("level", [""])[0]
    if wanted not in levels:
        return problem(400, f"level must be one of {', '.join(levels)}")
    try:
        seconds = float(asked["seconds"][0]) if "seconds" in asked else None
    except ValueError:
        seconds = -1.0
    if seconds is not None and not 0 < seconds <= LEVEL_SECONDS_MAX:
        return problem(400, f"seconds must be more than 0 and at most {LEVEL_SECONDS_MAX:.0f}")
    told = await control.set_log_level(name, levels[wanted], seconds, peer.uid)
    return Answer(200, packed(RestartResult(mounts={name: told})))
