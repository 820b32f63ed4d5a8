"""Names for messages: what a request was about, as far as it is known. Used by engine/fuse when one fails."""

from typing import Final

from engine.fs.directories import Directories
from engine.fs.handles import Handles
from engine.fs.opening import OpenFile, OpenWriter
from engine.namespace.inodes import InodeTable


class Describe:
    """Says what numbers of the kernel's stand for; asks nobody and never fails."""

    def __init__(
        self,
        bucket: str,
        table: InodeTable,
        files: Handles[OpenFile],
        writers: Handles[OpenWriter],
        directories: Directories,
    ) -> None:
        self._bucket: Final = f"s3://{bucket}/"
        self._table: Final = table
        self._files: Final = files
        self._writers: Final = writers
        self._directories: Final = directories

    def inode(self, number: int) -> str:
        """An inode: its key."""
        inode = self._table.find(number)
        return f"inode {number}" if inode is None else f"{self._bucket}{inode.key}"

    def child(self, parent: int, name: bytes) -> str:
        """A name in a directory."""
        return self.inode(parent) + name.decode(errors="backslashreplace")

    def key(self, told: str) -> str:
        """The key in what one of the others has told; empty if that is none."""
        return told.removeprefix(self._bucket) if told.startswith(self._bucket) else ""

    def handle(self, handle: int) -> str:
        """An open file or directory."""
        if file := self._files.find(handle):
            return f"{self._bucket}{file.info.key}"
        if writer := self._writers.find(handle):
            return f"{self._bucket}{writer.upload.key}"
        if directory := self._directories.find(handle):
            return f"{self._bucket}{directory.key}"
        return f"handle {handle}"
