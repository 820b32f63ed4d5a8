"""The mount, as far as its engines concern it: what engines.py asks of it and tells it. Implemented by mount.py."""

from typing import Protocol

from engine.link import Heartbeat
from engine.spec import MountSpec
from mountctl.supervisor.engine import Engine
from mountctl.supervisor.session import Session
from mountctl.supervisor.settling import Settling


class Host(Protocol):
    """The mount, as far as its engines concern it."""

    spec: MountSpec

    @property
    def transient(self) -> bool:
        """No file declares it."""
        ...

    @property
    def in_use(self) -> bool:
        """Programs wait for an engine, whatever session it is to serve."""
        ...

    @property
    def settling(self) -> Settling:
        """Whether its engines wait."""
        ...

    async def engine_is_ready(self, engine: Engine, session: Session, *, planned: bool) -> None:
        """An engine serves; `planned`: by a handover. Raises EndOfConversation if there is no use in it."""
        ...

    def engine_is_adopted(self, engine: Engine) -> None:
        """An engine that a supervisor before this one has started has served all the while."""
        ...

    def engine_beats(self, heartbeat: Heartbeat) -> None:
        """What the engine that serves says of itself and of S3."""
        ...
