"""S3's XML and headers become our types, and what is not usable is refused rather than guessed."""

import pytest

from engine.errors import BadResponse
from engine.s3.documents import (
    check_range,
    is_restored,
    object_of_headers,
    parse_error,
    parse_http_date,
    parse_iso_date,
    parse_list,
)

NOW = 1_400_000_000.0
COPIED = "<IsRestoreInProgress>false</IsRestoreInProgress>"
NAMESPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'


def listing(inner: str, *, url: bool = True) -> bytes:
    encoding = "<EncodingType>url</EncodingType>" if url else ""
    return f'<?xml version="1.0"?><ListBucketResult {NAMESPACE}>{encoding}{inner}</ListBucketResult>'.encode()


def entry(key: str = "k", size: str = "5", more: str = "") -> str:
    return (
        f"<Contents><Key>{key}</Key><Size>{size}</Size><ETag>&quot;e&quot;</ETag>"
        f"<LastModified>2014-01-02T03:04:05.678Z</LastModified>{more}</Contents>"
    )


def test_an_entry_of_a_listing_becomes_an_object() -> None:
    page = parse_list(listing(entry(more="<StorageClass>GLACIER</StorageClass>")), NOW)
    (info,) = page.objects
    assert (info.key, info.size, info.etag, info.storage_class) == ("k", 5, '"e"', "GLACIER")
    assert info.last_modified == pytest.approx(1388631845.678)
    assert info.archived


def test_url_encoded_keys_prefixes_are_decoded_and_blanks_are_plus_signs() -> None:
    page = parse_list(
        listing(entry("a+b%2Bc%2F%C3%BC%01") + "<CommonPrefixes><Prefix>d+e/</Prefix></CommonPrefixes>"), NOW
    )
    assert page.objects[0].key == "a b+c/ü\x01"
    assert page.prefixes == ["d e/"]


def test_keys_of_a_server_that_does_not_encode_are_taken_as_they_are() -> None:
    page = parse_list(listing(entry("a+b%20c"), url=False), NOW)
    assert page.objects[0].key == "a+b%20c"


def test_an_etag_without_quotes_gets_them() -> None:
    page = parse_list(listing(entry().replace("&quot;", "")), NOW)
    assert page.objects[0].etag == '"e"'


@pytest.mark.parametrize(
    ("status", "restored"),
    [
        (f"{COPIED}<RestoreExpiryDate>2020-01-01T00:00:00Z</RestoreExpiryDate>", True),
        (f"{COPIED}<RestoreExpiryDate>2010-01-01T00:00:00Z</RestoreExpiryDate>", False),
        (f"{COPIED}<RestoreExpiryDate>soon</RestoreExpiryDate>", False),
        (COPIED, False),
        ("<IsRestoreInProgress>true</IsRestoreInProgress>", False),
        ("", False),
    ],
)
def test_a_listed_objects_restored_copy_counts_until_it_expires(status: str, restored: bool) -> None:
    more = f"<StorageClass>DEEP_ARCHIVE</StorageClass><RestoreStatus>{status}</RestoreStatus>"
    (info,) = parse_list(listing(entry(more=more)), NOW).objects
    assert (info.restored, info.archived) == (restored, not restored)


def test_the_last_page_has_no_token_and_the_others_have_theirs() -> None:
    more = "<IsTruncated>true</IsTruncated><NextContinuationToken>tok=</NextContinuationToken>"
    assert parse_list(listing(more), NOW).next_token == "tok="
    assert parse_list(listing("<IsTruncated>false</IsTruncated>"), NOW).next_token is None
    ended = "<IsTruncated>false</IsTruncated><NextContinuationToken>tok</NextContinuationToken>"
    assert parse_list(listing(ended), NOW).next_token is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html><body>Sign in to the hotel's network</body></html>",
        b"not xml",
        b'<?xml version="1.0" encoding="none"?><ListBucketResult/>',
        b'<?xml version="1.0" encoding="big5"?><ListBucketResult/>',
        b"<Error><Code>InternalError</Code></Error>",
        listing(entry())[:-10],
        listing("<IsTruncated>true</IsTruncated>"),
        listing(entry(size="many")),
        listing(entry(size="-1")),
        listing(entry(size="1" + 14 * "0")),
        listing("<Contents><Key>k</Key></Contents>"),
        listing(entry().replace("2014-01-02", "yesterday")),
    ],
)
def test_a_listing_that_is_not_one_is_a_bad_response(body: bytes) -> None:
    with pytest.raises(BadResponse):
        parse_list(body, NOW)


def test_an_error_document_is_read_with_and_without_a_namespace() -> None:
    for attribute in ("", f" {NAMESPACE}"):
        said = parse_error(
            f"<Error{attribute}><Code>C</Code><Message>M</Message><Region>eu-west-1</Region>"
            "<RequestId>R</RequestId><HostId>H</HostId></Error>".encode()
        )
        assert (said.code, said.message, said.region, said.request_id, said.host_id) == (
            "C",
            "M",
            "eu-west-1",
            "R",
            "H",
        )


@pytest.mark.parametrize(
    "body",
    [b"", b"<html/>", b"503 Service Unavailable", b"<Error><Code>", b'<?xml version="1.0" encoding="none"?><Error/>'],
)
def test_an_error_body_that_is_no_document_says_nothing(body: bytes) -> None:
    assert parse_error(body).code == ""


HEADERS = {"content-length": "12", "etag": '"e"', "last-modified": "Sun, 06 Nov 1994 08:49:37 GMT"}


def test_heads_headers_become_an_object() -> None:
    info = object_of_headers("k", HEADERS, NOW)
    assert (info.size, info.etag, info.last_modified, info.storage_class) == (12, '"e"', 784111777.0, "STANDARD")


@pytest.mark.parametrize(
    "wrong", [{"content-length": "x"}, {"last-modified": "now"}, {"last-modified": "Sun, 99 Foo 1994 08:49:37 GMT"}]
)
def test_head_with_unusable_headers_is_a_bad_response(wrong: dict[str, str]) -> None:
    with pytest.raises(BadResponse):
        object_of_headers("k", HEADERS | wrong, NOW)


def test_head_without_size_or_time_is_a_bad_response() -> None:
    for name in ("content-length", "last-modified"):
        with pytest.raises(BadResponse):
            object_of_headers("k", {key: value for key, value in HEADERS.items() if key != name}, NOW)


@pytest.mark.parametrize(
    ("restore", "restored"),
    [
        ('ongoing-request="false", expiry-date="Fri, 21 Dec 2018 00:00:00 GMT"', True),
        ('ongoing-request="false", expiry-date="Fri, 21 Dec 2012 00:00:00 GMT"', False),
        ('ongoing-request="true"', False),
        ('ongoing-request="false"', False),
        ('ongoing-request="false", expiry-date="tomorrow"', False),
        ("", False),
    ],
)
def test_a_restored_copy_counts_until_it_expires_and_a_malformed_header_does_not(restore: str, restored: bool) -> None:
    assert is_restored(restore, NOW) is restored


def test_both_kinds_of_dates_tell_the_same_time() -> None:
    assert parse_http_date("Thu, 02 Jan 2014 03:04:05 GMT") == parse_iso_date("2014-01-02T03:04:05.000Z")


@pytest.mark.parametrize(
    ("status", "told", "length", "offset", "count"),
    [
        (206, "bytes 5-9/20", 5, 5, 5),
        (206, "bytes 0-0/1", 1, 0, 1),
        (200, "", 7, 0, 7),
        (200, "bytes 5-9/20", 5, 5, 5),
        (206, "bytes 5-9/*", None, 5, 5),
    ],
)
def test_the_range_that_was_asked_for_is_accepted(
    status: int, told: str, length: int | None, offset: int, count: int
) -> None:
    check_range(status, {"content-range": told} if told else {}, length, offset, count)


@pytest.mark.parametrize(
    ("status", "told", "length", "offset", "count"),
    [
        (206, "bytes 5-8/20", 4, 5, 5),
        (206, "bytes 4-8/20", 5, 5, 5),
        (206, "bytes 50-54/99", 5, 5, 5),
        (206, "", 5, 5, 5),
        (200, "", 20, 5, 5),
        (200, "", 20, 0, 5),
        (200, "", 5, 5, 5),
        (200, "", None, 0, 5),
        (200, "bytes 0-4/20", 5, 5, 5),
    ],
)
def test_any_other_range_is_a_bad_response(status: int, told: str, length: int | None, offset: int, count: int) -> None:
    with pytest.raises(BadResponse):
        check_range(status, {"content-range": told} if told else {}, length, offset, count)
