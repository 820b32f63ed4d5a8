"""Archived objects: what is asked of S3 and what not, and when it is looked whether they are there."""

from collections.abc import Callable
from dataclasses import dataclass, field

import trio
import trio.testing

from engine.archives import Archives
from engine.errors import AccessDenied, NoSuchKey
from engine.restores import AskRestore, PathTold, RestoreTaken, RestoreTold
from engine.s3.client import HttpClient
from engine.s3.documents import object_of_headers, parse_list
from engine.s3.interface import ListPage, ObjectInfo
from mountctl.commands.restore import place
from mountctl.supervisor.restores import TAKEN_SECONDS_MAX, CannotRestore, Restores
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
    lists_restores: bool = True

    async def head_object(self, key: str) -> ObjectInfo:
        await trio.lowlevel.checkpoint()
        self.heads.append(key)
        if key not in self.objects:
            raise NoSuchKey("S3 has no such object", key=key)
        return self.objects[key]

    async def list_objects(self, prefix: str, *, delimiter: str = "/", token: str | None = None) -> ListPage:
        await trio.lowlevel.checkpoint()
        keys = sorted(key for key in self.objects if key.startswith(prefix) and key > (token or ""))
        infos = [self.objects[key] for key in keys[:2]]
        listed = infos if self.lists_restores else [info(each.key, each.storage_class) for each in infos]
        return ListPage(listed, [], keys[1] if len(keys) > 2 else None)

    async def restore_object(self, key: str, *, days: int, tier: str) -> bool:
        await trio.lowlevel.checkpoint()
        if self.denied:
            raise AccessDenied("S3 denies access", code="AccessDenied", status=403, key=key)
        self.asked.append((key, days, tier))
        self.objects[key] = info(key, self.objects[key].storage_class, restoring=True)
        return True


def answers(bucket: Bucket, *requests: AskRestore) -> list[RestoreTold]:
    """The last word on each request."""
    told: list[RestoreTaken | RestoreTold] = []

    def tell(message: RestoreTaken | RestoreTold) -> bool:
        told.append(message)
        return True

    async def main() -> None:
        archives = Archives(bucket, "p/", tell)
        for asked in requests:
            await archives.answer(asked)

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    return [each for each in told if isinstance(each, RestoreTold)]


def test_only_what_is_archived_and_not_asked_for_is_asked_for() -> None:
    there = [info("p/d/a"), info("p/d/b", restoring=True), info("p/d/c", restored=True), info("p/d/e", "STANDARD")]
    bucket = Bucket({each.key: each for each in (*there, info("p/dx"), info("q/d/a"))})

    asked = AskRestore(number=7, paths=("d",), recursive=True, days=3, tier="Bulk")
    found = PathTold(under_way=2, asked=1, sample="d/b", seconds=12 * HOUR)

    assert answers(bucket, asked) == [
        RestoreTold(number=7, archived=1, archived_bytes=10, under_way=2, readable=2, asked=1, paths=(found,))
    ]
    assert bucket.asked == [("p/d/a", 3, "Bulk")]


def test_a_look_asks_for_nothing_and_tells_of_each_path() -> None:
    bucket = Bucket({"p/a": info("p/a"), "p/b": info("p/b", restoring=True)})

    [told] = answers(bucket, AskRestore(paths=("a", "b"), begin=False))

    assert told.paths == (PathTold(), PathTold(under_way=1, sample="b"))
    assert bucket.asked == []


def test_a_listing_that_does_not_tell_what_is_restored_is_seen_by_one_object_and_then_all_are_asked_about() -> None:
    bucket = Bucket({f"p/{n}": info(f"p/{n}", restoring=True) for n in range(3)}, lists_restores=False)
    honest = Bucket({f"p/{n}": info(f"p/{n}") for n in range(3)})
    look = AskRestore(paths=("",), recursive=True, begin=False)

    [silent], [telling] = answers(bucket, look), answers(honest, look)

    assert (silent.under_way, silent.archived) == (3, 0)
    assert (telling.under_way, telling.archived, honest.heads) == (0, 3, ["p/0"])


def test_what_has_gone_is_nothing_for_a_look_that_does_not_mind() -> None:
    bucket = Bucket({"p/b": info("p/b", restoring=True)})

    [minds, other] = answers(
        bucket,
        AskRestore(paths=("a", "b"), begin=False),
        AskRestore(paths=("a", "b"), begin=False, missing_ok=True),
    )

    assert (minds.failed, minds.paths) == (1, ())
    assert [path.under_way for path in other.paths] == [0, 1]


def test_more_than_is_allowed_is_refused_as_a_whole_and_a_look_has_no_limit() -> None:
    bucket = Bucket({f"p/{n}": info(f"p/{n}") for n in range(5)})

    many, large, look = answers(
        bucket,
        AskRestore(paths=("",), recursive=True, objects_max=4),
        AskRestore(paths=("",), recursive=True, bytes_max=49),
        AskRestore(paths=("",), recursive=True, begin=False, limited=False, objects_max=4),
    )

    assert many.failure.startswith("more than 4 objects are archived there")
    assert large.failure.startswith("more than 49 bytes are archived there")
    assert look.archived == 5
    assert bucket.asked == []


def test_a_denial_names_the_permission() -> None:
    bucket = Bucket({"p/a": info("p/a")}, denied=True)

    [answer] = answers(bucket, AskRestore(paths=("a",)))

    assert (answer.failed, answer.asked) == (1, 0)
    assert answer.failure.endswith("it needs the permission s3:RestoreObject (`mountctl iam-policy --restore`)")


def test_what_is_in_a_deep_archive_takes_longer_and_is_the_sample() -> None:
    bucket = Bucket({"p/a": info("p/a"), "p/b": info("p/b", "DEEP_ARCHIVE")})

    deep, soon = answers(bucket, AskRestore(paths=("",), recursive=True), AskRestore(paths=("a",)))

    assert (deep.paths[0].sample, deep.paths[0].seconds) == ("b", 12 * HOUR)
    assert soon.paths[0].seconds is None  # it was asked for before


def test_a_busy_supervisor_is_told_the_answer_all_the_same() -> None:
    bucket, told, room = (
        Bucket({"p/a": info("p/a")}),
        list[RestoreTaken | RestoreTold](),
        iter([False, False, True] * 2),
    )

    def tell(message: RestoreTaken | RestoreTold) -> bool:
        if has_room := next(room):
            told.append(message)
        return has_room

    trio.run(
        Archives(bucket, "p/", tell).answer,
        AskRestore(paths=("a",)),
        clock=trio.testing.MockClock(autojump_threshold=0),
    )

    assert [type(each) for each in told] == [RestoreTaken, RestoreTold]


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


def lost(happens: Callable[[Restores], None], *, posted: bool = True) -> CannotRestore:
    """What who asks is told when this happens while it waits."""
    told: list[CannotRestore] = []

    async def main() -> None:
        restores = Restores()

        async def ask() -> None:
            try:
                await restores.ask(lambda _: posted, AskRestore(paths=("a",)))
            except CannotRestore as error:
                told.append(error)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await trio.testing.wait_all_tasks_blocked()
            happens(restores)

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    return told[0]


def test_who_waits_for_an_engine_that_ends_is_told_what_was_asked_for() -> None:
    def begun(restores: Restores) -> None:
        restores.heard(RestoreTaken(number=1))
        restores.heard(RestoreTaken(number=1, archived=300))
        restores.heard(RestoreTaken(number=1, archived=300, asked=200))
        restores.engine_is_gone()

    before, after = lost(Restores.engine_is_gone), lost(begun)

    assert not before.begun
    assert "ended before it answered, and S3 was asked for nothing: ask again" in str(before)
    assert after.begun
    assert "S3 was asked for at least 200 of 300 objects" in str(after)


def test_a_request_that_does_not_arrive_is_told_at_once_or_soon() -> None:
    full, silent = lost(lambda _: None, posted=False), lost(lambda _: None)

    assert "takes no requests now, and S3 was asked for nothing" in str(full)
    assert f"has not taken the request within {TAKEN_SECONDS_MAX:.0f} s" in str(silent)
    assert silent.begun


def test_a_path_is_found_by_its_text_in_the_innermost_mount() -> None:
    mounts = [{"name": "a", "mountpoint": "/mnt/a"}, {"name": "ab", "mountpoint": "/mnt/ab"}]

    assert place("/mnt/ab/x/../y/", mounts) == ("ab", "y")
    assert place("/mnt/a", mounts) == ("a", "")
