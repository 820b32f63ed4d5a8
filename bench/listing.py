"""The lister behind bench/fast_s3.py: ListObjects (both versions), HeadBucket and PutObject over a folder of objects.

`python -m bench.listing FOLDER PORT`; each folder in FOLDER is a bucket, read once, at its first listing.
"""

import functools
import os
import sys
import threading
import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar, NamedTuple
from urllib.parse import parse_qs, quote, unquote, urlsplit
from xml.sax.saxutils import escape

# S3's own bound on entries of a page.
ENTRIES_MAX = 1000

_changing = threading.Lock()


class Entry(NamedTuple):
    """One object."""

    key: str
    size: int
    modified: int

    @property
    def etag(self) -> str:
        """nginx's, without its quotes."""
        return f"{self.modified:x}-{self.size:x}"

    def xml(self, encode: Callable[[str], str]) -> str:
        when = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(self.modified))
        return (
            f"<Contents><Key>{encode(self.key)}</Key><LastModified>{when}</LastModified>"
            f"<ETag>&quot;{self.etag}&quot;</ETag><Size>{self.size}</Size>"
            "<StorageClass>STANDARD</StorageClass></Contents>"
        )


class Page(NamedTuple):
    """One answer: entries, common prefixes, and the last name if more follow."""

    entries: list[Entry]
    prefixes: list[str]
    after: str | None


@functools.cache
def bucket(folder: Path) -> tuple[list[str], list[Entry]]:
    """Keys in order, and what is known of each."""
    entries = sorted(
        _entry(folder, str(Path(directory, name).relative_to(folder)))
        for directory, _, names in os.walk(folder)
        for name in names
    )
    return [entry.key for entry in entries], entries


def put(folder: Path, key: str) -> Entry:
    """There is a new file in a bucket."""
    entry = _entry(folder, key)
    with _changing:
        keys, entries = bucket(folder)
        at = bisect_left(keys, key)
        there = at < len(keys) and keys[at] == key
        keys[at : at + there], entries[at : at + there] = [key], [entry]
    return entry


def _entry(folder: Path, key: str) -> Entry:
    stat = (folder / key).stat()
    return Entry(key, stat.st_size, int(stat.st_mtime))


def page(folder: Path, prefix: str, delimiter: str, after: str, limit: int) -> Page:
    """The entries of a bucket that start with `prefix`, beyond the name `after`, at most `limit`."""
    keys, entries = bucket(folder)
    found: list[Entry] = []
    prefixes: list[str] = []
    last = ""
    at = max(bisect_left(keys, prefix), bisect_right(keys, after) if after else 0)
    while at < len(keys) and keys[at].startswith(prefix):
        if len(found) + len(prefixes) >= limit:
            return Page(found, prefixes, last)
        cut = keys[at].find(delimiter, len(prefix)) if delimiter else -1
        if cut < 0:
            found.append(entries[at])
            last = keys[at]
            at += 1
        else:
            prefixes.append(keys[at][: cut + len(delimiter)])
            last = prefixes[-1] + "\U0010ffff"
            at = bisect_right(keys, last)
    return Page(found, prefixes, None)


class Handler(BaseHTTPRequestHandler):
    """Answers nginx, which keeps its connections open."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1
    root: ClassVar[Path]

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 the base class's name
        """Say nothing."""

    def do_HEAD(self) -> None:
        known = (self.root / unquote(urlsplit(self.path).path).strip("/")).is_dir()
        self._answer(200 if known else 404, "")

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        folder = self.root / unquote(url.path).strip("/")
        if not folder.is_dir():
            self._answer(404, "<Error><Code>NoSuchBucket</Code><Message>no such bucket</Message></Error>")
            return
        query = {name: values[0] for name, values in parse_qs(url.query, keep_blank_values=True).items()}
        if "location" in query:
            self._answer(200, "<LocationConstraint/>")
            return
        after = query.get("continuation-token") or query.get("start-after") or query.get("marker") or ""
        limit = min(ENTRIES_MAX, int(query.get("max-keys", ENTRIES_MAX)))
        self._answer(200, _xml(page(folder, query.get("prefix", ""), query.get("delimiter", ""), after, limit), query))

    def do_PUT(self) -> None:
        name, _, key = unquote(urlsplit(self.path).path).strip("/").partition("/")
        path = self.root / name / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.rfile.read(int(self.headers["Content-Length"])))
        self._answer(200, "", etag=f'"{put(self.root / name, key).etag}"')

    def _answer(self, status: int, text: str, *, etag: str = "") -> None:
        body = text.encode()
        self.send_response(status)
        if etag:
            self.send_header("ETag", etag)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("x-amz-request-id", "1")
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()


def _xml(answer: Page, query: dict[str, str]) -> str:
    encode = quote if query.get("encoding-type") == "url" else escape
    token = ""
    if answer.after is not None:
        name = "NextContinuationToken" if "list-type" in query else "NextMarker"
        token = f"<{name}>{escape(answer.after) if name != 'NextMarker' else encode(answer.after)}</{name}>"
    kind = "<EncodingType>url</EncodingType>" if encode is quote else ""
    count = len(answer.entries) + len(answer.prefixes)
    return (
        '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<Prefix>{encode(query.get('prefix', ''))}</Prefix><KeyCount>{count}</KeyCount>"
        f"<IsTruncated>{'true' if answer.after is not None else 'false'}</IsTruncated>{token}{kind}"
        + "".join(entry.xml(encode) for entry in answer.entries)
        + "".join(f"<CommonPrefixes><Prefix>{encode(prefix)}</Prefix></CommonPrefixes>" for prefix in answer.prefixes)
        + "</ListBucketResult>"
    )


class Server(ThreadingHTTPServer):
    """One thread a connection of nginx's."""

    daemon_threads = True


if __name__ == "__main__":
    Handler.root = Path(sys.argv[1])
    Server(("127.0.0.1", int(sys.argv[2])), Handler).serve_forever()
