"""What the client in memory has beyond the promises in tests/contract: tests set up buckets with it."""

import pytest
import trio

from engine.errors import ArchivedObject
from engine.s3.interface import ObjectInfo
from engine.s3.memory import MemoryClient
from engine.stats import EngineStats


def test_put_says_what_head_and_listing_then_tell() -> None:
    client = MemoryClient()
    etag = client.put("k", b"data", storage_class="GLACIER", last_modified=12.5, restored=True)

    assert trio.run(client.head_object, "k") == ObjectInfo("k", 4, etag, 12.5, "GLACIER", restored=True)
    assert trio.run(client.list_objects, "").objects == [trio.run(client.head_object, "k")]


def test_an_archived_object_is_readable_once_restored() -> None:
    client = MemoryClient()

    async def read() -> bytes:
        memory = bytearray(4)
        await client.get_object("k", offset=0, buffers=[memoryview(memory)], if_match="", progress=lambda _count: None)
        return bytes(memory)

    client.put("k", b"data", storage_class="DEEP_ARCHIVE")
    with pytest.raises(ArchivedObject):
        trio.run(read)
    client.put("k", b"data", storage_class="DEEP_ARCHIVE", restored=True)
    assert trio.run(read) == b"data"


def test_deleting_a_key_twice_is_no_error() -> None:
    client = MemoryClient()
    client.put("k", b"")
    client.delete("k")
    client.delete("k")
    assert trio.run(client.list_objects, "").objects == []


def test_requests_are_counted_in_the_given_stats() -> None:
    stats = EngineStats()
    client = MemoryClient(stats)
    trio.run(client.probe)
    trio.run(client.list_objects, "")
    assert stats.s3_requests == {"HeadBucket": 1, "ListObjectsV2": 1}
    assert stats.backend.reachable


def test_a_page_goes_on_behind_a_key_that_was_deleted_meanwhile() -> None:
    client = MemoryClient()
    for key in ("a", "b", "c"):
        client.put(key, b"")

    async def walk() -> list[str]:
        first = await client.list_objects("", max_keys=1)
        client.delete("b")
        second = await client.list_objects("", token=first.next_token)
        return [info.key for info in first.objects + second.objects]

    assert trio.run(walk) == ["a", "c"]
