"""Listings are read by a scanner where it can, and by the XML parser where it can't: nobody can tell which it was."""

from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import BadResponse
from engine.s3.documents import parse_list, parse_list_by_xml
from engine.s3.interface import ListPage
from engine.s3.scan import scan_list

NOW = 1_400_000_000.0
S3S = ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'

# What XML and URLs make something of, and letters.
TEXT = st.text("ab/ +%2&<>\"']\\\n\r\t\x01\x7fäλ", max_size=6)
NAMES = st.sampled_from(("Key", "Size", "Prefix", "Contents", "CommonPrefixes", "IsTruncated", "Owner", "a"))


def page(inner: str, *, namespace: str = S3S, declaration: str = '<?xml version="1.0" encoding="UTF-8"?>\n') -> bytes:
    return f"{declaration}<ListBucketResult{namespace}>{inner}</ListBucketResult>".encode()


def entry(key: str = "k", *, etag: str = "&quot;e&quot;", size: str = "5", more: str = "") -> str:
    return (
        f"<Contents><Key>{key}</Key><LastModified>2014-01-02T03:04:05.678Z</LastModified><ETag>{etag}</ETag>"
        f"{more}<Size>{size}</Size><StorageClass>STANDARD</StorageClass></Contents>"
    )


def read(body: bytes, by: object) -> ListPage | str:
    try:
        return by(body, NOW)  # type: ignore[operator, no-any-return]
    except BadResponse as error:
        return str(error)


def check(body: bytes) -> None:
    """Both ways come to one page, or to one error."""
    assert read(body, parse_list) == read(body, parse_list_by_xml)


FACTS = "<Name>b</Name><Prefix/><EncodingType>url</EncodingType><IsTruncated>false</IsTruncated>"
CHECKSUM = "<ChecksumAlgorithm>CRC64NVME</ChecksumAlgorithm><ChecksumType>FULL_OBJECT</ChecksumType>"
PREFIX = "<CommonPrefixes><Prefix>d%2F</Prefix></CommonPrefixes>"

USUAL = {
    "an empty bucket": page(FACTS),
    "S3": page(FACTS + entry(more=CHECKSUM) + entry("l%2Bm") + PREFIX + PREFIX),
    "S3, more to come": page(
        "<IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>" + entry()
    ),
    "facts behind the entries": page(entry() + FACTS),
    "directories alone": page(FACTS + PREFIX),
    "directories first": page(FACTS + PREFIX + entry()),
    "Go's quotes": page(FACTS + entry(etag="&#34;e&#34;")),
    "no declaration, no namespace": page(entry(), namespace="", declaration=""),
    "a line's end behind it": page(entry()) + b"\n",
}


@pytest.mark.parametrize("body", USUAL.values(), ids=USUAL)
def test_what_servers_write_is_scanned(body: bytes) -> None:
    assert scan_list(body) is not None
    check(body)


UNUSUAL = {
    "an entity in a key": page(entry("a&amp;b")),
    "an entity beside an etag": page(entry("&quot;", etag="e")),
    "CDATA": page(entry("<![CDATA[k]]>")),
    "the end of CDATA": page(entry("]]>")),
    "a comment": page("<!-- <Contents> -->" + entry()),
    "an instruction": page("<?a?>" + entry()),
    "a prefix of names": page(f"<s3:Name>b</s3:Name>{entry()}", namespace=' xmlns:s3="http://s3/"'),
    "an attribute": page(entry().replace("<Key>", '<Key a="b">')),
    "another order": page(
        "<Contents><Size>5</Size><Key>k</Key><LastModified>2014-01-02T03:04:05Z</LastModified></Contents>"),
    "white space between elements": page(f"\n  {entry()}\n"),
    "white space in a tag": page(entry().replace("</Key>", "</Key >")),
    "a restored copy": page(entry(more="<RestoreStatus><RestoreExpiryDate/></RestoreStatus>")),
    "an etag without quotes": page(entry(etag="e")),
    "a key that is not encoded": page(entry("ä")),
    "a facts' name for entries": page("<Contents/>"),
    "facts between entries": page(entry() + FACTS + entry()),
    "an element twice": page(entry(more="<Size>1</Size>")),
    "a directory with two names": page("<CommonPrefixes><Prefix>a/</Prefix><Prefix>b/</Prefix></CommonPrefixes>"),
    "a DOCTYPE": page(entry("&k;"), declaration='<!DOCTYPE a [<!ENTITY k "v">]>'),
    "another character set": page(entry(), declaration='<?xml version="1.0" encoding="latin-1"?>'),
    "a control character": page(entry("\x01")),
    "cut off": page(entry())[:-20],
    "an entry without its end": page(entry()[:-5]),
    "something behind the end": page(entry()) + b"<a/>",
    "nothing": b"",
}  # fmt: skip


@pytest.mark.parametrize("body", UNUSUAL.values(), ids=UNUSUAL)
def test_what_servers_might_write_is_left_to_the_parser(body: bytes) -> None:
    assert scan_list(body) is None
    check(body)


WRONG = {
    "a size that is none": page(entry(size="-1")),
    "a size beyond S3's": page(entry(size="1" + 14 * "0")),
    "a time that is none": page(entry().replace("2014-01-02", "yesterday")),
    "more to come, and not where": page("<IsTruncated>true</IsTruncated>"),
}


@pytest.mark.parametrize("body", WRONG.values(), ids=WRONG)
def test_what_is_well_formed_and_wrong_is_refused_in_the_same_words(body: bytes) -> None:
    with pytest.raises(BadResponse):
        parse_list(body, NOW)
    check(body)


PIECES = st.one_of(
    st.builds(
        lambda key, size, more: entry(key, size=size, more=more),
        TEXT.map(escape) | TEXT,
        st.sampled_from(("0", "5", "99999999999999", "", "x")),
        st.sampled_from(("", CHECKSUM, "<Owner><ID>i</ID></Owner>", "<!-- c -->", "\n")),
    ),
    st.sampled_from((FACTS, PREFIX, CHECKSUM, "<Contents>", "</Contents>", "</ListBucketResult>", "<![CDATA[", "]]>")),
    st.builds(lambda name, text: f"<{name}>{text}</{name}>", NAMES, TEXT.map(escape)),
    TEXT,
)


@given(st.lists(PIECES, max_size=6).map("".join), st.sampled_from(("", S3S, ' xmlns="a"')))
def test_documents_of_any_pieces_are_read_alike(inner: str, namespace: str) -> None:
    check(page(inner, namespace=namespace))


@given(
    st.sampled_from(list(USUAL.values())),
    st.integers(0, 700),
    st.integers(0, 12),
    st.sampled_from([b"<", b">", b"&", b'"', b"/", b" ", b"\n", b"\xc3\xa4", b"\xff", b"<Key>", b"&quot;", b""]),
)
def test_a_document_that_was_damaged_is_read_alike(body: bytes, at: int, cut: int, instead: bytes) -> None:
    check(body[:at] + instead + body[at + cut :])
