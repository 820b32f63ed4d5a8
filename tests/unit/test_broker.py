"""engine/broker.py: who is told what and when; in this process with sources of our own, and as a process."""

import math
import threading
import time
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest
import trio
import trio.testing

from engine import broker, link
from engine.broker import Broker
from engine.link import Access, AccessFailed, Credentials, ForgetAccess, Link, RefreshAccess, WatchAccess
from engine.s3.access import AccessUnavailable
from engine.s3.location import Location
from engine.spec import MountSpec

# Generous: an interpreter that starts cold on a busy machine. A test that passes never waits for it.
ANSWER_SECONDS_MAX = 30.0


def spec(name: str = "m", **options: Any) -> MountSpec:
    return MountSpec(**{"name": name, "bucket": "my-bucket", "mountpoint": f"/mnt/{name}", **options})


def keys(name: str, *, expires: float | None = None) -> Credentials:
    return Credentials.model_validate({"access_key": name, "secret_key": f"secret of {name}", "expires": expires})


class Source:
    """A profile whose answers the test gives, one a look-up; the last is given again."""

    def __init__(self, profile: str | None, *answers: Credentials | AccessUnavailable) -> None:
        self.profile = profile
        self.answers = list(answers)
        self.loads = 0
        self.open = threading.Event()
        self.open.set()

    def load(self) -> Credentials:
        self.loads += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        assert self.open.wait(ANSWER_SECONDS_MAX)
        if isinstance(answer, AccessUnavailable):
            raise answer
        return answer

    def fingerprint(self) -> tuple[None, ...]:
        return ()

    def locate(self, wanted: MountSpec) -> Location:
        return Location(endpoint=f"https://{wanted.bucket}.s3", region=wanted.region or "us-east-1")


class Time:
    """The clock of a test: stands still but for what the test lets pass."""

    def __init__(self) -> None:
        self.clock = trio.testing.MockClock()
        self.threads = trio.CapacityLimiter(1)
        self.began = time.time() - self.clock.current_time()

    def time(self) -> float:
        """Of day, for the broker."""
        return self.began + self.clock.current_time()

    async def settle(self) -> None:
        """Until the broker has done all that is to be done now."""
        while True:
            await trio.testing.wait_all_tasks_blocked()
            if not self.threads.borrowed_tokens:
                return
            await trio.lowlevel.checkpoint()

    async def until(self, reached: Callable[[], bool], *, step: float = 1.0) -> float:
        """Let time pass, a step at a time, until this is so; returns the seconds that it took."""
        passed = 0.0
        await self.settle()
        while not reached():
            self.clock.jump(step)
            passed += step
            await self.settle()
        return passed


Body = Callable[[Link, Time], Awaitable[None]]


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Runs a test's `body(link, clock)` against a broker that has these sources, on a clock that the test moves."""

    def run(body: Body, *sources: Source) -> None:
        by_profile = {source.profile: source for source in sources}
        monkeypatch.setattr(broker, "source_of", lambda wanted: by_profile[wanted.profile])
        clock = Time()
        monkeypatch.setattr(broker, "time", SimpleNamespace(time=clock.time))

        async def main() -> None:
            ours, theirs = link.pair()
            end, far_end = Link(ours), Link(theirs)
            async with trio.open_nursery() as nursery:
                serving = Broker(far_end, nursery)
                clock.threads = serving._threads
                nursery.start_soon(serving.obey)
                await body(end, clock)
                nursery.cancel_scope.cancel()
            end.close()
            far_end.close()

        trio.run(main, clock=clock.clock)

    return run


async def answer(end: Link) -> Access | AccessFailed:
    message, _ = await end.receive()
    assert isinstance(message, Access | AccessFailed)
    return message


async def key_of(end: Link) -> str:
    message = await answer(end)
    assert isinstance(message, Access), message
    assert message.credentials is not None
    return message.credentials.access_key


async def reason_of(end: Link) -> str:
    message = await answer(end)
    assert isinstance(message, AccessFailed), message
    return message.reason


async def nothing_more(end: Link) -> None:
    """Each order is answered: after a mount of another profile has its answer, nothing else had been on its way."""
    await trio.testing.wait_all_tasks_blocked()
    await end.send(WatchAccess(spec=spec("last", no_sign_request=True)))
    message = await answer(end)
    assert message.name == "last", message


def test_mounts_of_one_profile_share_one_look_up_and_each_gets_an_answer(serve: Callable[..., None]) -> None:
    source = Source("batch", keys("ONE"))

    async def body(end: Link, clock: Time) -> None:
        await end.send(WatchAccess(spec=spec("a", profile="batch")))
        first = await answer(end)
        await end.send(WatchAccess(spec=spec("b", profile="batch", region="eu-west-1")))
        second = await answer(end)
        assert isinstance(first, Access)
        assert isinstance(second, Access)
        assert (first.name, first.region) == ("a", "us-east-1")
        assert (second.name, second.region) == ("b", "eu-west-1")
        assert first.credentials == second.credentials == keys("ONE")

    serve(body, source)
    assert source.loads == 1


def test_a_hanging_profile_is_told_in_time_and_holds_up_no_other(serve: Callable[..., None]) -> None:
    slow, quick = Source("slow", keys("LATE")), Source("quick", keys("NOW"))
    slow.open.clear()

    async def body(end: Link, clock: Time) -> None:
        await end.send(WatchAccess(spec=spec("a", profile="slow")))
        await end.send(WatchAccess(spec=spec("b", profile="quick")))
        assert await key_of(end) == "NOW"
        await trio.testing.wait_all_tasks_blocked()
        clock.clock.jump(broker.SLOW_SECONDS + 1)
        assert "'slow': no answer within 30 s" in await reason_of(end)
        slow.open.set()
        assert await key_of(end) == "LATE"

    serve(body, slow, quick)


def test_keys_are_renewed_before_they_expire(serve: Callable[..., None]) -> None:
    source = Source(None, keys("ONE", expires=time.time() + 3600), keys("TWO", expires=time.time() + 7200))

    async def body(end: Link, clock: Time) -> None:
        await end.send(WatchAccess(spec=spec()))
        assert await key_of(end) == "ONE"
        seconds = await clock.until(lambda: source.loads == 2, step=10)
        assert await key_of(end) == "TWO"
        assert 3000 < seconds < 3600

    serve(body, source)


def test_a_failed_renewal_goes_with_the_keys_while_they_are_good_and_is_told_alone_when_they_are_not(
    serve: Callable[..., None],
) -> None:
    source = Source(None, keys("ONE", expires=time.time() + 6), AccessUnavailable("the vault is sealed"))

    async def body(end: Link, clock: Time) -> None:
        await end.send(WatchAccess(spec=spec()))
        assert await key_of(end) == "ONE"
        await clock.until(lambda: source.loads == 2)
        again, _ = await end.receive()
        assert isinstance(again, Access)
        assert again.credentials is not None
        assert (again.credentials.access_key, again.renewal_error) == ("ONE", "the vault is sealed")
        await nothing_more(end)  # it is told once
        await clock.until(lambda: source.loads == 4)
        assert await reason_of(end) == "the vault is sealed"
        source.answers = [keys("TWO")]
        await clock.until(lambda: source.loads == 5)
        assert await key_of(end) == "TWO"

    serve(body, source)


def test_no_credentials_are_told_once_and_tried_again_with_growing_delays(serve: Callable[..., None]) -> None:
    source = Source(None, *[AccessUnavailable("none found")] * 3, keys("ONE"))

    async def body(end: Link, clock: Time) -> None:
        await end.send(WatchAccess(spec=spec()))
        assert await reason_of(end) == "none found"
        seconds = await clock.until(lambda: source.loads == 4, step=0.1)
        assert await key_of(end) == "ONE"
        assert seconds == pytest.approx(1 + 2 + 4, rel=0.25)

    serve(body, source)


def test_refused_keys_are_looked_up_again_and_the_asker_is_answered_even_with_the_same(
    serve: Callable[..., None],
) -> None:
    source = Source(None, keys("ONE"))

    async def body(end: Link, clock: Time) -> None:
        await end.send(WatchAccess(spec=spec()))
        assert await key_of(end) == "ONE"
        await end.send(RefreshAccess(name="m"))
        assert await key_of(end) == "ONE"
        assert source.loads == 1  # they had come just now
        clock.clock.jump(broker.REFRESH_SECONDS_MIN)
        source.answers = [keys("TWO")]
        await end.send(RefreshAccess(name="m"))
        assert await key_of(end) == "TWO"
        await nothing_more(end)

    serve(body, source)


def test_refused_keys_that_cannot_be_had_again_are_told_though_they_have_not_expired(
    serve: Callable[..., None],
) -> None:
    source = Source(None, keys("ONE", expires=time.time() + 3600), AccessUnavailable("revoked"))

    async def body(end: Link, clock: Time) -> None:
        await end.send(WatchAccess(spec=spec()))
        assert await key_of(end) == "ONE"
        clock.clock.jump(broker.REFRESH_SECONDS_MIN)
        await end.send(RefreshAccess(name="m"))
        assert await reason_of(end) == "revoked"

    serve(body, source)


def test_a_mount_that_changes_its_profile_is_answered_by_the_new_one_only(serve: Callable[..., None]) -> None:
    old, new = Source("old", keys("OLD")), Source("new", keys("NEW"))

    async def body(end: Link, clock: Time) -> None:
        await end.send(WatchAccess(spec=spec(profile="old")))
        assert await key_of(end) == "OLD"
        await end.send(WatchAccess(spec=spec(profile="new")))
        assert await key_of(end) == "NEW"
        clock.clock.jump(broker.REFRESH_SECONDS_MIN)
        await end.send(RefreshAccess(name="m"))
        assert await key_of(end) == "NEW"

    serve(body, old, new)
    assert (old.loads, new.loads) == (1, 2)


def test_a_forgotten_mount_is_not_answered_even_if_its_look_up_ends_later(serve: Callable[..., None]) -> None:
    slow, other = Source("slow", keys("LATE")), Source("other", keys("OTHER"))
    slow.open.clear()

    async def body(end: Link, clock: Time) -> None:
        await end.send(WatchAccess(spec=spec("a", profile="slow")))
        await trio.testing.wait_all_tasks_blocked()
        await end.send(ForgetAccess(name="a"))
        await trio.testing.wait_all_tasks_blocked()
        slow.open.set()
        await end.send(WatchAccess(spec=spec("b", profile="other")))
        assert (await answer(end)).name == "b"

    serve(body, slow, other)


def test_an_anonymous_mount_is_answered_without_a_look_up(serve: Callable[..., None]) -> None:
    source = Source(None, AccessUnavailable("must not be asked"))

    async def body(end: Link, clock: Time) -> None:
        await end.send(WatchAccess(spec=spec(no_sign_request=True)))
        message = await answer(end)
        assert isinstance(message, Access)
        assert message.credentials is None

    serve(body, source)
    assert source.loads == 0


@pytest.mark.parametrize(
    ("lifetime", "after"), [(12 * 3600, 12 * 3600 - 570), (3600, 3030), (900, 600), (3, 2), (0.5, 1), (-60, 1)]
)
def test_keys_are_renewed_ten_minutes_early_or_when_a_third_is_left(lifetime: float, after: float) -> None:
    assert broker.renew_at(1000.0, 1000.0 + lifetime) == pytest.approx(1000 + after)


def test_keys_without_an_expiry_are_never_renewed() -> None:
    assert broker.renew_at(1000.0, None) == math.inf


def test_delays_double_up_to_a_minute() -> None:
    assert [broker.retry_delay(n) for n in (1, 2, 3, 6, 7, 10_000)] == [1, 2, 4, 32, 60, 60]
