"""What of a mount is kept for the supervisor that comes after this one: says when, in terms of sessions and engines.

Called by mount.py, one object a mount. The order of steps that makes it safe to die between any two stands in
adoption.py.
"""

from collections.abc import Callable

from mountctl.supervisor.engine import Engine
from mountctl.supervisor.fdstore import FdStore
from mountctl.supervisor.mounts_file import MountsFile
from mountctl.supervisor.session import KINDS, Session


class Keeping:
    """What is kept of one mount.

    Args:
        fds: the store.
        noted: the state file.
        leaving: whether a supervisor comes after this one: then what is kept stays kept.
        name: the mount's.
        mine: what is kept by this name is this mount's, and not that of another which it is to replace.
    """

    def __init__(self, fds: FdStore, noted: MountsFile, leaving: Callable[[], bool], name: str, *, mine: bool) -> None:
        self._fds = fds
        self._noted = noted
        self._leaving = leaving
        self._name = name
        self._mine = mine

    def let_go(self, engine: Engine) -> None:
        """Another mount of its name is about to be kept: nothing is kept of this one any more."""
        self._fds.drop(self._name, (*KINDS, *engine.kinds))
        self._mine = False

    def moved(self, session: Session) -> None:
        """It is at another mountpoint, and has another number there."""
        self._noted.note(session)

    def engine(self, engine: Engine) -> None:
        """A new engine on a session that programs have. Call before it is sent anything."""
        if self._mine:
            self._fds.keep(self._name, engine.kept, spare=True)

    def session(self, session: Session, engine: Engine) -> None:
        """A session that is about to be attached, and who serves it."""
        self._mine = True
        self._noted.note(session)
        session.write_record()
        self._fds.keep(self._name, session.kept)
        self.engine(engine)

    def session_stays(self) -> bool:
        """Whether the session outlives us, as a supervisor comes that will find it."""
        return self._mine and self._leaving() and self._fds.keeps(self._name, KINDS)

    def engine_stays(self, engine: Engine) -> bool:
        """Whether the engine does, too."""
        return self._fds.engines_outlive and self.session_stays() and self._fds.keeps(self._name, engine.kinds)

    def bequest(self, session: Session) -> None:
        """What an engine has left of files being written. Call before another is told to take over."""
        if self._mine and session.bequest.fds:
            self._fds.keep(self._name, session.bequest.kept, spare=True)

    def bequest_is_taken(self, session: Session) -> None:
        """An engine serves: it has it, or nobody has."""
        if self._mine:
            self._fds.drop(self._name, tuple(session.bequest.kept))
        session.bequest.close()

    def engine_is_gone(self, engine: Engine) -> None:
        """It has ended."""
        if self._mine:
            self._fds.drop(self._name, engine.kinds)

    def session_is_gone(self, session: Session) -> None:
        """There is no use in it any more; or it is left to the supervisor that comes."""
        if self._mine and not self.session_stays():
            self._fds.drop(self._name, (*KINDS, *session.bequest.kept))
