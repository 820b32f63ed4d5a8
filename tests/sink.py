"""An S3 that takes everything and keeps sizes only, for tests that write or read gigabytes: objects are made of zeros.

`SinkServer` is the fixture's side, `python -m tests.sink` the server. It is quick, so that the engine is what is
measured, and knows what one mount without a prefix asks for; signatures, checksums and conditions are not looked at.
"""

import hashlib
import itertools
import socketserver
import sys
import threading
from http.server import BaseHTTPRequestHandler
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

from tests.servers import S3Server

_PIECE_BYTES: Final = 1 << 20
_MODIFIED: Final = "Sun, 22 Nov 2026 21:37:12 GMT"
_LISTED: Final = "2026-11-22T21:37:12.000Z"


class SinkServer(S3Server):
    """The server, in a process of its own.

    Args:
        directories: that each bucket has besides what was put: `d00000` and so on; they can be listed only.
        files: in each of them.
    """

    name = "sink"

    def __init__(self, directories: int = 0, files: int = 0) -> None:
        super().__init__()
        self._shape = directories, files

    def command(self) -> list[str]:
        return [sys.executable, "-m", "tests.sink", *map(str, self._shape)]


class _Kept:
    """What is kept: sizes of objects and of parts."""

    def __init__(self) -> None:
        self.sizes: dict[str, int] = {}
        self.parts: dict[str, dict[int, int]] = {}
        self.numbers = itertools.count(1)
        self.lock = threading.Lock()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # An answer is one packet: two would wait for each other (Nagle and delayed acknowledgements), 40 ms each time.
    wbufsize = 1 << 16
    disable_nagle_algorithm = True
    kept = _Kept()
    directories = files = 0

    def setup(self) -> None:
        super().setup()
        self._buffer = memoryview(bytearray(_PIECE_BYTES))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
        """Say nothing."""

    def do_HEAD(self) -> None:
        key = self._key()
        if not key:
            self._answer(200)
        elif key in self.kept.sizes:
            self._object_head(200, key, self.kept.sizes[key])
        else:
            self._answer(404)

    def do_GET(self) -> None:
        key = self._key()
        if not key:
            self._list()
            return
        first, _, last = self.headers["Range"].removeprefix("bytes=").partition("-")
        left = int(last) - int(first) + 1
        size = self.kept.sizes[key]
        self._object_head(206, key, left, f"bytes {first}-{last}/{size}")
        zeros = bytes(min(left, _PIECE_BYTES))
        while left:
            self.wfile.write(zeros[:left])
            left -= min(left, _PIECE_BYTES)

    def do_PUT(self) -> None:
        size = self._take()
        asked = self._asked()
        with self.kept.lock:
            if "uploadId" in asked:
                self.kept.parts[asked["uploadId"]][int(asked["partNumber"])] = size
            elif key := self._key():
                self.kept.sizes[key] = size
        self._answer(200, ETag='"part"' if "uploadId" in asked else f'"{size}"')

    def do_POST(self) -> None:
        self._take()
        key, asked = self._key(), self._asked()
        with self.kept.lock:
            if "uploads" in asked:
                upload = f"upload-{next(self.kept.numbers)}"
                self.kept.parts[upload] = {}
                said = f"<InitiateMultipartUploadResult><UploadId>{upload}</UploadId></InitiateMultipartUploadResult>"
            else:
                size = self.kept.sizes[key] = sum(self.kept.parts.pop(asked["uploadId"]).values())
                etag = f"<ETag>&quot;{size}&quot;</ETag>"
                said = f"<CompleteMultipartUploadResult>{etag}</CompleteMultipartUploadResult>"
        self._answer(200, said)

    def do_DELETE(self) -> None:
        with self.kept.lock:
            self.kept.sizes.pop(self._key(), None)
        self._answer(204)

    def _list(self) -> None:
        prefix = self._asked().get("prefix", "")
        if prefix.startswith("d") and prefix.count("/") == 1 and int(prefix[1:-1]) < self.directories:
            self._list_rule(prefix)
            return
        bucket = urlsplit(self.path).path.strip("/") + "/"
        directories = [
            f"<CommonPrefixes><Prefix>d{number:05}/</Prefix></CommonPrefixes>"
            for number in range(0 if prefix else self.directories)
        ]
        prefix = bucket + prefix
        with self.kept.lock:
            found = sorted(
                (key.removeprefix(bucket), size) for key, size in self.kept.sizes.items() if key.startswith(prefix)
            )
        objects = [
            f"<Contents><Key>{key}</Key><LastModified>{_LISTED}</LastModified><ETag>&quot;{size}&quot;</ETag>"
            f"<Size>{size}</Size></Contents>"
            for key, size in found
        ]
        self._answer(200, f"<ListBucketResult>{''.join(objects + directories)}</ListBucketResult>")

    def _list_rule(self, prefix: str) -> None:
        asked = self._asked()
        start = int(asked.get("continuation-token", "0"))
        end = min(start + int(asked.get("max-keys", "1000")), self.files)
        objects = []
        for number in range(start, end):
            key = f"{prefix}f{number:06}-with-a-longer-name.bin"
            etag = hashlib.md5(key.encode(), usedforsecurity=False).hexdigest()
            objects.append(
                f"<Contents><Key>{key}</Key><LastModified>{_LISTED}</LastModified><ETag>&quot;{etag}&quot;</ETag>"
                f"<Size>{1000 + number}</Size></Contents>"
            )
        more = end < self.files
        next_ = f"<NextContinuationToken>{end}</NextContinuationToken>" if more else ""
        head = f"<IsTruncated>{str(more).lower()}</IsTruncated>{next_}"
        self._answer(200, f"<ListBucketResult>{head}{''.join(objects)}</ListBucketResult>")

    def _key(self) -> str:
        """The bucket, a slash and the key; empty if no object is meant."""
        path = unquote(urlsplit(self.path).path).lstrip("/")
        return path if path.partition("/")[2] else ""

    def _asked(self) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(urlsplit(self.path).query, keep_blank_values=True).items()}

    def _take(self) -> int:
        size = left = int(self.headers.get("Content-Length", "0"))
        while left:
            left -= self.rfile.readinto(self._buffer[:left])
        return size

    def _object_head(self, status: int, key: str, length: int, content_range: str | None = None) -> None:
        self.send_response(status)
        self.send_header("ETag", f'"{self.kept.sizes[key]}"')
        self.send_header("Last-Modified", _MODIFIED)
        self.send_header("Content-Length", str(length))
        if content_range is not None:
            self.send_header("Content-Range", content_range)
        self.end_headers()

    def _answer(self, status: int, body: str = "", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 256


if __name__ == "__main__":
    _Handler.directories, _Handler.files = map(int, sys.argv[1:])
    with _Server(("127.0.0.1", 0), _Handler) as server:
        print(f"http://127.0.0.1:{server.server_address[1]}", file=sys.stderr, flush=True)
        server.serve_forever()
