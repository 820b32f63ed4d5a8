"""What engine/s3/interface.py promises, held by MemoryClient and by HttpClient on two independent servers.

Each kind of bucket below makes objects in its own way; the promises are the same. What only one server can show
(storage classes, restores) is asked of those that can.
"""

import pytest
import trio

from engine.errors import ArchivedObject, BadResponse, NoSuchKey, PreconditionFailed, RangeNotSatisfiable, S3Error
from engine.s3.interface import ObjectClient
from engine.stats import EngineStats
from tests.contract.buckets import Bucket, ServerBucket, ask, read
from tests.servers import S3Server

KEYS = [
    "plain",
    "with space",
    "a+b",
    "100%",
    "percent%2Fencoded",
    "d/e/f",
    "ümlaut/日本",
    "~tilde",
    "q?x=1&y=2",
    "h#ash",
]
ODD_KEYS = ["double//slash", "tab\t", "quote'\"", "back\\slash", "<xml>&amp;", "a=b;c,d", "star*!()"]


def test_head_tells_size_etag_and_time_of_an_object(bucket: Bucket) -> None:
    etag = bucket.put("a/b", b"12345")

    info = ask(bucket, lambda client: client.head_object("a/b"))

    assert (info.key, info.size, info.etag, info.storage_class) == ("a/b", 5, etag, "STANDARD")
    assert 1_700_000_000 < info.last_modified < 4_000_000_000
    assert not info.archived


def test_head_of_a_missing_key_is_no_such_key(bucket: Bucket) -> None:
    with pytest.raises(NoSuchKey) as caught:
        ask(bucket, lambda client: client.head_object("missing"))
    assert caught.value.key == "missing"


def test_head_and_listing_agree_about_an_object(bucket: Bucket) -> None:
    bucket.put("same", b"x" * 1000)

    async def both(client: ObjectClient) -> None:
        page = await client.list_objects("")
        listed, head = page.objects[0], await client.head_object("same")
        assert (listed.key, listed.size, listed.etag) == (head.key, head.size, head.etag)
        assert int(listed.last_modified) == int(head.last_modified)

    ask(bucket, both)


@pytest.mark.parametrize("key", KEYS)
def test_an_object_with_an_unusual_key_is_found_listed_and_read(bucket: Bucket, key: str) -> None:
    etag = bucket.put(key, b"content")

    async def all_ways(client: ObjectClient) -> None:
        assert (await client.head_object(key)).size == 7
        assert [info.key for info in (await client.list_objects("", delimiter="")).objects] == [key]
        assert [info.key for info in (await client.list_objects(key, delimiter="")).objects] == [key]
        assert await read(client, key, 0, [7], etag) == b"content"

    ask(bucket, all_ways)


@pytest.mark.parametrize("key", ODD_KEYS)
def test_an_object_with_an_odd_key_is_found_listed_and_read(moto: S3Server, key: str) -> None:
    """Only moto: rclone's keys are file names."""
    bucket = ServerBucket(moto)
    etag = bucket.put(key, b"content")

    async def all_ways(client: ObjectClient) -> None:
        assert (await client.head_object(key)).size == 7
        assert [info.key for info in (await client.list_objects("", delimiter="")).objects] == [key]
        assert await read(client, key, 0, [7], etag) == b"content"

    ask(bucket, all_ways)


def test_listing_rolls_up_what_lies_beyond_the_delimiter(bucket: Bucket) -> None:
    for key in ("top", "d/one", "d/two", "d/deep/three", "e/four"):
        bucket.put(key, b"")

    async def look(client: ObjectClient) -> None:
        root = await client.list_objects("")
        assert ([info.key for info in root.objects], root.prefixes) == (["top"], ["d/", "e/"])
        inner = await client.list_objects("d/")
        assert ([info.key for info in inner.objects], inner.prefixes) == (["d/one", "d/two"], ["d/deep/"])
        flat = await client.list_objects("d/", delimiter="")
        assert [info.key for info in flat.objects] == ["d/deep/three", "d/one", "d/two"]
        assert flat.prefixes == []

    ask(bucket, look)


def test_listing_of_a_prefix_without_keys_is_an_empty_page(bucket: Bucket) -> None:
    page = ask(bucket, lambda client: client.list_objects("nothing/here/"))
    assert (page.objects, page.prefixes, page.next_token) == ([], [], None)


def test_pages_together_hold_every_key_once_in_order(bucket: Bucket) -> None:
    keys = [f"k{number:02}" for number in range(10)]
    for key in keys:
        bucket.put(key, b"")

    async def walk(client: ObjectClient) -> None:
        found: list[str] = []
        sizes: list[int] = []
        token = None
        while True:
            page = await client.list_objects("", token=token, max_keys=4)
            found += [info.key for info in page.objects]
            sizes.append(len(page.objects))
            token = page.next_token
            if token is None:
                break
        assert (found, sizes) == (keys, [4, 4, 2])

    ask(bucket, walk)


def test_a_page_counts_common_prefixes_as_entries(bucket: Bucket) -> None:
    for key in ("a/1", "a/2", "b/1", "c"):
        bucket.put(key, b"")

    async def walk(client: ObjectClient) -> None:
        first = await client.list_objects("", max_keys=2)
        assert (first.prefixes, first.objects) == (["a/", "b/"], [])
        assert first.next_token is not None
        second = await client.list_objects("", max_keys=2, token=first.next_token)
        assert ([info.key for info in second.objects], second.prefixes, second.next_token) == (["c"], [], None)

    ask(bucket, walk)


def test_keys_come_in_the_order_of_their_utf8_bytes(bucket: Bucket) -> None:
    keys = ["A", "Z", "a", "a-b", "a.b", "ab", "b", "é", "\uffee", "\U0001f600"]
    for key in reversed(keys):
        bucket.put(key, b"")
    page = ask(bucket, lambda client: client.list_objects(""))
    assert [info.key for info in page.objects] == keys


def test_a_range_fills_buffers_one_behind_the_other(bucket: Bucket) -> None:
    data = bytes(range(256)) * 40
    etag = bucket.put("ranged", data)

    async def ranges(client: ObjectClient) -> None:
        for offset, sizes in ((0, [10240]), (0, [1]), (10239, [1]), (100, [1, 2, 3, 4000]), (5000, [240, 5000])):
            assert await read(client, "ranged", offset, sizes, etag) == data[offset : offset + sum(sizes)]

    ask(bucket, ranges)


def test_progress_rises_to_the_whole_length_and_never_runs_ahead_of_the_bytes(bucket: Bucket) -> None:
    data = b"0123456789abcdef" * 100_000
    etag = bucket.put("big", data)
    memory = bytearray(len(data) - 7)
    seen: list[int] = []

    def progress(count: int) -> None:
        seen.append(count)
        assert memory[count - 1 : count] == data[7 + count - 1 : 7 + count]

    async def fetch(client: ObjectClient) -> None:
        half = len(memory) // 2
        views = [memoryview(memory)[:half], memoryview(memory)[half:]]
        await client.get_object("big", offset=7, buffers=views, if_match=etag, progress=progress)

    ask(bucket, fetch)
    assert memory == data[7:]
    assert seen == sorted(seen)
    assert seen[-1] == len(memory)


@pytest.mark.parametrize("size", [1, 999, 1000, 1001, 300_000])
def test_a_beginning_says_what_head_says_and_brings_bytes(bucket: Bucket, size: int) -> None:
    data = bytes(range(250)) * 1200
    bucket.put("begun", data[:size])
    memory = bytearray(1000)
    told: list[object] = []

    async def begin(client: ObjectClient) -> None:
        await client.get_beginning("begun", buffer=memoryview(memory), known=told.append, progress=told.append)
        assert told[0] == await client.head_object("begun")

    ask(bucket, begin)
    assert told[-1] == min(size, 1000)
    assert memory[: told[-1]] == data[: min(size, 1000)]


def test_there_is_no_beginning_of_nothing(bucket: Bucket) -> None:
    """Neither is counted as an error: both are answers."""
    bucket.put("empty", b"")
    stats = EngineStats()

    async def begin(client: ObjectClient) -> None:
        for key, error in (("empty", RangeNotSatisfiable), ("missing", NoSuchKey)):
            told: list[object] = []
            with pytest.raises(error):
                await client.get_beginning(
                    key, buffer=memoryview(bytearray(9)), known=told.append, progress=told.append
                )
            assert told == []

    ask(bucket, begin, stats)
    assert not stats.s3_errors


def test_a_replaced_object_is_precondition_failed(bucket: Bucket) -> None:
    old = bucket.put("changing", b"version 1")
    bucket.put("changing", b"version 2")
    with pytest.raises(PreconditionFailed):
        ask(bucket, lambda client: read(client, "changing", 0, [9], old))


def test_reading_a_deleted_object_is_no_such_key(bucket: Bucket) -> None:
    etag = bucket.put("deleted", b"was here")
    bucket.delete("deleted")
    with pytest.raises(NoSuchKey):
        ask(bucket, lambda client: read(client, "deleted", 0, [4], etag))


def test_a_range_over_the_objects_end_is_an_error_and_never_a_short_answer(bucket: Bucket) -> None:
    etag = bucket.put("short", b"12345")
    with pytest.raises(BadResponse):
        ask(bucket, lambda client: read(client, "short", 2, [10], etag))


def test_a_range_behind_the_objects_end_is_not_satisfiable(bucket: Bucket) -> None:
    etag = bucket.put("short", b"12345")
    with pytest.raises(RangeNotSatisfiable):
        ask(bucket, lambda client: read(client, "short", 100, [10], etag))


def test_an_archived_object_is_told_by_head_and_listing_and_refuses_to_be_read(bucket: Bucket) -> None:
    if not bucket.has_storage_classes:
        pytest.skip("this server has one storage class")
    etag = bucket.put("cold", b"frozen", storage_class="GLACIER")

    async def look(client: ObjectClient) -> None:
        assert (await client.head_object("cold")).archived
        assert (await client.list_objects("")).objects[0].archived
        with pytest.raises(ArchivedObject):
            await read(client, "cold", 0, [6], etag)

    ask(bucket, look)


def test_probe_answers_while_s3_does(bucket: Bucket) -> None:
    stats = EngineStats()
    ask(bucket, lambda client: client.probe(), stats)
    assert stats.backend.reachable
    assert stats.s3_requests["HeadBucket"] == 1


def test_each_request_is_counted_once(bucket: Bucket) -> None:
    etag = bucket.put("counted", b"x" * 5)
    stats = EngineStats()

    async def requests(client: ObjectClient) -> None:
        await client.head_object("counted")
        await client.list_objects("")
        await read(client, "counted", 0, [5], etag)
        with pytest.raises(S3Error):
            await client.head_object("other")

    ask(bucket, requests, stats)
    assert stats.s3_requests == {"HeadObject": 2, "ListObjectsV2": 1, "GetObject": 1}
    assert stats.s3_retries == 0
    assert stats.s3_bytes_received >= 5


def test_many_reads_at_once_give_each_its_own_bytes(bucket: Bucket) -> None:
    data = b"".join(number.to_bytes(4, "big") for number in range(20_000))
    etag = bucket.put("shared", data)

    async def all_at_once(client: ObjectClient) -> None:
        async def one(start: int) -> None:
            assert await read(client, "shared", start, [1000, 500], etag) == data[start : start + 1500]

        async with trio.open_nursery() as nursery:
            for start in range(0, 60_000, 3001):
                nursery.start_soon(one, start)

    ask(bucket, all_at_once)


def test_a_cancelled_read_leaves_the_client_usable(bucket: Bucket) -> None:
    data = b"z" * 3_000_000
    etag = bucket.put("cancelled", data)

    async def cancel_in_mid_body(client: ObjectClient) -> None:
        with trio.CancelScope() as scope:
            memory = memoryview(bytearray(len(data)))
            await client.get_object(
                "cancelled", offset=0, buffers=[memory], if_match=etag, progress=lambda _count: scope.cancel()
            )
        assert await read(client, "cancelled", 10, [20], etag) == b"z" * 20

    ask(bucket, cancel_in_mid_body)
