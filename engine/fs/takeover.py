"""What a successor makes of the names and open files that its engine before left, and what it leaves of open files.

Used by filesystem.py and writing.py. What the engine had not sent is gone with it, so a handle that was writing fails
at its next use and its file is given up; one whose object is in S3 already has lost nothing. Sends nothing.
"""

import logging
from collections.abc import Iterator
from typing import Final

from engine.facts import about
from engine.fs.handles import Handles
from engine.fs.inherited import Inherited, InheritedFile, InheritedWriter
from engine.fs.ledger import Ledger
from engine.fs.opening import ObjectOpener, OpenFile, OpenWriter
from engine.message_ids import UPLOAD_LOST
from engine.namespace.inode import Inode
from engine.namespace.inodes import InodeTable
from engine.write.uploader import Uploader

logger = logging.getLogger(__name__)

# In one line of the log, which is no place for thousands.
_KEYS_TOLD_MAX: Final = 10


def inherit_names(inherited: Inherited, table: InodeTable) -> None:
    """Know the inodes that the kernel has from an engine before."""
    table.inherit(inherited.inodes, pending=inherited.pending, removed=inherited.gone)
    for file in inherited.files.values():
        if (inode := table.find(file.number)) is not None:
            inode.handles += 1  # so it must not be forgotten before the kernel does
    table.make_room()


def inherited_files(inherited: Inherited, table: InodeTable, opener: ObjectOpener) -> Iterator[tuple[int, OpenFile]]:
    """Files that are open for reading, by handle; to be called after `inherit_names`.

    The kernel may never have heard of one that was opened when the engine died, so until it is read from it excludes
    nobody from writing the file, as if a descriptor of it had been closed.
    """
    for handle, was in inherited.files.items():
        data = opener.open(was.info.key, was.info.etag, was.info.size)
        file = OpenFile(was.info, was.direct, data, table.find(was.number), begun=True)
        file.sharer.handle = handle
        if not was.active:
            file.sharer.closed_once()
        yield handle, file


def leave_files(handles: Handles[OpenFile], ledger: Ledger) -> None:
    """Tell a successor which files are open for sure: to be called when no request is being answered any more."""
    for handle, file in handles:
        if file.sharer.is_active:
            ledger.reading(handle)
    ledger.flush()


def left_files(handles: Handles[OpenFile]) -> dict[int, InheritedFile]:
    """What is open for reading, for a successor; not what was overridden: its inode may be another version by now."""
    return {
        handle: InheritedFile(0 if file.inode is None else file.inode.number, file.info, file.direct)
        for handle, file in handles
        if not file.sharer.is_overridden
    }


def take_up(
    writers: dict[int, InheritedWriter], *, handles: Handles[OpenWriter], table: InodeTable, uploader: Uploader
) -> None:
    """Know these handles as what they are now, and tell the log once what is lost."""
    for handle, was in writers.items():
        publishing = None if was.failed else was.publishing
        upload = uploader.inherit(was.key, uploaded=was.uploaded, publishing=publishing)
        inode = table.find(was.number) or Inode(was.number, was.key, None, float("-inf"))
        writer = OpenWriter(inode, upload, was.process)
        inode.handles += 1
        writer.handle, writer.told = handle, upload.error is not None
        handles.inherit(handle, writer)
    if lost := [was.key for was in writers.values() if was.lost]:
        text = "the engine before died while it wrote files, which are not uploaded: %s"
        logger.error(text, _listed(lost), extra=about(UPLOAD_LOST, key=lost[0] if len(lost) == 1 else ""))


def left(handles: Handles[OpenWriter]) -> dict[int, InheritedWriter]:
    """What is open for writing, for a successor."""
    return {
        handle: InheritedWriter(
            writer.inode.number,
            writer.upload.key,
            writer.process,
            publishing=writer.upload.publishing,
            uploaded=writer.upload.uploaded,
            failed=writer.upload.error is not None,
        )
        for handle, writer in handles
    }


def _listed(keys: list[str]) -> str:
    more = f" and {len(keys) - _KEYS_TOLD_MAX} more" if len(keys) > _KEYS_TOLD_MAX else ""
    return ", ".join(map(repr, keys[:_KEYS_TOLD_MAX])) + more
