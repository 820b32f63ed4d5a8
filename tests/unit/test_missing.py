"""Names that are not there: how long that is believed, what ends it, and how many are kept."""

import pytest
import trio
import trio.testing

from engine.errors import NotFound
from engine.fs.filesystem import S3Filesystem
from engine.namespace import missing
from engine.namespace.inodes import ROOT
from engine.namespace.missing import NAMES_MAX, MissingNames
from engine.spec import MountSpec, Ttl
from engine.stats import EngineStats
from tests.unit.bucket import HEAD, LIST, Bucket
from tests.unit.test_filesystem import Opener


def filesystem(bucket: Bucket, ttl: Ttl, negative: Ttl | None) -> S3Filesystem:
    spec = MountSpec(name="m", bucket="b-b", mountpoint="/m", metadata_ttl=ttl, negative_metadata_ttl=negative)
    return S3Filesystem(spec, bucket, Opener(), generation=0, stats=EngineStats())


async def assert_missing(fs: S3Filesystem, name: bytes) -> None:
    with pytest.raises(NotFound):
        await fs.lookup(ROOT, name)


@pytest.mark.parametrize(("ttl", "negative"), [("minimal", 5), (5, None), ("indefinite", 5)])
def test_a_missing_name_is_asked_for_again_when_its_time_is_over(ttl: Ttl, negative: Ttl | None) -> None:
    async def test() -> None:
        bucket = Bucket("there")
        fs = filesystem(bucket, ttl, negative)
        await assert_missing(fs, b"gone")
        assert fs.missing_seconds(ROOT, b"gone") == 5.0
        await trio.sleep(3.0)
        await assert_missing(fs, b"gone")
        assert bucket.requests == {HEAD: 1, LIST: 1}
        assert fs.missing_seconds(ROOT, b"gone") == 2.0  # no more than is left: the kernel keeps it as long
        await trio.sleep(2.0)
        assert fs.missing_seconds(ROOT, b"gone") == 0.0
        await assert_missing(fs, b"gone")
        assert bucket.requests == {HEAD: 2, LIST: 2}

    trio.run(test, clock=trio.testing.MockClock(autojump_threshold=0))


@pytest.mark.parametrize(("ttl", "negative"), [("minimal", None), (60, "minimal"), (60, 0)])
def test_without_a_negative_ttl_each_lookup_asks(ttl: Ttl, negative: Ttl | None) -> None:
    async def test() -> None:
        bucket = Bucket()
        fs = filesystem(bucket, ttl, negative)
        for count in (1, 2, 3):
            await assert_missing(fs, b"gone")
            assert bucket.requests == {HEAD: count, LIST: count}
        assert fs.missing_seconds(ROOT, b"gone") == 0.0

    trio.run(test)


def test_a_listing_that_shows_a_name_ends_the_belief_that_it_is_missing() -> None:
    async def test() -> None:
        bucket = Bucket()
        fs = filesystem(bucket, "indefinite", None)
        await assert_missing(fs, b"new")
        await assert_missing(fs, b"other")
        bucket.put("new")
        await assert_missing(fs, b"new")

        handle = fs.opendir(ROOT)
        position = 0
        while entries := list(await fs.readdir(handle, position)):
            position = entries[-1].position
        fs.releasedir(handle)

        assert (await fs.lookup(ROOT, b"new")).number != ROOT
        assert fs.missing_seconds(ROOT, b"new") == 0.0
        assert fs.missing_seconds(ROOT, b"other") > 0.0

    trio.run(test)


def test_more_names_than_the_limit_push_out_the_ones_that_expire_first(monkeypatch: pytest.MonkeyPatch) -> None:
    assert NAMES_MAX == 25_000
    monkeypatch.setattr(missing, "NAMES_MAX", 3)
    names = MissingNames()
    for number in range(4):
        names.add(str(number), until=100.0 + number, now=0.0)

    assert len(names) == 3
    assert [names.until(str(number), 0.0) for number in range(4)] == [None, 101.0, 102.0, 103.0]


def test_what_has_expired_makes_room_for_what_comes() -> None:
    names = MissingNames()
    for number in range(1000):
        names.add(str(number), until=number + 10.0, now=float(number))

    assert len(names) == 10
