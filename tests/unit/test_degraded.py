"""A mount that stays degraded while the reason changes: who watches is told at once, and no ring is flooded."""

from collections.abc import Callable
from typing import Any

import trio
import trio.testing

from engine.counted import Stats
from engine.link import AccessFailed, Backend, Heartbeat
from engine.spec import MountSpec
from mountctl.supervisor.events import Events
from mountctl.supervisor.log_lines import Logs
from mountctl.supervisor.mount import Mount
from mountctl.supervisor.services import Services
from mountctl.supervisor.slices.slices import Slices
from mountctl.supervisor.state import MountEvent
from mountctl.supervisor.still import REASONS_MAX, REPEAT_SECONDS

SPEC = MountSpec.model_validate({"name": "m", "bucket": "some-bucket", "mountpoint": "/mnt/m"})


class Told:
    """A mount that is ready, without an engine, and what is told of it."""

    def __init__(self) -> None:
        self.changes = 0
        self.events = Events()
        self.mount = Mount(SPEC, 1, self._services())
        self.mount._apply(MountEvent.ENGINE_READY)
        self.changes = 0

    def _services(self) -> Services:
        none: Any = None
        return Services(
            zygote=none,
            access=none,
            fds=none,
            noted=none,
            leftovers=none,
            changed=self._changed,
            leaving=lambda: False,
            events=self.events,
            logs=Logs(),
            left=set(),
            slices=Slices(),
        )

    def _changed(self) -> None:
        self.changes += 1

    def beat(self, error: str | None) -> None:
        backend = Backend(reachable=error is None, error=error)
        self.mount.engine_beats(Heartbeat(stats=Stats(), backend=backend))

    @property
    def texts(self) -> list[str]:
        return [f"{each.kind}: {each.text}" for each in self.events.after(0)[1:]]


def telling(body: Callable[[Told, trio.testing.MockClock], None]) -> None:
    clock = trio.testing.MockClock()

    async def main() -> None:
        body(Told(), clock)

    trio.run(main, clock=clock)


def test_another_reason_is_told_at_once_to_who_watches_and_as_an_event() -> None:
    def body(told: Told, _clock: object) -> None:
        told.beat("it refused the connection")
        told.beat("it answers 503")
        told.beat("it answers 503")

        assert told.mount.reason == "it answers 503"
        assert told.changes == 2
        assert told.texts == ["s3: ready -> degraded: it refused the connection", "s3: still degraded: it answers 503"]

    telling(body)


def test_reasons_that_come_and_go_are_shown_each_time_and_are_one_event_each_in_a_while() -> None:
    def body(told: Told, clock: trio.testing.MockClock) -> None:
        for number in range(20):
            told.beat("it answers 503")
            told.beat(f"no answer within {number} seconds")
            assert told.mount.reason == f"no answer within {number} seconds"
        assert told.changes == 40
        assert told.texts == ["s3: ready -> degraded: it answers 503", "s3: still degraded: no answer within 0 seconds"]

        clock.jump(REPEAT_SECONDS)
        told.beat("it answers 503")
        assert told.texts[2:] == ["s3: still degraded: it answers 503"]

    telling(body)


def test_reasons_that_are_never_the_same_are_no_flood() -> None:
    def body(told: Told, clock: trio.testing.MockClock) -> None:
        for number in range(100):
            told.beat("x" * number)
        assert len(told.texts) == REASONS_MAX
        clock.jump(REPEAT_SECONDS)
        told.beat("another")
        assert told.texts[-1] == "s3: still degraded: another"

    telling(body)


def test_a_mount_that_is_well_again_begins_anew() -> None:
    def body(told: Told, _clock: object) -> None:
        for error in ("a", "b", None, "a", "b"):
            told.beat(error)
        assert told.texts == [
            "s3: ready -> degraded: a",
            "s3: still degraded: b",
            "s3: degraded -> ready",
            "s3: ready -> degraded: a",
            "s3: still degraded: b",
        ]

    telling(body)


def test_keys_that_a_mount_lacks_while_it_recovers_are_told_at_once() -> None:
    def body(told: Told, _clock: object) -> None:
        told.mount._apply(MountEvent.ENGINE_LOST, "the engine died")
        told.changes = 0
        told.mount._pass_on(AccessFailed(name="m", reason="no credentials found"))

        assert told.mount.reason == "no credentials found"
        assert told.changes == 1
        assert told.texts[1:] == ["state: still recovering: no credentials found"]

    telling(body)
