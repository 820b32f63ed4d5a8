"""Directories that are listed because programs make files in them, so that names need not be asked for one by one.

Part of writing.py, which tells of each file whose name S3 had to be asked for before it could be made: a round trip of
two requests, half of what a small file costs. After the second such file a directory is listed once, and as long as
that is believed (`negative-metadata-ttl`) a name that was not in it can be made at once. With `minimal`, where it is
never believed that something is missing, nothing is listed.

A listing has at most as many pages as there were files whose names were asked for, so it costs fewer requests than they
did; what has more names is tried again when there were twice as many.
"""

import collections
import logging
from dataclasses import dataclass
from typing import Final

import trio

from engine.errors import EngineError
from engine.namespace.inode import Inode
from engine.namespace.inodes import InodeTable
from engine.namespace.names import name_in
from engine.s3.interface import ObjectClient

logger = logging.getLogger(__name__)

# Files whose names were asked for, before their directory is listed: one alone is no habit.
FILES_MIN: Final = 2

# Directories in which files are counted.
DIRECTORIES_MAX: Final = 64


@dataclass(slots=True)
class _Made:
    """Files that were made in one directory, whose names were asked for, and how many are enough for a listing."""

    files: int = 0
    enough: int = FILES_MIN


class NamesAhead:
    """What is listed ahead in one mount.

    Args:
        client: S3.
        table: the inodes, with what is believed to be missing.
        seconds: how long that is.
        nursery: where LISTs run; None: nothing is listed.
    """

    def __init__(self, client: ObjectClient, table: InodeTable, seconds: float, nursery: trio.Nursery | None) -> None:
        self._client: Final = client
        self._table: Final = table
        self._whole: Final = table.missing.whole
        self._seconds: Final = seconds
        self._nursery: Final = nursery
        self._made: Final[collections.OrderedDict[str, _Made]] = collections.OrderedDict()  # by prefix

    def made(self, directory: Inode) -> None:
        """A file was made in a directory after S3 was asked for its name."""
        if self._nursery is None or not self._seconds:
            return
        prefix = directory.prefix
        made = self._made.setdefault(prefix, _Made())
        self._made.move_to_end(prefix)
        while len(self._made) > DIRECTORIES_MAX:
            self._made.popitem(last=False)
        made.files += 1
        if made.files >= made.enough:
            made.enough = 2 * made.files
            self._whole.begin(prefix, self._table.pending_below(prefix))
            self._nursery.start_soon(self._list, prefix, made)

    async def _list(self, prefix: str, made: _Made) -> None:
        until = trio.current_time() + self._seconds
        try:
            if await self._reach_end(prefix, made.files):
                made.enough = made.files + FILES_MIN  # to be counted when it is not believed any more
                self._whole.end(prefix, until)
                return
        except EngineError as error:
            logger.debug("%r is not listed ahead: %s", prefix, error)
        self._whole.drop(prefix)

    async def _reach_end(self, prefix: str, pages: int) -> bool:
        token: str | None = None
        for _ in range(pages):
            page = await self._client.list_objects(prefix, token=token)
            keys = [info.key for info in page.objects] + page.prefixes
            if not self._whole.add(prefix, [name_in(prefix, key) for key in keys]):
                return False
            if (token := page.next_token) is None:
                return True
        return False
