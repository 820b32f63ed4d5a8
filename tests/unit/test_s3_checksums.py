"""Checksums and ETags as S3 computes them, and what S3 says of uploads."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import BadResponse
from engine.s3.checksums import checksum_of, checksum_of_parts, combined, composite_text, extended, text_of
from engine.s3.etags import etag_of_body, etag_of_parts
from engine.s3.interface import Checksum, ChecksumAlgorithm, PartInfo
from engine.s3.upload_documents import parse_completed, parse_created, parse_uploads

ALGORITHMS: list[ChecksumAlgorithm] = ["crc32c", "crc64nvme"]


@pytest.mark.parametrize(
    ("algorithm", "value", "text"),
    [("crc32c", 0xE3069283, "4waSgw=="), ("crc64nvme", 0xAE8B14860A799888, "rosUhgp5mIg=")],
)
def test_the_check_value_of_each_algorithm(algorithm: ChecksumAlgorithm, value: int, text: str) -> None:
    checksum = checksum_of(algorithm, [b"123456789"])
    assert checksum == Checksum(algorithm, value)
    assert text_of(checksum) == text


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_nothing_has_the_checksum_zero_in_its_full_length(algorithm: ChecksumAlgorithm) -> None:
    assert text_of(checksum_of(algorithm, [])) == {"crc32c": "AAAAAA==", "crc64nvme": "AAAAAAAAAAA="}[algorithm]


@given(data=st.binary(max_size=300), first=st.integers(0, 300), second=st.integers(0, 300))
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_running_and_combined_checksums_are_those_of_the_whole(
    algorithm: ChecksumAlgorithm, data: bytes, first: int, second: int
) -> None:
    a, b = sorted((min(first, len(data)), min(second, len(data))))
    pieces = [data[:a], memoryview(bytearray(data))[a:b], data[b:]]
    whole = checksum_of(algorithm, [data])
    assert checksum_of(algorithm, pieces) == whole
    assert extended(checksum_of(algorithm, pieces[:1]), pieces[1:]) == whole
    rest = checksum_of(algorithm, pieces[1:])
    assert combined(checksum_of(algorithm, pieces[:1]), rest, len(data) - a) == whole
    parts = [PartInfo(n, '""', len(piece), checksum_of(algorithm, [piece])) for n, piece in enumerate(pieces, 1)]
    assert checksum_of_parts(algorithm, parts) == whole


def test_a_flipped_bit_or_swapped_parts_change_the_combined_checksum() -> None:
    one, two = (PartInfo(n, '""', 4, checksum_of("crc32c", [data])) for n, data in ((1, b"aaaa"), (2, b"bbbb")))
    assert checksum_of_parts("crc32c", [two, one]) != checksum_of("crc32c", [b"aaaabbbb"])
    assert checksum_of_parts("crc32c", [one, two]) != checksum_of("crc32c", [b"aaaabbbc"])


def test_a_part_without_the_checksum_leaves_the_whole_without_one() -> None:
    parts = [PartInfo(1, '""', 1, checksum_of("crc32c", [b"x"])), PartInfo(2, '""', 1)]
    assert checksum_of_parts("crc32c", parts) is None
    assert checksum_of_parts("crc64nvme", parts[:1]) is None
    assert composite_text(parts) is None


def test_a_composite_checksum_is_that_of_the_parts_checksums() -> None:
    parts = [PartInfo(n, '""', 1, checksum_of("crc32c", [data])) for n, data in ((1, b"x"), (2, b"y"))]
    raw = b"".join(part.checksum.value.to_bytes(4, "big") for part in parts if part.checksum)
    assert composite_text(parts) == text_of(checksum_of("crc32c", [raw])) + "-2"


def test_etags_are_md5_of_the_body_or_of_the_parts_digests() -> None:
    one, two = hashlib.md5(b"one").hexdigest(), hashlib.md5(b"two").hexdigest()
    assert etag_of_body([b"o", memoryview(b"ne")]) == f'"{one}"'
    parts = [PartInfo(1, f'"{one}"', 3), PartInfo(2, f'"{two}"', 3)]
    assert etag_of_parts(parts) == f'"{hashlib.md5(bytes.fromhex(one + two)).hexdigest()}-2"'
    assert etag_of_parts([PartInfo(1, '"not-hex"', 3)]) == ""


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no document",
        b"<Other><UploadId>u</UploadId></Other>",
        b"<InitiateMultipartUploadResult/>",
        b"<InitiateMultipartUploadResult><UploadId/></InitiateMultipartUploadResult>",
    ],
)
def test_an_answer_without_an_upload_id_is_a_bad_response(body: bytes) -> None:
    with pytest.raises(BadResponse):
        parse_created(body)


def test_an_upload_id_is_found_whatever_the_document_calls_itself() -> None:
    for name in ("InitiateMultipartUploadResult", "InitiateMultipartUpload"):
        assert parse_created(f'<{name} xmlns="x"><Key>k</Key><UploadId>u</UploadId></{name}>'.encode()) == "u"


def test_a_completed_objects_etag_has_its_quotes() -> None:
    for etag in ("&quot;e-1&quot;", "e-1"):
        body = f"<CompleteMultipartUploadResult><ETag>{etag}</ETag></CompleteMultipartUploadResult>"
        assert parse_completed(body.encode()) == '"e-1"'


@pytest.mark.parametrize(
    "inner",
    [
        "<IsTruncated>true</IsTruncated>",
        "<Upload><Key>k</Key><UploadId>u</UploadId></Upload>",
        "<Upload><Key>k</Key><UploadId>u</UploadId><Initiated>yesterday</Initiated></Upload>",
    ],
)
def test_a_listing_of_uploads_that_lacks_what_it_must_say_is_a_bad_response(inner: str) -> None:
    with pytest.raises(BadResponse):
        parse_uploads(f"<ListMultipartUploadsResult>{inner}</ListMultipartUploadsResult>".encode())
