"""The engines of one mount, where another with other options is to take it over. Forks nothing."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
import trio

from engine.link import Access, ForkEngine, Message
from engine.spec import MountSpec
from mountctl.supervisor.access import Listener
from mountctl.supervisor.bequest import Bequest
from mountctl.supervisor.engine import Engine
from mountctl.supervisor.engines import Engines
from mountctl.supervisor.events import Events
from mountctl.supervisor.handover import HandoverFailed
from mountctl.supervisor.log_lines import Logs
from mountctl.supervisor.process import ForkedProcess
from mountctl.supervisor.services import Services
from mountctl.supervisor.session import Session
from mountctl.supervisor.slices.slices import Slices
from mountctl.supervisor.zygote import ForkError

SPEC = MountSpec.model_validate({"name": "m", "bucket": "some-bucket", "mountpoint": "/mnt/m"})
OTHER = SPEC.model_copy(update={"endpoint_url": "http://elsewhere"})


class Hub:
    """Tells each who watches at once, as a broker that is quick."""

    def __init__(self) -> None:
        self.listener: Listener = lambda _message: None
        self.spec = SPEC

    def watch(self, spec: MountSpec, listener: Listener) -> None:
        self.spec, self.listener = spec, listener

    def watches(self, _name: str) -> bool:
        return True

    def tell(self) -> None:
        self.listener(Access(name="m", endpoint=self.spec.endpoint_url or "http://here", region="r"))


class NoFork:
    """A zygote that can't fork, and is told so when the broker has answered."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def fork_engine(self, _order: ForkEngine, *_fds: int) -> ForkedProcess:
        self._hub.tell()
        raise ForkError("no more processes")


class Serving:
    """The engine that serves."""

    def __init__(self) -> None:
        self.told: list[Message] = []

    def post(self, message: Message) -> None:
        self.told.append(message)


def test_what_the_broker_says_before_a_successor_is_forked_is_not_told_to_the_engine_that_serves() -> None:
    hub, serving = Hub(), Serving()
    engines = Engines(
        cast("Any", SimpleNamespace(spec=SPEC, transient=False, in_use=False)),
        1,
        cast(
            "Services",
            SimpleNamespace(
                zygote=NoFork(hub), access=hub, leftovers=None, events=Events(), logs=Logs(), slices=Slices()
            ),
        ),
        cast("Any", None),
        adopted=cast("Engine", serving),
    )
    session = cast(
        "Session",
        SimpleNamespace(
            has_resend=True,
            next_generation=lambda: None,
            init_request=b"",
            generation=1,
            attached=True,
            fuse_fd=-1,
            journal_fd=-1,
            bequest=Bequest(),
        ),
    )

    with pytest.raises(HandoverFailed, match="no more processes"):
        trio.run(engines.prepare, session, OTHER)

    assert serving.told == []
    assert hub.spec == SPEC
    hub.tell()
    assert [cast("Access", each).endpoint for each in serving.told] == ["http://here"]
