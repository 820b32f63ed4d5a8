"""What nginx does not do itself in the bench's S3: lists, takes writes, answers about buckets.

`python -m bench.back_end FOLDER PORT`; each folder in FOLDER is a bucket. Behind bench/nginx.py only, which has written
a request's body to a file before it asks here, and tells the file's name: bytes never pass through this process. One
thread, and no HTTP library: a request takes some 50 us, so that small writes measure their client.
"""

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, quote, unquote
from xml.sax.saxutils import escape

from bench.bucket import Bucket, Part, body_of

# S3's own bound on entries of a page.
ENTRIES_MAX: Final = 1000

_REASONS: Final = {200: "OK", 204: "No Content", 404: "Not Found", 412: "Precondition Failed", 501: "Not Implemented"}

# Headers that tell the checksum of a body.
_CHECKSUM: Final = ("x-amz-checksum-crc", "x-amz-checksum-sha")

Answer = tuple[int, str, dict[str, str]]


class Request:
    """One request, without its body."""

    def __init__(self, head: str) -> None:
        line, *fields = head.split("\r\n")
        self.method, target, _ = line.split(" ")
        path, _, query = target.partition("?")
        self.bucket, _, self.key = unquote(path).lstrip("/").partition("/")
        self.query = {name: values[0] for name, values in parse_qs(query, keep_blank_values=True).items()}
        self.headers = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}

    def body(self) -> Part | None:
        """Where its body is; None: it has none."""
        if not (path := self.headers.get("x-body")):
            return None
        return body_of(Path(path), chunked="aws-chunked" in self.headers.get("content-encoding", ""))


class BackEnd:
    """All buckets of a folder."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._buckets = {folder.name: Bucket.of(folder) for folder in root.iterdir() if folder.is_dir()}

    def answer(self, request: Request) -> Answer:
        """Carry a request out."""
        if not request.bucket:
            for each in self._buckets.values() if "settle" in request.query else ():
                each.settle()
            return 200, "", {}
        known = self._buckets.get(request.bucket) or self._opened(request.bucket)
        if known is None:
            return _error(404, "NoSuchBucket")
        if not request.key:
            return _about(known, request)
        if request.method == "PUT":
            return _put(known, request)
        if request.method == "POST":
            return _post(known, request)
        if request.method == "DELETE":
            if upload := request.query.get("uploadId"):
                known.abort(upload)
            else:
                known.delete(request.key)
            return 204, "", {}
        return _error(501, "NotImplemented")

    def _opened(self, name: str) -> Bucket | None:
        if not (self._root / name).is_dir():
            return None
        return self._buckets.setdefault(name, Bucket.of(self._root / name))


def _error(status: int, code: str) -> Answer:
    return status, f"<Error><Code>{code}</Code><Message>{code}</Message></Error>", {}


def _about(known: Bucket, request: Request) -> Answer:
    """Requests without a key."""
    query = request.query
    if request.method == "HEAD":
        return 200, "", {}
    if "location" in query:
        return 200, "<LocationConstraint/>", {}
    if "uploads" in query:
        return 200, "<ListMultipartUploadsResult><IsTruncated>false</IsTruncated></ListMultipartUploadsResult>", {}
    if request.method != "GET":
        return _error(501, "NotImplemented")
    return 200, _listing(known, query), {}


def _listing(known: Bucket, query: dict[str, str]) -> str:
    after = query.get("continuation-token") or query.get("start-after") or query.get("marker") or ""
    limit = min(ENTRIES_MAX, int(query.get("max-keys", ENTRIES_MAX)))
    prefix, delimiter, url = query.get("prefix", ""), query.get("delimiter", ""), query.get("encoding-type") == "url"
    page = known.page(prefix, delimiter, after, limit, url=url)
    encode: Callable[[str], str] = quote if url else escape
    token = ""
    if page.after is not None:
        if "list-type" in query:
            token = f"<NextContinuationToken>{escape(page.after)}</NextContinuationToken>"
        else:
            token = f"<NextMarker>{encode(page.after)}</NextMarker>"
    return (
        '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<Prefix>{encode(prefix)}</Prefix><MaxKeys>{limit}</MaxKeys><KeyCount>{page.entries}</KeyCount>"
        + (f"<Delimiter>{encode(delimiter)}</Delimiter>" if delimiter else "")
        + ("<EncodingType>url</EncodingType>" if url else "")
        + f"<IsTruncated>{str(page.after is not None).lower()}</IsTruncated>{token}{page.xml}</ListBucketResult>"
    )


def _put(known: Bucket, request: Request) -> Answer:
    query, headers = request.query, request.headers
    if "renameObject" in query:
        return _error(501, "NotImplemented")
    if source := headers.get("x-amz-copy-source"):
        try:
            entry = known.copy(unquote(source).lstrip("/").partition("/")[2], request.key)
        except KeyError:
            return _error(404, "NoSuchKey")
        return 200, f"<CopyObjectResult><ETag>{escape(entry.etag)}</ETag></CopyObjectResult>", {}
    body = request.body()
    if "partNumber" in query:
        parts = known.uploads.get(query["uploadId"])
        if parts is None or body is None:
            return _error(404, "NoSuchUpload")
        number = int(query["partNumber"])
        parts[number] = body
        return 200, "", {"ETag": f'"{query["uploadId"]}-{number}"', **_checksums(request)}
    if refused := _refused(known, request):
        if body is not None:
            body.path.unlink()
        return refused
    return 200, "", {"ETag": known.put(request.key, body).etag, **_checksums(request)}


def _checksums(request: Request) -> dict[str, str]:
    """As S3 answers, which has compared them; nobody does here."""
    return {name: value for name, value in request.headers.items() if name.startswith(_CHECKSUM)}


def _refused(known: Bucket, request: Request) -> Answer | None:
    """What is wrong with a write's conditions."""
    there = known.entries.get(request.key)
    if request.headers.get("if-none-match") == "*" and there is not None:
        return _error(412, "PreconditionFailed")
    wanted = request.headers.get("if-match")
    if wanted is not None and (there is None or there.etag != wanted):
        return _error(412, "PreconditionFailed")
    return None


def _post(known: Bucket, request: Request) -> Answer:
    if (body := request.body()) is not None:
        body.path.unlink()  # which parts: all that came
    key = f"<Bucket>{request.bucket}</Bucket><Key>{escape(request.key)}</Key>"
    if "uploads" in request.query:
        told = f"{key}<UploadId>{known.begin()}</UploadId>"
        return 200, f"<InitiateMultipartUploadResult>{told}</InitiateMultipartUploadResult>", {}
    if refused := _refused(known, request):
        return refused
    try:
        entry = known.complete(request.key, request.query["uploadId"])
    except KeyError:
        return _error(404, "NoSuchUpload")
    told = f"{key}<ETag>{escape(entry.etag)}</ETag>"
    return 200, f"<CompleteMultipartUploadResult>{told}</CompleteMultipartUploadResult>", {}


class Connection(asyncio.Protocol):
    """One of nginx's, which asks one thing at a time."""

    def __init__(self, back_end: BackEnd) -> None:
        self._back_end = back_end
        self._received = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._received.endswith(b"\r\n\r\n"):
            return
        request, self._received = Request(self._received[:-4].decode("latin-1")), b""
        status, text, headers = self._back_end.answer(request)
        body = text.encode()
        told = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        length = "" if status == 204 else f"Content-Length: {len(body)}\r\n"
        self._transport.write(
            f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: application/xml\r\n"
            f"x-amz-request-id: 1\r\n{length}{told}\r\n".encode()
            + (b"" if request.method == "HEAD" else body)
        )


async def serve(root: Path, port: int) -> None:
    """Until cancelled."""
    back_end = BackEnd(root)
    server = await asyncio.get_running_loop().create_server(lambda: Connection(back_end), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), int(sys.argv[2])))
