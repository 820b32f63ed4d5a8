"""A bucket of the bench's S3: a folder of objects with their keys in order. Used by bench/back_end.py.

Nothing here speaks HTTP. ETags are nginx's own, which serves the same folder: modification time and size in hex, so
that If-Match holds everywhere. Bodies come as files that nginx has written, and are moved, not copied, wherever the
request's framing allows it: what a write costs should be the client's.
"""

import functools
import os
import time
import uuid
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote
from xml.sax.saxutils import escape

# The largest line between the chunks of an aws-chunked body: a size, and a signature of 64 hex digits with its name.
CHUNK_LINE_BYTES_MAX = 128


class Entry(NamedTuple):
    """One object, with its element of a listing."""

    size: int
    modified: int
    xml: str

    @property
    def etag(self) -> str:
        """As nginx makes it."""
        return f'"{self.modified:x}-{self.size:x}"'


class Page(NamedTuple):
    """One answer of a listing: its elements, how many, and the name that the next one goes on after."""

    xml: str
    entries: int
    after: str | None


class Part(NamedTuple):
    """A part of an upload: where in a file its bytes are."""

    path: Path
    start: int
    size: int


@functools.lru_cache
def _when(modified: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(modified))


def _element(key: str, size: int, modified: int, encode: Callable[[str], str]) -> str:
    return (
        f"<Contents><Key>{encode(key)}</Key><LastModified>{_when(modified)}</LastModified>"
        f"<ETag>&quot;{modified:x}-{size:x}&quot;</ETag><Size>{size}</Size>"
        "<StorageClass>STANDARD</StorageClass></Contents>"
    )


@dataclass
class Bucket:
    """The objects of a folder, as they are when it is first asked for and as they are changed here afterwards."""

    folder: Path
    entries: dict[str, Entry] = field(default_factory=dict)
    keys: list[str] = field(default_factory=list)
    uploads: dict[str, dict[int, Part]] = field(default_factory=dict)
    unjoined: dict[str, list[Part]] = field(default_factory=dict)  # what `settle` has to do

    @classmethod
    def of(cls, folder: Path) -> "Bucket":
        """Read a folder."""
        bucket = cls(folder)
        beginning = len(str(folder)) + 1
        for directory, _, names in os.walk(folder):
            for name in names:
                path = f"{directory}/{name}"
                bucket.entries[path[beginning:]] = _entry(path, path[beginning:])
        bucket.keys = sorted(bucket.entries)
        return bucket

    def page(self, prefix: str, delimiter: str, after: str, limit: int, *, url: bool) -> Page:
        """The entries that start with `prefix`, beyond the name `after`, at most `limit`; keys URL-encoded or not."""
        encode = quote if url else escape
        elements: list[str] = []
        at = max(bisect_left(self.keys, prefix), bisect_right(self.keys, after) if after else 0)
        last = ""
        while limit and at < len(self.keys) and self.keys[at].startswith(prefix):
            if len(elements) >= limit:
                return Page("".join(elements), len(elements), last)
            key = self.keys[at]
            cut = key.find(delimiter, len(prefix)) if delimiter else -1
            if cut < 0:
                entry = self.entries[key]
                plain = not url or quote(key) == key
                elements.append(entry.xml if plain else _element(key, entry.size, entry.modified, encode))
                last = key
                at += 1
            else:
                common = key[: cut + len(delimiter)]
                elements.append(f"<CommonPrefixes><Prefix>{encode(common)}</Prefix></CommonPrefixes>")
                last = common + "\U0010ffff"
                at = bisect_right(self.keys, last)
        return Page("".join(elements), len(elements), None)

    def put(self, key: str, body: Part | None) -> Entry:
        """Make an object of a body, None: an empty one. The body's file is gone afterwards."""
        path = self._place(key)
        if body is None:
            fresh = path.with_name(f".{uuid.uuid4().hex}")
            fresh.touch()
            body = Part(fresh, 0, 0)
        if body.start or body.path.stat().st_size != body.size:
            _join(body.path, [body])
        body.path.replace(path)
        return self._known(key, path)

    def copy(self, source: str, key: str) -> Entry:
        """Make an object that has the bytes of another, or rename its time if they are one. Raises KeyError."""
        if source not in self.entries:
            raise KeyError(source)
        path = self._place(key)
        if source == key:
            os.utime(path)
        else:
            path.unlink(missing_ok=True)
            path.hardlink_to(self.folder / source)
        return self._known(key, path)

    def delete(self, key: str) -> None:
        """No object of this key is there afterwards."""
        for part in self.unjoined.pop(key, []):
            part.path.unlink()
        if self.entries.pop(key, None) is not None:
            del self.keys[bisect_left(self.keys, key)]
            (self.folder / key).unlink()

    def begin(self) -> str:
        """A new upload's name."""
        name = uuid.uuid4().hex
        self.uploads[name] = {}
        return name

    def complete(self, key: str, upload: str) -> Entry:
        """Make an object of an upload's parts: its name, size and ETag are there, its bytes after `settle`.

        To put parts together takes as long as copying them, half as long as a fast client takes to send them. S3 does
        not do it while its client waits, nor on its client's processors. Raises KeyError.
        """
        parts = self.uploads.pop(upload)
        path = self._place(key)
        hollow = path.with_name(f".{upload}")
        with hollow.open("wb") as file:
            file.truncate(sum(part.size for part in parts.values()))
        hollow.replace(path)
        self.unjoined[key] = [parts[number] for number in sorted(parts)]
        return self._known(key, path)

    def settle(self) -> None:
        """Give completed objects their bytes."""
        while self.unjoined:
            key, parts = self.unjoined.popitem()
            joined = _join(parts[0].path, parts).path
            modified = self.entries[key].modified
            os.utime(joined, (modified, modified))
            joined.replace(self.folder / key)

    def abort(self, upload: str) -> None:
        """Give up an upload."""
        for part in self.uploads.pop(upload, {}).values():
            part.path.unlink()

    def _place(self, key: str) -> Path:
        path = self.folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def _known(self, key: str, path: Path) -> Entry:
        if key not in self.entries:
            insort(self.keys, key)
        self.entries[key] = _entry(path, key)
        return self.entries[key]


def _entry(path: Path | str, key: str) -> Entry:
    stat = os.stat(path)
    modified = int(stat.st_mtime)
    return Entry(stat.st_size, modified, _element(key, stat.st_size, modified, escape))


def body_of(path: Path, *, chunked: bool) -> Part:
    """Where the payload is in a request's body, which is framed as aws-chunked or not at all.

    One chunk, as clients send that checksum a whole part, stays where it is; several are put together.
    """
    if not chunked:
        return Part(path, 0, path.stat().st_size)
    chunks: list[Part] = []
    with path.open("rb") as file:
        at = 0
        while True:
            line = os.pread(file.fileno(), CHUNK_LINE_BYTES_MAX, at).partition(b"\r\n")[0]
            if not (size := int(line.partition(b";")[0], 16)):
                break
            chunks.append(Part(path, at + len(line) + 2, size))
            at = chunks[-1].start + size + 2
    if len(chunks) == 1:
        return chunks[0]
    return _join(path, chunks)


def _join(first: Path, parts: list[Part]) -> Part:
    """Put parts together in one file, which replaces `first`; the other files are gone."""
    if parts and parts[0].path == first and not parts[0].start and first.stat().st_size == parts[0].size:
        target, rest = first, parts[1:]
    else:
        target, rest = first.with_name(f"{first.name}.joined"), parts
        target.touch()
    with target.open("r+b") as file:
        file.seek(0, os.SEEK_END)
        for part in rest:
            with part.path.open("rb") as source:
                _copy(source.fileno(), file.fileno(), part.start, part.size)
    for path in {part.path for part in rest} | {first}:
        if path != target:
            path.unlink()
    target.replace(first)
    return Part(first, 0, first.stat().st_size)


def _copy(source: int, target: int, start: int, size: int) -> None:
    """Within the kernel: the bytes do not pass through this process."""
    while size:
        copied = os.sendfile(target, source, start, size)
        start, size = start + copied, size - copied
