"""Lookup: HEAD and LIST side by side, and what the table makes of the answer."""

from collections.abc import Awaitable, Callable

import pytest
import trio
import trio.testing

from engine.errors import AccessDenied, NotFound, S3Error, Stale, Unreachable
from engine.namespace.inode import Inode
from engine.namespace.inodes import InodeTable
from engine.namespace.lifetimes import lifetimes
from engine.namespace.lookup import Lookup, resolve
from engine.spec import TTL_MAX_SECONDS, Ttl
from engine.stats import EngineStats
from tests.unit.bucket import HEAD, LIST, Bucket


class Names:
    """A lookup over a bucket."""

    def __init__(self, *keys: str, ttl: Ttl = "minimal", negative: Ttl | None = None) -> None:
        self.bucket = Bucket(*keys)
        self.table = InodeTable("", generation=0, stats=EngineStats())
        self.lookup = Lookup(self.bucket, self.table, lifetimes(ttl, negative))

    async def child(self, name: str, parent: Inode | None = None) -> Inode:
        return await self.lookup.child(parent or self.table.root, name)


def run(test: Callable[[], Awaitable[None]]) -> None:
    trio.run(test)


def run_at_once(test: Callable[[], Awaitable[None]]) -> None:
    """Sleeps take no time."""
    trio.run(test, clock=trio.testing.MockClock(autojump_threshold=0))


def test_an_object_is_a_file_and_a_prefix_a_directory_and_the_directory_hides_the_object() -> None:
    async def test() -> None:
        names = Names("file", "implicit/x", "marker/", "both", "both/x")

        file = await names.child("file")
        assert file.info is not None
        assert file.info.key == "file"
        for name in ("implicit", "marker", "both"):
            assert (await names.child(name)).is_directory
        nested = await names.child("x", await names.child("both"))
        assert nested.location == "both/x"

    run(test)


def test_a_missing_name_costs_one_head_and_one_list() -> None:
    async def test() -> None:
        names = Names("file", "file2", "fil/x")

        with pytest.raises(NotFound):
            await names.child("fi")
        assert names.bucket.requests == {HEAD: 1, LIST: 1}

    run(test)


def test_a_directory_is_known_when_the_list_answers_and_the_head_is_cancelled() -> None:
    async def test() -> None:
        names = Names("d/x")
        names.bucket.gates = {HEAD: trio.Event(), LIST: trio.Event()}
        async with trio.open_nursery() as nursery:
            nursery.start_soon(names.child, "d")
            await trio.testing.wait_all_tasks_blocked()
            names.bucket.gates[LIST].set()
        assert names.bucket.cancelled[HEAD] == 1
        known = names.table.at("d")
        assert known is not None
        assert known.is_directory

    run(test)


def test_a_file_waits_for_the_list_that_could_hide_it() -> None:
    async def test() -> None:
        names = Names("f")
        names.bucket.gates[LIST] = gate = trio.Event()
        async with trio.open_nursery() as nursery:
            found: list[Inode] = []

            async def ask() -> None:
                found.append(await names.child("f"))

            nursery.start_soon(ask)
            await trio.testing.wait_all_tasks_blocked()
            assert not found
            gate.set()
        assert not found[0].is_directory

    run(test)


@pytest.mark.parametrize("operation", [HEAD, LIST])
def test_a_request_that_fails_is_told_as_it_is_for_nobody_knows_the_answer(operation: str) -> None:
    async def test() -> None:
        names = Names("f")
        names.bucket.failures[operation] = AccessDenied("no", status=403)

        with pytest.raises(AccessDenied):
            await names.child("f")

    run(test)


def test_a_directory_is_found_though_the_head_is_denied() -> None:
    async def test() -> None:
        names = Names("d/x")
        names.bucket.failures[HEAD] = AccessDenied("no", status=403)

        assert (await names.child("d")).is_directory

    run(test)


async def _fails_unreachable(names: Names) -> None:
    with pytest.raises(Unreachable):
        await names.child("f")


def test_a_failed_list_ends_a_head_that_hangs() -> None:
    async def test() -> None:
        names = Names("f")
        names.bucket.gates = {HEAD: trio.Event(), LIST: trio.Event()}
        names.bucket.failures[LIST] = Unreachable("refused")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(_fails_unreachable, names)
            await trio.testing.wait_all_tasks_blocked()
            names.bucket.gates[LIST].set()
        assert names.bucket.cancelled[HEAD] == 1

    run(test)


def test_minimal_asks_s3_for_every_lookup_and_a_ttl_only_when_it_is_over() -> None:
    async def test() -> None:
        minimal, minute = Names("f"), Names("f", ttl=60)
        for names in (minimal, minute):
            first = await names.child("f")
            assert await names.child("f") is first
        assert minimal.bucket.requests[HEAD] == 2
        assert minute.bucket.requests[HEAD] == 1

        await trio.sleep(61)
        await minute.child("f")
        assert minute.bucket.requests[HEAD] == 2

    run_at_once(test)


def test_a_cached_answer_does_not_live_longer_for_being_asked() -> None:
    async def test() -> None:
        names = Names("f", ttl=60)
        inode = await names.child("f")
        until = inode.valid_until
        await trio.sleep(30)

        assert (await names.child("f")).valid_until == until

    run_at_once(test)


def test_a_name_seen_missing_loses_its_inode() -> None:
    async def test() -> None:
        names = Names("f")
        inode = await names.child("f")
        names.bucket.delete("f")

        with pytest.raises(NotFound):
            await names.child("f")
        assert not names.table.is_current(inode)

    run(test)


@pytest.mark.parametrize("event", ["replaced", "deleted"])
def test_revalidating_a_file_that_is_gone_is_stale(event: str) -> None:
    async def test() -> None:
        names = Names("f")
        inode = await names.child("f")
        before = names.bucket.requests.copy()
        if event == "replaced":
            names.bucket.put("f", b"other")
        else:
            names.bucket.delete("f")

        with pytest.raises(Stale):
            await names.lookup.revalidate(inode)
        assert names.bucket.requests - before == {HEAD: 1}
        with pytest.raises(Stale):
            await names.lookup.revalidate(inode)
        assert names.bucket.requests - before == {HEAD: 1}, "what is known to be gone is not asked for again"

    run(test)


def test_revalidating_renews_attributes_and_expiry_with_one_request() -> None:
    async def test() -> None:
        names = Names("f", "d/x")
        for name, cost in (("f", {HEAD: 1}), ("d", {LIST: 1})):
            inode = await names.child(name)
            await trio.sleep(5)
            assert not names.lookup.believed(inode)
            before = names.bucket.requests.copy()
            await names.lookup.revalidate(inode)
            assert names.lookup.believed(inode)
            assert names.bucket.requests - before == cost

    run_at_once(test)


def test_revalidating_an_emptied_directory_is_stale_and_the_root_is_never_asked_for() -> None:
    async def test() -> None:
        names = Names("d/x")
        inode = await names.child("d")
        names.bucket.delete("d/x")

        with pytest.raises(Stale):
            await names.lookup.revalidate(inode)
        before = names.bucket.requests.copy()
        await names.lookup.revalidate(names.table.root)
        assert names.bucket.requests == before

    run(test)


def test_cancelling_a_lookup_ends_both_requests() -> None:
    async def test() -> None:
        bucket = Bucket("f")
        bucket.gates = {HEAD: trio.Event(), LIST: trio.Event()}
        async with trio.open_nursery() as nursery:
            nursery.start_soon(resolve, bucket, "f")
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        assert bucket.cancelled == {HEAD: 1, LIST: 1}

    run(test)


@pytest.mark.parametrize(
    ("ttl", "file", "directory", "missing", "trusted"),
    [
        ("minimal", 0.1, 1.0, 0.0, False),
        (0, 0.1, 1.0, 0.0, False),
        (60, 60.0, 60.0, 60.0, True),
        ("indefinite", TTL_MAX_SECONDS, TTL_MAX_SECONDS, TTL_MAX_SECONDS, True),
    ],
)
def test_metadata_ttl_means_what_mountpoint_says(
    ttl: Ttl, file: float, directory: float, missing: float, trusted: bool
) -> None:
    found = lifetimes(ttl)

    assert (found.file, found.directory, found.missing, found.trusted) == (file, directory, missing, trusted)


@pytest.mark.parametrize(
    ("ttl", "negative", "missing"),
    [("minimal", 5, 5.0), (60, "minimal", 0.0), (60, 0, 0.0), (60, 5, 5.0), (60, "indefinite", TTL_MAX_SECONDS)],
)
def test_negative_metadata_ttl_is_its_own(ttl: Ttl, negative: Ttl, missing: float) -> None:
    assert lifetimes(ttl, negative).missing == missing
    assert lifetimes(ttl, negative).file == lifetimes(ttl).file


def test_an_error_of_the_list_wins_over_one_of_the_head() -> None:
    async def test() -> None:
        bucket = Bucket("f")
        bucket.failures = {HEAD: AccessDenied("head"), LIST: Unreachable("list")}
        with pytest.raises(S3Error, match="list"):
            await resolve(bucket, "f")

    run(test)
