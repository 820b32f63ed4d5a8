"""HTTP/1.1 as far as S3 needs it: heads are understood, nonsense is refused, chunks are put together."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.s3.http1 import CHUNK_LINE_BYTES_MAX, Chunks, parse_head


def test_a_head_tells_status_headers_and_the_bodys_length() -> None:
    head = parse_head('HTTP/1.1 206 Partial Content\r\nETag:"e"\r\nContent-Length:  12 \r\nX-Empty:', "GET")
    assert (head.status, head.length, head.keep_alive, head.chunked) == (206, 12, True, False)
    assert head.headers == {"etag": '"e"', "content-length": "12", "x-empty": ""}


@pytest.mark.parametrize(
    ("text", "method", "length", "keep_alive"),
    [
        ("HTTP/1.1 200 OK\r\nContent-Length: 5", "HEAD", 0, True),
        ("HTTP/1.1 204 No Content", "GET", 0, True),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close", "GET", 5, False),
        ("HTTP/1.0 200 OK\r\nContent-Length: 5", "GET", 5, False),
        ("HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: Keep-Alive", "GET", 5, True),
        ("HTTP/1.1 200 OK", "GET", None, False),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked", "GET", None, True),
    ],
)
def test_whether_a_connection_is_kept_follows_from_the_head(
    text: str, method: str, length: int | None, keep_alive: bool
) -> None:
    head = parse_head(text, method)
    assert (head.length, head.keep_alive) == (length, keep_alive)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "SSH-2.0-x",
        "HTTP/2 200",
        "HTTP/1.1 OK",
        "HTTP/1.1 200 OK\r\nno colon",
        "HTTP/1.1 200 OK\r\nContent-Length: -1",
    ],
)
def test_a_head_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_head(text, "GET")


@given(pieces=st.lists(st.binary(min_size=1, max_size=40)), cut=st.integers(1, 50), rest=st.binary(max_size=5))
def test_chunks_give_the_body_however_they_are_cut(pieces: list[bytes], cut: int, rest: bytes) -> None:
    sent = b"".join(b"%X\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    chunks = Chunks()
    for start in range(0, len(sent), cut):
        assert not chunks.done
        last = start + cut >= len(sent)
        chunks.feed(sent[start : start + cut] + (rest if last else b""))
    assert chunks.done
    assert (bytes(chunks.body), chunks.rest) == (b"".join(pieces), rest)


@pytest.mark.parametrize("sent", [b"zz\r\n", b"2\r\nabc\r\n", b"1" * (CHUNK_LINE_BYTES_MAX + 1), b"-5\r\nab"])
def test_what_is_not_chunks_is_refused(sent: bytes) -> None:
    with pytest.raises(ValueError):
        Chunks().feed(sent)
