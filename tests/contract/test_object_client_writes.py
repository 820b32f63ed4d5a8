"""What engine/s3/interface.py promises of writing, held by MemoryClient and by HttpClient on independent servers.

What is stored is looked at by other means: boto, or the dictionary itself. A promise that a server can't keep (rclone
knows no conditions, moto compares no checksums) is not asked of it.
"""

import os
from dataclasses import replace

import pytest
import trio

from engine.errors import AlreadyExists, KeyTooLong, NoSuchKey, NoSuchUpload, S3Error
from engine.s3.checksums import checksum_of, checksum_of_parts
from engine.s3.client import HttpClient
from engine.s3.interface import (
    PART_BYTES_MIN,
    Body,
    Checksum,
    ChecksumAlgorithm,
    ObjectClient,
    PartInfo,
    UploadOptions,
)
from engine.s3.upload_documents import likeness_of_body
from engine.stats import EngineStats
from tests.contract.buckets import Bucket, ServerBucket, ask, read
from tests.contract.test_object_client import KEYS, ODD_KEYS
from tests.faults import Answer, FaultyProxy, Seen
from tests.servers import S3Server

PLAIN = UploadOptions()
FIRST = os.urandom(PART_BYTES_MIN)
ALGORITHMS = ["crc32c", "crc64nvme", "off"]


def checksum(upload: UploadOptions, body: Body) -> Checksum | None:
    """What a caller gives along."""
    return None if upload.checksum_algorithm == "off" else checksum_of(upload.checksum_algorithm, body)


async def put(client: ObjectClient, key: str, data: bytes, *, if_none_match: bool = False) -> str:
    sum_ = checksum_of("crc32c", [data])
    return await client.put_object(key, body=[data], upload=PLAIN, checksum=sum_, if_none_match=if_none_match)


async def send(
    client: ObjectClient, key: str, datas: list[bytes], upload: UploadOptions = PLAIN
) -> tuple[str, list[PartInfo]]:
    """Begin an upload and send these parts; its id and its parts."""
    upload_id = await client.create_multipart_upload(key, upload=upload)
    parts = []
    for number, data in enumerate(datas, 1):
        body = [memoryview(data)[:7], memoryview(data)[7:]]
        parts.append(await client.upload_part(key, upload_id, number, body=body, checksum=checksum(upload, body)))
    return upload_id, parts


def test_an_object_that_was_put_is_there_whole_with_its_etag(bucket: Bucket) -> None:
    data = os.urandom(300_000)
    buffers = [data[:1], memoryview(data)[1:200_000], b"", memoryview(bytearray(data[200_000:]))]

    async def once(client: ObjectClient) -> None:
        etag = await client.put_object("k", body=buffers, upload=PLAIN, checksum=checksum_of("crc32c", [data]))
        info = await client.head_object("k")
        assert (info.etag, info.size) == (etag, len(data))
        assert await read(client, "k", 0, [len(data)], etag) == data

    ask(bucket, once)
    assert bucket.get("k") == data


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_an_empty_object_and_a_replaced_one_are_what_was_put_last(bucket: Bucket, algorithm: ChecksumAlgorithm) -> None:
    upload = UploadOptions(checksum_algorithm=algorithm)

    async def both(client: ObjectClient) -> None:
        for data in (b"not empty", b""):
            await client.put_object("k", body=[data] if data else [], upload=upload, checksum=checksum(upload, [data]))
            assert (await client.head_object("k")).size == len(data)

    ask(bucket, both)
    assert bucket.get("k") == b""


@pytest.mark.parametrize("key", KEYS)
def test_an_unusual_key_is_put_uploaded_and_deleted(bucket: Bucket, key: str) -> None:
    if "/" in key and not bucket.makes_directories:
        pytest.skip("a PUT that makes directories can hang this server for all its clients")

    async def all_ways(client: ObjectClient) -> None:
        await put(client, key, b"content")
        assert [info.key for info in (await client.list_objects("", delimiter="")).objects] == [key]
        upload_id, parts = await send(client, key, [b"uploaded"])
        assert [info.key for info in await client.list_multipart_uploads(key)] == [key]
        await client.complete_multipart_upload(key, upload_id, parts)
        assert (await client.head_object(key)).size == 8
        await client.delete_object(key)
        with pytest.raises(NoSuchKey):
            await client.head_object(key)

    ask(bucket, all_ways)


@pytest.mark.parametrize("key", ODD_KEYS)
def test_an_odd_key_is_put_and_deleted(moto: S3Server, key: str) -> None:
    """Only moto: rclone's keys are file names."""
    bucket = ServerBucket(moto)

    async def both(client: ObjectClient) -> None:
        await put(client, key, b"content")
        assert [info.key for info in (await client.list_objects("", delimiter="")).objects] == [key]
        await client.delete_object(key)
        assert (await client.list_objects("", delimiter="")).objects == []

    ask(bucket, both)


def test_only_if_absent_makes_an_object_and_never_replaces_one(bucket: Bucket) -> None:
    if not bucket.has_conditional_writes:
        pytest.skip("this server ignores If-None-Match")

    async def twice(client: ObjectClient) -> None:
        await put(client, "k", b"first", if_none_match=True)
        with pytest.raises(AlreadyExists):
            await put(client, "k", b"second", if_none_match=True)
        upload_id, parts = await send(client, "k", [b"third"])
        with pytest.raises(AlreadyExists):
            await client.complete_multipart_upload("k", upload_id, parts, if_none_match=True)
        await client.abort_multipart_upload("k", upload_id)

    ask(bucket, twice)
    assert bucket.get("k") == b"first"


def test_a_body_that_is_not_what_its_checksum_is_of_is_not_stored(bucket: Bucket) -> None:
    if not bucket.compares_checksums:
        pytest.skip("this server compares no checksums")

    async def once(client: ObjectClient) -> None:
        with pytest.raises(S3Error) as caught:
            await client.put_object("k", body=[b"data"], upload=PLAIN, checksum=checksum_of("crc32c", [b"other"]))
        assert caught.value.code == "BadDigest"
        with pytest.raises(NoSuchKey):
            await client.head_object("k")

    ask(bucket, once)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_an_object_in_parts_is_there_whole_after_its_completion_and_not_before(
    bucket: Bucket, algorithm: ChecksumAlgorithm
) -> None:
    upload = UploadOptions(checksum_algorithm=algorithm)

    async def once(client: ObjectClient) -> None:
        upload_id, parts = await send(client, "k", [FIRST, b"the rest"], upload)
        assert [(part.number, part.size) for part in parts] == [(1, len(FIRST)), (2, 8)]
        with pytest.raises(NoSuchKey):
            await client.head_object("k")
        whole = checksum(upload, [FIRST, b"the rest"])
        assert whole is None or checksum_of_parts(whole.algorithm, parts) == whole
        etag = await client.complete_multipart_upload("k", upload_id, parts, checksum=whole)
        info = await client.head_object("k")
        assert info.size == len(FIRST) + 8
        assert info.etag == etag or not bucket.remembers_completions
        assert await client.list_multipart_uploads("") == []

    ask(bucket, once)
    assert bucket.get("k") == FIRST + b"the rest"


def test_parts_come_in_any_order_and_the_last_of_a_number_counts(bucket: Bucket) -> None:
    tries = [FIRST] if bucket.streams_parts else [b"wrong" * 2**20, FIRST]

    async def once(client: ObjectClient) -> None:
        upload_id = await client.create_multipart_upload("k", upload=PLAIN)
        parts = {}
        for number, data in [(2, b"end"), *((1, data) for data in tries)]:
            sum_ = checksum_of("crc32c", [data])
            parts[number] = await client.upload_part("k", upload_id, number, body=[data], checksum=sum_)
        whole = checksum_of("crc32c", [FIRST, b"end"])
        await client.complete_multipart_upload("k", upload_id, [parts[1], parts[2]], checksum=whole)

    ask(bucket, once)
    assert bucket.get("k") == FIRST + b"end"


def test_an_upload_of_one_empty_part_is_an_empty_object(bucket: Bucket) -> None:
    async def once(client: ObjectClient) -> None:
        upload_id, parts = await send(client, "k", [b""])
        await client.complete_multipart_upload("k", upload_id, parts, checksum=checksum_of("crc32c", []))

    ask(bucket, once)
    assert bucket.get("k") == b""


def test_completing_what_was_completed_is_the_same_object_again(bucket: Bucket) -> None:
    if not bucket.remembers_completions:
        pytest.skip("this server gives the completed object another ETag than it told")

    async def twice(client: ObjectClient) -> None:
        upload_id, parts = await send(client, "k", [b"once"])
        etag = await client.complete_multipart_upload("k", upload_id, parts)
        assert await client.complete_multipart_upload("k", upload_id, parts) == etag

    ask(bucket, twice)
    assert bucket.get("k") == b"once"


def test_parts_that_s3_does_not_have_make_no_object(bucket: Bucket) -> None:
    async def once(client: ObjectClient) -> None:
        upload_id, (part,) = await send(client, "k", [b"data"])
        other = PartInfo(part.number, '"0123456789abcdef0123456789abcdef"', part.size, part.checksum)
        with pytest.raises(S3Error):
            await client.complete_multipart_upload("k", upload_id, [other])
        with pytest.raises(NoSuchKey):
            await client.head_object("k")
        await client.abort_multipart_upload("k", upload_id)

    ask(bucket, once)


def test_an_aborted_upload_is_gone_and_aborting_it_again_is_no_error(bucket: Bucket) -> None:
    async def once(client: ObjectClient) -> None:
        upload_id, parts = await send(client, "k", [b"data"])
        assert [info.upload_id for info in await client.list_multipart_uploads("k")] == [upload_id]
        await client.abort_multipart_upload("k", upload_id)
        await client.abort_multipart_upload("k", upload_id)
        assert await client.list_multipart_uploads("") == []
        if bucket.tells_lost_uploads:
            with pytest.raises(NoSuchUpload):
                await client.complete_multipart_upload("k", upload_id, parts)
            with pytest.raises(NoSuchUpload):
                await client.upload_part("k", upload_id, 2, body=[b"late"], checksum=checksum_of("crc32c", [b"late"]))

    ask(bucket, once)


def test_uploads_are_listed_by_prefix_each_with_its_id(bucket: Bucket) -> None:
    async def once(client: ObjectClient) -> None:
        begun = {}
        for key in ("d/one", "d/two", "e"):
            begun[key] = await client.create_multipart_upload(key, upload=PLAIN)
        listed = {info.key: info.upload_id for info in await client.list_multipart_uploads("d/")}
        assert listed == {key: begun[key] for key in ("d/one", "d/two")}
        for key, upload_id in begun.items():
            await client.abort_multipart_upload(key, upload_id)

    ask(bucket, once)


def test_deleting_twice_is_no_error(bucket: Bucket) -> None:
    bucket.put("k", b"here")

    async def twice(client: ObjectClient) -> None:
        await client.delete_object("k")
        await client.delete_object("k")
        with pytest.raises(NoSuchKey):
            await client.head_object("k")

    ask(bucket, twice)


def test_a_storage_class_is_kept_by_both_ways_to_write(bucket: Bucket) -> None:
    if not bucket.has_storage_classes:
        pytest.skip("this server has one storage class")
    upload = UploadOptions(storage_class="STANDARD_IA", checksum_algorithm="off")

    async def both(client: ObjectClient) -> None:
        await client.put_object("put", body=[b"1"], upload=upload)
        upload_id, parts = await send(client, "parts", [b"2"], upload)
        await client.complete_multipart_upload("parts", upload_id, parts)
        for key in ("put", "parts"):
            assert (await client.head_object(key)).storage_class == "STANDARD_IA"

    ask(bucket, both)


def test_a_key_that_is_too_long_is_told_before_anything_is_sent(bucket: Bucket) -> None:
    async def both(client: ObjectClient) -> None:
        with pytest.raises(KeyTooLong):
            await put(client, "k" * 1025, b"")
        with pytest.raises(KeyTooLong):
            await client.create_multipart_upload("k" * 1025, upload=PLAIN)

    stats = EngineStats()
    ask(bucket, both, stats)
    assert stats.s3_requests == {}


def test_each_request_and_each_byte_sent_is_counted(bucket: Bucket) -> None:
    stats = EngineStats()

    async def requests(client: ObjectClient) -> None:
        await put(client, "k", b"12345")
        upload_id, parts = await send(client, "m", [b"123"])
        await client.complete_multipart_upload("m", upload_id, parts)
        aborted = await client.create_multipart_upload("n", upload=PLAIN)
        await client.abort_multipart_upload("n", aborted)
        await client.list_multipart_uploads("")
        await client.delete_object("k")

    ask(bucket, requests, stats)
    assert stats.s3_requests == {
        "PutObject": 1, "CreateMultipartUpload": 2, "UploadPart": 1, "CompleteMultipartUpload": 1,
        "AbortMultipartUpload": 1, "ListMultipartUploads": 1, "DeleteObject": 1,
    }  # fmt: skip
    assert stats.s3_bytes_sent >= 8
    assert (stats.s3_retries, stats.s3_errors) == (0, {})


def test_parts_sent_at_once_each_keep_their_own_bytes(bucket: Bucket) -> None:
    datas = [bytes([number]) * PART_BYTES_MIN for number in range(1, 5)]

    async def all_at_once(client: ObjectClient) -> None:
        upload_id = await client.create_multipart_upload("k", upload=PLAIN)
        parts: dict[int, PartInfo] = {}

        async def one(number: int, data: bytes) -> None:
            sum_ = checksum_of("crc32c", [data])
            parts[number] = await client.upload_part("k", upload_id, number, body=[data], checksum=sum_)

        async with trio.open_nursery() as nursery:
            for number, data in enumerate(datas, 1):
                nursery.start_soon(one, number, data)
        whole = checksum_of("crc32c", datas)
        await client.complete_multipart_upload("k", upload_id, [parts[n] for n in sorted(parts)], checksum=whole)

    ask(bucket, all_at_once)
    assert bucket.get("k") == b"".join(datas)


@pytest.mark.not_on("versitygw", "without a checksum it makes an object of what came of a body that was cut short")
def test_a_cancelled_put_leaves_the_client_usable_and_no_object(bucket: Bucket) -> None:
    stats = EngineStats()
    body = [memoryview(FIRST)] * 8

    async def cancel_in_mid_body(client: ObjectClient) -> None:
        async with trio.open_nursery() as nursery:

            async def start() -> None:
                await client.put_object("k", body=body, upload=UploadOptions(checksum_algorithm="off"))

            nursery.start_soon(start)
            while not stats.s3_bytes_sent and not stats.s3_requests:
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
        with pytest.raises(NoSuchKey):
            await client.head_object("k")
        await put(client, "k", b"afterwards")

    ask(bucket, cancel_in_mid_body, stats)
    assert bucket.get("k") == b"afterwards"


def test_an_object_is_found_by_what_was_known_before_it_was_sent(bucket: Bucket) -> None:
    async def look(client: ObjectClient) -> None:
        etag = await put(client, "k", b"mine")
        by_etag, by_sum = likeness_of_body(4, etag, None), likeness_of_body(4, "", checksum_of("crc32c", [b"mine"]))
        assert await client.find_object("k", by_etag) == etag
        if bucket.keeps_checksums:
            assert await client.find_object("k", by_sum) == etag
        for other in (replace(by_etag, size=5), replace(by_etag, etag='"x"'), replace(by_sum, checksum="AAAAAA==")):
            assert await client.find_object("k", other) is None
        assert await client.find_object("none", by_etag) is None

    ask(bucket, look)


LOST = Answer(done=True, raw=b"")  # done, and the connection is cut instead of an answer


@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_a_write_whose_answer_was_lost_is_done_once_and_known_as_ours(moto: S3Server, method: str) -> None:
    name = moto.bucket()
    done: list[str] = []

    def decide(seen: Seen) -> Answer | None:
        first = seen.method == method and "partNumber" not in seen.target and "uploads" not in seen.target and not done
        done.extend([seen.target] if first else [])
        return LOST if first else None

    async def write(client: ObjectClient) -> str:
        if method == "PUT":
            return await put(client, "k", b"mine", if_none_match=True)
        upload_id, parts = await send(client, "k", [b"mine"])
        return await client.complete_multipart_upload("k", upload_id, parts, if_none_match=True)

    async def main() -> None:
        with FaultyProxy(moto.endpoint, decide) as proxy:
            access = moto.access(name).model_copy(update={"endpoint": f"{proxy.endpoint}/{name}"})
            client = HttpClient(access, stats=EngineStats())
            etag = await write(client)
            assert (await client.head_object("k")).etag == etag
            await client.aclose()

    trio.run(main)
    assert len(done) == 1
    assert moto.boto.get_object(Bucket=name, Key="k")["Body"].read() == b"mine"
