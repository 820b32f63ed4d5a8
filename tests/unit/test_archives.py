"""Archived objects: what is asked of S3 and what not, and when it is looked whether they are there."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import trio
import trio.testing

from engine.archives import Archives
from engine.errors import AccessDenied, NoSuchKey
from engine.restores import AskRestore, RestoresUnderWay, RestoreTold
from engine.s3.client import HttpClient
from engine.s3.documents import object_of_headers, parse_list
from engine.s3.interface import ListPage, ObjectInfo
from mountctl.commands.restore import place
from mountctl.supervisor.restores import CannotRestore, Restores
from tests.unit.talking import Answer, talk

HOUR = 3600.0


def info(key: str, storage_class: str = "GLACIER", *, restored: bool = False, restoring: bool = False) -> ObjectInfo:
    return ObjectInfo(key, 10, '"e"', 0.0, storage_class, restored, restoring)


@dataclass
class Bucket:
    """Objects by key; a restore takes until somebody says that it is done."""

    objects: dict[str, ObjectInfo]
    asked: list[tuple[str, int, str]] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)
    denied: bool = False

    async def head_object(self, key: str) -> ObjectInfo:
        await trio.lowlevel.checkpoint()
        self.heads.append(key)
        if key not in self.objects:
            raise NoSuchKey("S3 has no such object", key=key)
        return self.objects[key]

    async def list_objects(self, prefix: str, *, delimiter: str = "/", token: str | None = None) -> ListPage:
        await trio.lowlevel.checkpoint()
        keys = sorted(key for key in self.objects if key.startswith(prefix) and key > (token or ""))
        return ListPage([self.objects[key] for key in keys[:2]], [], keys[1] if len(keys) > 2 else None)

    async def restore_object(self, key: str, *, days: int, tier: str) -> bool:
        await trio.lowlevel.checkpoint()
        if self.denied:
            raise AccessDenied("S3 denies access", code="AccessDenied", status=403, key=key)
        self.asked.append((key, days, tier))
        self.objects[key] = info(key, self.objects[key].storage_class, restoring=True)
        return True

    def done(self, key: str) -> None:
        self.objects[key] = info(key, self.objects[key].storage_class, restored=True)


def run(bucket: Bucket, steps: Callable[[Archives, list[RestoreTold | RestoresUnderWay]], Awaitable[None]]) -> None:
    async def main() -> None:
        told: list[RestoreTold | RestoresUnderWay] = []
        archives = Archives(bucket, "p/", told.append)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(archives.run)
            await steps(archives, told)
            nursery.cancel_scope.cancel()

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def under_way(told: list[RestoreTold | RestoresUnderWay]) -> RestoresUnderWay:
    return next(each for each in reversed(told) if isinstance(each, RestoresUnderWay))


def test_only_what_is_archived_and_not_asked_for_is_asked_for() -> None:
    there = [info("p/d/a"), info("p/d/b", restoring=True), info("p/d/c", restored=True), info("p/d/e", "STANDARD")]
    bucket = Bucket({each.key: each for each in (*there, info("p/dx"), info("q/d/a"))})

    async def steps(archives: Archives, told: list[RestoreTold | RestoresUnderWay]) -> None:
        await archives.answer(AskRestore(number=7, paths=("d",), recursive=True, days=3, tier="Bulk"))
        assert told[0] == RestoreTold(number=7, archived=1, archived_bytes=10, under_way=2, readable=2, asked=1)

    run(bucket, steps)
    assert bucket.asked == [("p/d/a", 3, "Bulk")]


def test_a_look_asks_for_nothing_and_takes_up_what_is_under_way() -> None:
    bucket = Bucket({"p/a": info("p/a"), "p/b": info("p/b", restoring=True)})

    async def steps(archives: Archives, told: list[RestoreTold | RestoresUnderWay]) -> None:
        await archives.answer(AskRestore(paths=("a", "b"), begin=False))
        assert under_way(told).count == 1

    run(bucket, steps)
    assert bucket.asked == []


def test_more_than_is_allowed_is_refused_as_a_whole() -> None:
    bucket = Bucket({f"p/{n}": info(f"p/{n}") for n in range(5)})

    async def steps(archives: Archives, told: list[RestoreTold | RestoresUnderWay]) -> None:
        await archives.answer(AskRestore(paths=("",), recursive=True, objects_max=4))
        await archives.answer(AskRestore(paths=("",), recursive=True, bytes_max=49))
        failures = [each.failure for each in told if isinstance(each, RestoreTold)]
        assert failures[0].startswith("more than 4 objects are archived there")
        assert failures[1].startswith("more than 49 bytes are archived there")

    run(bucket, steps)
    assert bucket.asked == []


def test_a_denial_names_the_permission() -> None:
    bucket = Bucket({"p/a": info("p/a")}, denied=True)

    async def steps(archives: Archives, told: list[RestoreTold | RestoresUnderWay]) -> None:
        await archives.answer(AskRestore(paths=("a",)))
        (answer,) = [each for each in told if isinstance(each, RestoreTold)]
        assert (answer.failed, answer.asked) == (1, 0)
        assert answer.failure.endswith("it needs the permission s3:RestoreObject")

    run(bucket, steps)


def test_one_of_many_is_looked_at_until_it_is_there_and_then_all_the_others() -> None:
    bucket = Bucket({f"p/{name}": info(f"p/{name}") for name in "abc"})

    async def steps(archives: Archives, told: list[RestoreTold | RestoresUnderWay]) -> None:
        await archives.answer(AskRestore(paths=("",), recursive=True))
        bucket.heads.clear()
        await trio.sleep(HOUR - 1)
        looked = len(bucket.heads)
        assert set(bucket.heads) == {bucket.heads[0]}
        assert looked == 3  # every quarter of an hour: a twentieth of the five hours that it may take
        for name in "ab":
            bucket.done(f"p/{name}")
        await trio.sleep(HOUR)
        assert under_way(told).count == 1
        bucket.done("p/c")
        await trio.sleep(HOUR)
        assert under_way(told) == RestoresUnderWay()

    run(bucket, steps)


def test_what_is_in_a_deep_archive_is_expected_later() -> None:
    bucket = Bucket({"p/a": info("p/a", "DEEP_ARCHIVE"), "p/b": info("p/b")})

    async def steps(archives: Archives, told: list[RestoreTold | RestoresUnderWay]) -> None:
        await archives.answer(AskRestore(paths=("a",)))
        deep = under_way(told).next_expected
        await archives.answer(AskRestore(paths=("b",)))
        soon = under_way(told).next_expected
        assert deep is not None
        assert soon is not None
        assert 6.9 * HOUR < deep - soon < 7.1 * HOUR

    run(bucket, steps)


def test_the_request_is_s3s_and_one_that_is_under_way_already_is_no_failure() -> None:
    async def ask(client: HttpClient) -> None:
        assert await client.restore_object("a b", days=3, tier="Bulk")
        assert not await client.restore_object("a b", days=3, tier="Bulk")

    refusal = b"<Error><Code>RestoreAlreadyInProgress</Code><Message>x</Message></Error>"
    server = talk([Answer(202, {}, b""), Answer(409, {}, refusal)], ask)

    assert [seen.target for seen in server.seen] == ["/b/a%20b?restore="] * 2
    assert b"<Days>3</Days>" in server.seen[0].body
    assert b"<Tier>Bulk</Tier>" in server.seen[0].body


def test_s3_tells_that_a_copy_is_being_made_by_head_and_in_listings() -> None:
    headers = {
        "content-length": "1",
        "last-modified": "Sun, 22 Nov 2026 21:37:12 GMT",
        "x-amz-storage-class": "GLACIER",
        "x-amz-restore": 'ongoing-request="true"',
    }
    listing = (
        b"<ListBucketResult><Contents><Key>k</Key><Size>1</Size><LastModified>2026-11-22T21:37:12.000Z</LastModified>"
        b"<StorageClass>GLACIER</StorageClass><RestoreStatus><IsRestoreInProgress>true</IsRestoreInProgress>"
        b"</RestoreStatus></Contents></ListBucketResult>"
    )

    assert object_of_headers("k", headers, 0.0).restoring
    assert parse_list(listing, 0.0).objects[0].restoring


def test_who_waits_for_an_engine_that_ends_is_told() -> None:
    async def main() -> None:
        restores, posted = Restores(), list[AskRestore]()
        told: list[str] = []

        async def ask() -> None:
            try:
                await restores.ask(posted.append, AskRestore(paths=("a",)))
            except CannotRestore as error:
                told.append(str(error))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await trio.testing.wait_all_tasks_blocked()
            restores.engine_is_gone()
        assert "its engine ended before it answered" in told[0]

    trio.run(main)


def test_a_path_is_found_by_its_text_in_the_innermost_mount() -> None:
    mounts = [{"name": "a", "mountpoint": "/mnt/a"}, {"name": "ab", "mountpoint": "/mnt/ab"}]

    assert place("/mnt/ab/x/../y/", mounts) == ("ab", "y")
    assert place("/mnt/a", mounts) == ("a", "")
