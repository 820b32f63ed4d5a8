"""A bucket of any size that costs no memory: `d00000/f000000` and so on, answered by a rule.

Used by observed_engine.py to count requests and memory where a server, or a dictionary, of a million objects would be
all that is measured. Reading only: what else an engine may ask for fails.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, Final

import trio

from engine.errors import NoSuchKey
from engine.s3.interface import LIST_ENTRIES_MAX, ListPage, ObjectInfo
from engine.stats import EngineStats

MODIFIED: Final = 1_700_000_000.0
FILE_BYTES: Final = 4096


class SyntheticClient:
    """`directories` directories with `files` files in each."""

    def __init__(self, directories: int, files: int, *, stats: EngineStats) -> None:
        self._directories = directories
        self._files = files
        self._stats = stats

    def __getattr__(self, name: str) -> Any:
        raise NotImplementedError(f"a synthetic bucket has no {name}")

    async def head_object(self, key: str) -> ObjectInfo:
        """A file's metadata."""
        await self._asked("HeadObject")
        directory, _, name = key.partition("/")
        if self._number(directory, "d", 5, self._directories) is None:
            raise NoSuchKey("no such object", status=404, key=key)
        if self._number(name, "f", 6, self._files) is None:
            raise NoSuchKey("no such object", status=404, key=key)
        return _object(key)

    async def list_objects(
        self, prefix: str, *, delimiter: str = "/", token: str | None = None, max_keys: int = LIST_ENTRIES_MAX
    ) -> ListPage:
        """A page of the root or of a directory."""
        assert delimiter == "/"
        await self._asked("ListObjectsV2")
        start = int(token or 0)
        if prefix == "":
            end = min(start + max_keys, self._directories)
            prefixes = [f"d{number:05}/" for number in range(start, end)]
            return ListPage(prefixes=prefixes, next_token=str(end) if end < self._directories else None)
        if self._number(prefix.removesuffix("/"), "d", 5, self._directories) is None:
            return ListPage()
        end = min(start + max_keys, self._files)
        objects = [_object(f"{prefix}f{number:06}") for number in range(start, end)]
        return ListPage(objects, next_token=str(end) if end < self._files else None)

    async def get_object(
        self,
        key: str,
        *,
        offset: int,
        buffers: Sequence[memoryview],
        if_match: str,
        progress: Callable[[int], None],
    ) -> None:
        """Bytes of a file: its key, again and again."""
        await self._asked("GetObject")
        assert if_match == _object(key).etag
        done = 0
        for buffer in buffers:
            buffer[:] = content(key, offset + done, len(buffer))
            done += len(buffer)
        progress(done)

    async def aclose(self) -> None:
        """Nothing is open."""

    async def _asked(self, operation: str) -> None:
        self._stats.s3_requests[operation] += 1
        await trio.lowlevel.checkpoint()

    @staticmethod
    def _number(name: str, letter: str, digits: int, count: int) -> int | None:
        """The number in a name like `d00012`, None if there is no such name."""
        if len(name) == 1 + digits and name[0] == letter and name[1:].isdigit() and int(name[1:]) < count:
            return int(name[1:])
        return None


def content(key: str, offset: int, size: int) -> bytes:
    """These bytes of a file."""
    name = key.encode()
    start = offset % len(name)
    return (name * ((start + size) // len(name) + 1))[start : start + size]


def _object(key: str) -> ObjectInfo:
    # None like another, as in real buckets: what is measured is the memory that they take.
    digest = hashlib.md5(key.encode(), usedforsecurity=False).hexdigest()
    number = int(digest[:6], 16)
    return ObjectInfo(key, FILE_BYTES + number, f'"{digest}"', MODIFIED + number)
