"""What a supervisor before this one has left of a mount, taken apart: its session, the engine that serves it, others.

Called by supervisor.py at its start. Decides who is adopted, and ends the others.

A supervisor may die between any two of its steps, and every time the next one must find a mount that it can go on
with. What is kept of a mount (fdstore.py) says enough, because the steps come in this order:

* A new mount: session and engine are kept, then it is attached, then that is written down. Died before it was
  attached: the detached mount ended with the supervisor, the kernel closed the connection, and what was kept of it is
  dropped. Died after: the kernel's list of mounts has it.
* A new engine on a session: its generation is written down, it is forked, its link and pidfd are kept, and only then
  it gets its credentials. Died before it is kept: its link closes and it ends; without credentials it has not touched
  the session. So there never is an engine on the session that the next supervisor does not know. The next generation
  leaves a number out, which nobody minds.
* An engine's end: it is waited for, then no longer kept. Died in between: its pidfd says that it has ended.
* A handover: the successor is kept beside the engine that serves. The older one that lives is the one to adopt: it
  serves, or ends by itself because it was told to, and is replaced like any that ends. The younger one has no session
  yet, and is ended before anybody starts another. Once the old one has ended, the successor is the only one, and is
  told to take over, in case it was not. What the old one has handed over of files being written is kept before that,
  until a successor serves (bequest.py), and goes to whichever serves next.
* An unmount: the mount goes first, then the engine, then what is kept. Died in between: it is not in the kernel's list,
  and a session that has neither a mount nor an engine is dropped.

Link and pidfd are kept by the generation of their engine, so that a new pair never takes the place of an old one.
"""

import logging
import os
import select
import socket
from dataclasses import dataclass, field
from typing import Final

import trio

from engine.facts import about
from engine.link import Link, LinkClosed, Stop, pair
from engine.message_ids import MOUNT_LEFT
from mountctl.supervisor import bequest, placing
from mountctl.supervisor.fdstore import FdStore
from mountctl.supervisor.process import ForkedProcess
from mountctl.supervisor.session import KINDS, Session

_LINK: Final = "link"
_PIDFD: Final = "pidfd"
# One that has no session of its own has nothing to finish.
_END_SECONDS: Final = 1.0

_log = logging.getLogger(__name__)


@dataclass
class Left:
    """What was left of one mount. All in it is owned by whoever has this.

    Args:
        session: it; None if it can't be had.
        engine: the one that serves it, alive.
        generation: the engine's.
        others: processes that must have ended before another engine is started.
    """

    session: Session | None
    engine: ForkedProcess | None = None
    generation: int = 0
    others: list[ForkedProcess] = field(default_factory=list)


async def find(fds: FdStore) -> dict[str, Left]:
    """What is left and can be gone on with, by mount. The rest is cleared away, and engines of no use have ended."""
    found, others = {}, []
    for name, kept in (await fds.take()).items():
        kinds = set(kept)
        left = take_apart(kept)
        others += left.others
        if _is_of_use(left):
            found[name] = left
            kinds -= {*KINDS, *(kinds_of(left.generation) if left.engine is not None else ())}
            kinds -= left.session.bequest.kept.keys() if left.session is not None else set()
        else:
            others += [left.engine] if left.engine is not None else []
            await _clear(name, left.session)
        fds.drop(name, tuple(kinds))
    with trio.CancelScope(shield=True):  # nobody has yet what was found
        async with trio.open_nursery() as nursery:
            for process in others:
                nursery.start_soon(_end, process)
    return found


def _is_of_use(left: Left) -> bool:
    session = left.session
    if session is None or not session.connected():
        return False
    # One that somebody has unmounted lazily goes on for those who have files open, as long as it has its engine.
    return left.engine is not None or session.alive()


async def _clear(name: str, session: Session | None) -> None:
    if session is None:
        _log.warning(
            "%s: what the supervisor before has left of it can't be read: it is mounted anew",
            name,
            extra=about(MOUNT_LEFT),
        )
        return
    if session.alive():
        _log.warning(
            "%s: the connection of the mount at %s is gone: detaching it",
            name,
            session.mountpoint,
            extra=about(MOUNT_LEFT),
        )
        try:
            await placing.unmount(session)
        except OSError as error:  # somebody was quicker
            _log.warning("%s: it can't be detached: %s", name, error, extra=about(MOUNT_LEFT))
    session.close()


async def _end(process: ForkedProcess) -> None:
    try:
        process.link.send_nowait(Stop())
    except LinkClosed:
        _log.debug("process %d is on its way out", process.pid)
    await process.end(_END_SECONDS)
    process.close()


def kinds_of(generation: int) -> tuple[str, str]:
    """Under which kinds an engine's link and pidfd are kept."""
    return f"{_LINK}-{generation}", f"{_PIDFD}-{generation}"


def take_apart(fds: dict[str, int]) -> Left:
    """Sort what was kept of one mount, by kind. Owns the `fds`."""
    left = Left(Session.restore({kind: fds.pop(kind) for kind in KINDS if kind in fds}))
    if left.session is not None:
        left.session.bequest = bequest.found(fds)
    for generation in sorted(_generations(fds)):
        link, pidfd = (fds.pop(kind, None) for kind in kinds_of(generation))
        pid = None if pidfd is None else _pid(pidfd)
        if pid is None or pidfd is None:  # it has ended
            _close(link, pidfd)
            continue
        process = ForkedProcess(pid, pidfd, _link(link))
        # One in a namespace of processes that we don't see can't be killed, should it hang; it ends by its link.
        if left.engine is None and left.session is not None and link is not None and pid:
            left.engine, left.generation = process, generation
        else:
            left.others.append(process)
    _close(*fds.values())
    return left


def _generations(fds: dict[str, int]) -> set[int]:
    named = (kind.partition("-") for kind in fds)
    return {int(number) for what, _, number in named if what in (_LINK, _PIDFD) and number.isdecimal()}


def _link(fd: int | None) -> Link:
    """A link; one that is closed on the other side, if there is none."""
    if fd is not None:
        return Link(socket.socket(fileno=fd))
    ours, theirs = pair()
    theirs.close()
    return Link(ours)


def _close(*fds: int | None) -> None:
    for fd in fds:
        if fd is not None:
            os.close(fd)


def _pid(pidfd: int) -> int | None:
    """The process that a pidfd is of; 0: one that is not visible here; None if it has ended, or if it is no pidfd."""
    with open(f"/proc/self/fdinfo/{pidfd}", encoding="ascii") as file:
        told = dict(line.split(":\t", 1) for line in file.read().splitlines() if ":\t" in line)
    pid = int(told.get("Pid", "-1"))
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return None if pid < 0 or poll.poll(0) else pid
