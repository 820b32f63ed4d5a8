"""What a reload does to a mount, by how the mount is when it comes. Mounts nothing."""

from typing import Any, cast

import trio
import trio.testing

from engine.spec import MountSpec
from mountctl.config.diff import diff
from mountctl.supervisor import applying
from mountctl.supervisor.changes import Changes
from mountctl.supervisor.handover import HandoverFailed
from mountctl.supervisor.state import MountState
from mountctl.supervisor.steps import Host

BEFORE = MountSpec.model_validate({"name": "m", "bucket": "some-bucket", "mountpoint": "/mnt/m"})
AFTER = BEFORE.model_copy(update={"uid": 5})


class Mounted:
    """A mount of which the engine has died. No successor can be had."""

    spec = BEFORE
    session = None
    state = MountState.RECOVERING

    def __init__(self) -> None:
        self.changes = Changes()

    @property
    def in_use(self) -> bool:
        return self.state is MountState.RECOVERING

    async def prepare_handover(self, _spec: MountSpec) -> None:
        await trio.lowlevel.checkpoint()
        raise HandoverFailed(f"asked while it was {self.state}")


class Supervisor:
    """A `Host` of that mount."""

    def __init__(self) -> None:
        self.mounts = {"m": Mounted()}


def test_a_mount_whose_engine_has_just_died_is_waited_for_and_not_taken_away() -> None:
    async def body() -> None:
        host, results = Supervisor(), {}

        async def reload() -> None:
            results.update(await applying.apply(diff({"m": BEFORE}, {"m": AFTER}), cast("Host", cast("Any", host))))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(reload)
            await trio.sleep(1)
            host.mounts["m"].state = MountState.READY
            host.mounts["m"].changes.tell()
        assert results == {"m": "not handed over: asked while it was ready"}

    trio.run(body, clock=trio.testing.MockClock(autojump_threshold=0))
