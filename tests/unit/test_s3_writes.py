"""Writing to servers that misbehave: what is ridden out, what is told as what it is, and what is left behind.

As in test_s3_client.py the server runs in the same loop and the clock jumps. Bodies are larger than all of the kernel's
buffers together, so that a server which stops reading is noticed by whoever writes.
"""

import os
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from engine.errors import (
    AccessDenied,
    AlreadyExists,
    BadResponse,
    EntityTooLarge,
    KeyTooLong,
    NoSuchUpload,
    S3Error,
    Throttled,
    Unreachable,
    WrongEncryption,
)
from engine.s3.checksums import checksum_of, composite_text, text_of
from engine.s3.client import USER_AGENT, HttpClient
from engine.s3.connection import HEAD_SECONDS_MAX
from engine.s3.etags import etag_of_body, etag_of_parts
from engine.s3.interface import KEY_BYTES_MAX, PartInfo, UploadInfo, UploadOptions
from engine.s3.sending import SENDING_SECONDS_MAX
from engine.stats import EngineStats
from tests.faults import Answer, ScriptedServer, error
from tests.unit.talking import IDLE_SECONDS, talk

PIECE = os.urandom(1024 * 1024)
LARGE = [memoryview(PIECE)] * 24  # bytes: 24 MiB; Linux holds up to 4 + 6 MiB for a connection
LARGE_BYTES = len(PIECE) * 24
PLAIN = UploadOptions(checksum_algorithm="off")

STORED = Answer(200, {"ETag": '"e"'})
PARTS = [
    PartInfo(number, etag_of_body([data]), len(data), checksum_of("crc32c", [data]))
    for number, data in ((1, b"one"), (2, b"two!"))
]
WHOLE = checksum_of("crc32c", [b"onetwo!"])
COMPLETED = Answer(body=b'<CompleteMultipartUploadResult><ETag>"m-2"</ETag></CompleteMultipartUploadResult>')
CREATED = b"<InitiateMultipartUploadResult><UploadId>u/1</UploadId></InitiateMultipartUploadResult>"


async def put(client: HttpClient, **options: Any) -> str:
    return await client.put_object("k", body=LARGE, upload=PLAIN, **options)


async def put_small(client: HttpClient, **options: Any) -> str:
    return await client.put_object("k", body=[b"small"], upload=PLAIN, **options)


async def complete(client: HttpClient, **options: Any) -> str:
    return await client.complete_multipart_upload("k", "u/1", PARTS, checksum=WHOLE, **options)


def head_of(size: int, etag: str, **headers: str) -> Answer:
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(200, {"Content-Length": str(size), "ETag": etag, **told})


def test_a_body_is_sent_whole_from_its_buffers_with_length_and_checksum() -> None:
    stats = EngineStats()
    buffers = [b"first ", memoryview(b"second "), b"", memoryview(bytearray(b"third"))]

    async def once(client: HttpClient) -> None:
        checksum = checksum_of("crc32c", buffers)
        assert await client.put_object("a b", body=buffers, upload=UploadOptions(), checksum=checksum) == '"e"'

    (seen,) = talk([STORED], once, stats).seen
    assert (seen.method, seen.target, seen.body) == ("PUT", "/b/a%20b", b"first second third")
    assert seen.headers["content-length"] == "18"
    assert seen.headers["x-amz-content-sha256"] == "UNSIGNED-PAYLOAD"
    assert seen.headers["x-amz-sdk-checksum-algorithm"] == "CRC32C"
    assert "x-amz-checksum-crc32c" in seen.headers["authorization"]
    assert (stats.s3_requests, stats.s3_bytes_sent) == ({"PutObject": 1}, 18)


def test_an_empty_body_has_a_length_too() -> None:
    async def once(client: HttpClient) -> None:
        await client.put_object("k", body=[], upload=PLAIN)

    assert talk([STORED], once).seen[0].headers["content-length"] == "0"


def test_how_to_store_an_object_is_told_and_signed_and_the_owner_with_every_request() -> None:
    upload = UploadOptions("STANDARD_IA", "aws:kms", "arn:aws:kms:r:1:key/k", "image/png", "crc64nvme")
    sse = {
        "x-amz-server-side-encryption": "aws:kms",
        "x-amz-server-side-encryption-aws-kms-key-id": "arn:aws:kms:r:1:key/k",
    }

    async def all_kinds(client: HttpClient) -> None:
        await client.put_object("k", body=[b"1"], upload=upload)
        await client.create_multipart_upload("k", upload=upload)
        await client.delete_object("k")
        await client.head_object("k")

    head = Answer(200, {"ETag": '"e"', "Last-Modified": "Sun, 06 Nov 1994 08:49:37 GMT"})
    script = [Answer(200, {"ETag": '"e"', **sse}), Answer(200, sse, CREATED), Answer(204), head]
    server = talk(script, all_kinds, expected_bucket_owner="123", user_agent_prefix="app/1")
    for seen in server.seen:
        assert seen.headers["x-amz-expected-bucket-owner"] == "123"
        assert seen.headers["user-agent"] == f"app/1 {USER_AGENT}"
    for seen in server.seen[:2]:
        told = {name: seen.headers[name] for name in (*sse, "x-amz-storage-class", "content-type")}
        assert told == {**sse, "x-amz-storage-class": "STANDARD_IA", "content-type": "image/png"}
        assert "SignedHeaders=content-type;host;" in seen.headers["authorization"]
    assert server.seen[1].headers["x-amz-checksum-algorithm"] == "CRC64NVME"
    assert server.seen[1].headers["x-amz-checksum-type"] == "FULL_OBJECT"


@pytest.mark.parametrize("trouble", [error(503, "SlowDown"), Answer(raw=b""), Answer(take=200_000, raw=b"")])
def test_a_put_that_fails_on_the_way_is_sent_again_from_its_beginning(trouble: Answer) -> None:
    stats = EngineStats()

    async def once(client: HttpClient) -> None:
        assert await put(client) == '"e"'

    server = talk([trouble, trouble, STORED], once, stats)
    assert server.seen[-1].body == PIECE * 24
    assert (stats.s3_retries, stats.s3_errors, stats.s3_requests["PutObject"]) == (2, {}, 3)
    assert LARGE_BYTES < stats.s3_bytes_sent <= 3 * LARGE_BYTES


@pytest.mark.parametrize("closes", [False, True])
@pytest.mark.parametrize(
    ("refusal", "kind"),
    [((403, "AccessDenied"), AccessDenied), ((400, "EntityTooLarge"), EntityTooLarge), ((503, "SlowDown"), Throttled)],
)
def test_a_refusal_before_the_body_is_there_is_told_as_what_it_is(
    refusal: tuple[int, str], kind: type[S3Error], *, closes: bool
) -> None:
    told = error(*refusal)
    early = Answer(told.status, told.headers, told.body, take=100_000, close=closes)

    async def once(client: HttpClient) -> None:
        with pytest.raises(kind) as caught:
            await put(client)
        assert (caught.value.code, caught.value.request_id) == (refusal[1], "REQ1")
        await client.delete_object("k")

    server = talk([early, Answer(204)], once, attempts_max=1)
    assert [seen.connection for seen in server.seen] == [0, 1]  # half a body is still owed on the first one


def test_an_early_503_is_ridden_out() -> None:
    told = error(503, "SlowDown")

    async def once(client: HttpClient) -> None:
        assert await put(client) == '"e"'

    assert len(talk([Answer(503, told.headers, told.body, take=0), STORED], once).seen) == 2


def test_success_before_the_body_is_there_is_not_believed() -> None:
    async def once(client: HttpClient) -> None:
        with pytest.raises(BadResponse, match="before all of it was there"):
            await put(client)

    talk([Answer(200, {"ETag": '"e"'}, take=1000)], once, attempts_max=1)


def test_a_body_goes_on_behind_a_continue() -> None:
    bodies = []

    async def serve(stream: trio.SocketStream) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += await stream.receive_some(100)
        await stream.send_all(b"HTTP/1.1 100 Continue\r\n\r\n")
        await trio.testing.wait_all_tasks_blocked()  # the client has seen it while it could not send on
        left = LARGE_BYTES - len(head.partition(b"\r\n\r\n")[2])
        while left:
            left -= len(await stream.receive_some(1_000_000))
        bodies.append(left)
        await stream.send_all(b'HTTP/1.1 200 OK\r\nETag: "e"\r\nContent-Length: 0\r\n\r\n')

    async def main() -> None:
        server = ScriptedServer([])
        async with trio.open_nursery() as nursery:
            listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
            server.url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
            nursery.start_soon(trio.serve_listeners, serve, listeners)
            client = HttpClient(server.access(), stats=EngineStats(), attempts_max=1)
            assert await put(client) == '"e"'
            await client.aclose()
            nursery.cancel_scope.cancel()

    trio.run(main)
    assert bodies == [0]


def test_a_server_that_takes_no_bytes_is_unreachable_in_bounded_time() -> None:
    async def once(client: HttpClient) -> None:
        started = trio.current_time()
        with pytest.raises(Unreachable, match="took no bytes for 30 seconds"):
            await put(client)
        assert trio.current_time() - started < SENDING_SECONDS_MAX + 1

    talk([Answer(take=0, never=True)], once, attempts_max=1)


def test_a_server_that_takes_bytes_slowly_is_no_dead_one() -> None:
    async def once(client: HttpClient) -> None:
        started = trio.current_time()
        await put(client)
        assert trio.current_time() - started > 2 * SENDING_SECONDS_MAX

    talk([Answer(200, {"ETag": '"e"'}, take_pause=5.0)], once, attempts_max=1)


def test_a_server_that_thinks_about_a_body_longer_than_about_a_question_is_waited_for() -> None:
    async def once(client: HttpClient) -> None:
        await put(client)
        await complete(client)

    late = HEAD_SECONDS_MAX + 10
    slow = Answer(COMPLETED.status, body=COMPLETED.body, head_delay=4 * late)
    talk([Answer(200, {"ETag": '"e"'}, head_delay=late), slow], once, attempts_max=1)


def test_a_put_cancelled_in_mid_body_leaves_nothing_behind() -> None:
    server = ScriptedServer([Answer(take=1000, never=True), STORED])

    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    async def main() -> None:
        async with server.running():
            client = HttpClient(server.access(), stats=EngineStats(), connections_max=3)
            before = descriptors()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(put, client)
                await trio.testing.wait_all_tasks_blocked(IDLE_SECONDS)
                nursery.cancel_scope.cancel()
            pool = client._current.pool
            assert (pool.idle, pool._room.value) == (0, 3)
            assert descriptors() <= before + 1  # the server's end of the connection
            assert await put(client) == '"e"'
            await client.aclose()

    trio.run(main)


def test_a_put_is_sent_again_over_a_fresh_connection_when_a_kept_one_was_closed() -> None:
    stats = EngineStats()

    async def twice(client: HttpClient) -> None:
        await put_small(client)
        await put_small(client)

    server = talk([STORED, Answer(raw=b""), STORED], twice, stats, attempts_max=1)
    assert ([seen.connection for seen in server.seen], stats.s3_retries) == ([0, 0, 1], 0)


def test_only_if_absent_is_asked_of_s3_and_its_refusal_is_that_the_object_exists() -> None:
    async def once(client: HttpClient) -> None:
        with pytest.raises(AlreadyExists):
            await put_small(client, if_none_match=True)

    (seen,) = talk([error(412, "PreconditionFailed")], once).seen
    assert seen.headers["if-none-match"] == "*"


@pytest.mark.parametrize(
    ("found", "ours"),
    [
        (head_of(5, etag_of_body([b"small"])), True),
        (head_of(5, etag_of_body([b"other"])), False),
        (head_of(6, etag_of_body([b"small"])), False),
        (error(404, "NoSuchKey"), False),
    ],
)
def test_an_object_that_an_attempt_without_an_answer_stored_is_not_somebody_elses(found: Answer, *, ours: bool) -> None:
    async def once(client: HttpClient) -> None:
        if ours:
            assert await put_small(client, if_none_match=True) == found.headers["ETag"]
        else:
            with pytest.raises(AlreadyExists):
                await put_small(client, if_none_match=True)

    server = talk([Answer(raw=b""), error(412, "PreconditionFailed"), found], once)
    assert [seen.method for seen in server.seen] == ["PUT", "PUT", "HEAD"]


def test_a_conditional_put_over_a_kept_connection_that_closes_knows_that_it_went_twice() -> None:
    async def twice(client: HttpClient) -> None:
        await put_small(client)
        assert await put_small(client, if_none_match=True) == etag_of_body([b"small"])

    lost = Answer(raw=b"")  # stored, and not answered: as good as closed before it came
    talk([STORED, lost, error(412, "PreconditionFailed"), head_of(5, etag_of_body([b"small"]))], twice)


def test_completing_names_the_parts_their_checksums_and_the_size() -> None:
    async def once(client: HttpClient) -> None:
        assert await complete(client) == '"m-2"'

    (seen,) = talk([COMPLETED], once).seen
    assert (seen.method, seen.target) == ("POST", "/b/k?uploadId=u%2F1")
    assert seen.headers["x-amz-mp-object-size"] == "7"
    assert b"<PartNumber>2</PartNumber>" in seen.body
    assert b64encode(PARTS[1].checksum.value.to_bytes(4, "big")) in seen.body  # type: ignore[union-attr]
    assert seen.headers["x-amz-content-sha256"] != "UNSIGNED-PAYLOAD"


def in_200(code: str, **how: Any) -> Answer:
    """An error that S3 notices after it has told the status."""
    told = error(500, code)
    return Answer(200, {}, b'<?xml version="1.0" encoding="UTF-8"?>\n  \n ' + told.body, **how)


@pytest.mark.parametrize("trouble", [in_200("InternalError"), in_200("SlowDown"), Answer(body=COMPLETED.body[:40])])
def test_a_completion_that_turns_out_to_have_failed_is_tried_again(trouble: Answer) -> None:
    async def once(client: HttpClient) -> None:
        assert await complete(client) == '"m-2"'

    assert len(talk([trouble, COMPLETED], once).seen) == 2


def test_a_completion_that_s3_refuses_behind_a_200_is_a_failure() -> None:
    async def once(client: HttpClient) -> None:
        with pytest.raises(S3Error) as caught:
            await complete(client)
        assert (caught.value.code, caught.value.key) == ("InvalidPart", "k")

    assert len(talk([in_200("InvalidPart")], once).seen) == 1


def test_blanks_before_the_answer_of_a_completion_are_no_harm() -> None:
    async def once(client: HttpClient) -> None:
        assert await complete(client) == '"m-2"'

    talk([Answer(body=b"  \n\n " + COMPLETED.body)], once, attempts_max=1)


@pytest.mark.parametrize(
    ("found", "ours"),
    [
        (head_of(7, etag_of_parts(PARTS)), True),
        (head_of(7, '"of-kms-2"', x_amz_checksum_crc32c=composite_text(PARTS) or ""), True),
        (head_of(7, '"other-2"', x_amz_checksum_crc32c="AAAAAA==-2"), False),
        (head_of(8, etag_of_parts(PARTS)), False),
        (error(404, "NoSuchKey"), False),
    ],
)
def test_after_a_lost_answer_of_a_completion_s3_is_asked_what_became_of_it(found: Answer, *, ours: bool) -> None:
    async def once(client: HttpClient) -> None:
        if ours:
            assert await complete(client) == found.headers["ETag"]
        else:
            with pytest.raises(NoSuchUpload):
                await complete(client)

    server = talk([Answer(raw=b""), error(404, "NoSuchUpload"), found], once)
    assert [seen.method for seen in server.seen] == ["POST", "POST", "HEAD"]
    assert server.seen[-1].headers["x-amz-checksum-mode"] == "ENABLED"


def test_a_completion_only_if_absent_recognises_its_own_object() -> None:
    async def once(client: HttpClient) -> None:
        assert await complete(client, if_none_match=True) == etag_of_parts(PARTS)
        with pytest.raises(AlreadyExists):
            await complete(client, if_none_match=True)

    exists = error(412, "PreconditionFailed")
    assert len(talk([Answer(raw=b""), exists, head_of(7, etag_of_parts(PARTS)), exists], once).seen) == 4


def test_removing_what_is_gone_is_done_and_no_error_is_counted() -> None:
    stats = EngineStats()

    async def both(client: HttpClient) -> None:
        await client.abort_multipart_upload("k", "u/1")
        await client.delete_object("k")

    server = talk([error(404, "NoSuchUpload"), error(404, "NoSuchKey")], both, stats)
    assert [(seen.method, seen.target) for seen in server.seen] == [
        ("DELETE", "/b/k?uploadId=u%2F1"),
        ("DELETE", "/b/k"),
    ]
    assert (stats.s3_errors, stats.s3_requests) == ({}, {"AbortMultipartUpload": 1, "DeleteObject": 1})


def test_a_part_of_an_upload_that_is_gone_says_so() -> None:
    async def once(client: HttpClient) -> None:
        with pytest.raises(NoSuchUpload):
            await client.upload_part("k", "u/1", 3, body=[b"x"])

    (seen,) = talk([error(404, "NoSuchUpload")], once).seen
    assert seen.target == "/b/k?partNumber=3&uploadId=u%2F1"


def uploads_page(*keys: str, then: str = "") -> Answer:
    listed = "".join(
        f"<Upload><Key>{key}</Key><UploadId>u</UploadId><Initiated>2026-11-22T21:37:12.000Z</Initiated></Upload>"
        for key in keys
    )
    markers = f"<NextKeyMarker>{then}</NextKeyMarker><NextUploadIdMarker>u</NextUploadIdMarker>"
    more = f"<IsTruncated>true</IsTruncated>{markers}"
    return Answer(
        body=f"<ListMultipartUploadsResult><EncodingType>url</EncodingType>{listed}{more if then else ''}"
        "</ListMultipartUploadsResult>".encode()
    )


def test_uploads_in_progress_are_listed_page_by_page() -> None:
    async def once(client: HttpClient) -> None:
        found = await client.list_multipart_uploads("d/")
        assert found == [UploadInfo(key, "u", 1795383432.0) for key in ("d/a b", "d/c")]

    first, second = talk([uploads_page("d/a+b", then="d/a+b"), uploads_page("d/c")], once).seen
    assert "prefix=d%2F" in first.target
    assert "key-marker=d%2Fa%20b" in second.target
    assert "upload-id-marker=u" in second.target


def test_a_listing_of_uploads_that_stands_still_is_a_bad_response() -> None:
    async def once(client: HttpClient) -> None:
        with pytest.raises(BadResponse, match="does not come to an end"):
            await client.list_multipart_uploads("")

    assert len(talk([uploads_page("k", then="k")], once).seen) == 2


@pytest.mark.parametrize("told", [{}, {"x-amz-server-side-encryption": "AES256"}])
def test_an_upload_that_s3_would_encrypt_otherwise_is_aborted(told: dict[str, str]) -> None:
    async def once(client: HttpClient) -> None:
        with pytest.raises(WrongEncryption):
            await client.create_multipart_upload("k", upload=UploadOptions(sse="aws:kms"))

    server = talk([Answer(200, told, CREATED), Answer(204)], once)
    assert [(seen.method, seen.target) for seen in server.seen][1:] == [("DELETE", "/b/k?uploadId=u%2F1")]


@pytest.mark.parametrize(
    ("upload", "right"),
    [
        (UploadOptions(sse="aws:kms"), True),
        (UploadOptions(sse="aws:kms", sse_kms_key_id="arn:1"), True),
        (UploadOptions(), True),
        (UploadOptions(sse="aws:kms", sse_kms_key_id="arn:2"), False),
        (UploadOptions(sse="aws:kms:dsse"), False),
    ],
)
def test_an_object_encrypted_otherwise_than_asked_is_told(upload: UploadOptions, *, right: bool) -> None:
    told = {"x-amz-server-side-encryption": "aws:kms", "x-amz-server-side-encryption-aws-kms-key-id": "arn:1"}

    async def once(client: HttpClient) -> None:
        if right:
            await client.put_object("k", body=[b"1"], upload=upload)
        else:
            with pytest.raises(WrongEncryption):
                await client.put_object("k", body=[b"1"], upload=upload)

    assert len(talk([Answer(200, {"ETag": '"e"', **told})], once).seen) == 1


def test_a_key_that_s3_would_refuse_costs_no_request() -> None:
    async def both(client: HttpClient) -> None:
        long = "é" * (KEY_BYTES_MAX // 2) + "x"
        with pytest.raises(KeyTooLong):
            await client.put_object(long, body=[b"1"], upload=PLAIN)
        with pytest.raises(KeyTooLong):
            await client.create_multipart_upload(long, upload=PLAIN)

    assert talk([], both).seen == []


def test_an_answer_without_an_etag_is_a_bad_response() -> None:
    async def once(client: HttpClient) -> None:
        with pytest.raises(BadResponse, match="no ETag"):
            await put_small(client)

    talk([Answer(200)], once, attempts_max=1)


def test_bytes_that_s3_took_otherwise_than_they_were_sent_are_sent_again() -> None:
    checksum = checksum_of("crc32c", [b"data"])
    right, wrong = ({"ETag": '"e"', "x-amz-checksum-crc32c": text} for text in (text_of(checksum), "AAAAAA=="))

    async def both(client: HttpClient) -> None:
        await client.put_object("k", body=[b"data"], upload=UploadOptions(), checksum=checksum)
        await client.upload_part("k", "u", 1, body=[b"data"], checksum=checksum)

    assert len(talk([Answer(200, wrong), Answer(200, right), Answer(200, wrong), Answer(200, right)], both).seen) == 4


@pytest.mark.parametrize("tells", [True, False])
def test_a_part_is_known_to_be_as_sent_where_s3_tells_its_checksum(tells: bool) -> None:
    checksum = checksum_of("crc32c", [b"data"])
    headers = {"ETag": '"e"'} | ({"x-amz-checksum-crc32c": text_of(checksum)} if tells else {})

    async def once(client: HttpClient) -> None:
        part = await client.upload_part("k", "u", 1, body=[b"data"], checksum=checksum)
        assert part.compared is tells

    talk([Answer(200, headers)], once)
