"""Files that are being written while one engine hands over to the next: how they leave the one, and come to the other.

Used by writing.py. What the journal says of such a file is that it is being written, so a successor that gets none of
this knows it as lost (takeover.py). Here it gets the upload itself: its state as JSON in one file descriptor, and the
memory that its bytes lie in, the arena of the engine before, as another.
"""

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from pydantic import TypeAdapter, ValidationError

from engine.arena import SLOT_BYTES, Arena, Slot
from engine.facts import about
from engine.fs.handles import Handles
from engine.fs.opening import OpenWriter
from engine.fs.sharing import Use
from engine.message_ids import UPLOAD_LOST
from engine.namespace.inode import Inode
from engine.namespace.inodes import InodeTable
from engine.write.bequest import UploadBequest
from engine.write.upload import Upload
from engine.write.uploader import Uploader

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class MovedWriter:
    """A handle that is open for writing: its inode, who opened it, what it is to others, and its upload."""

    number: int
    process: int
    use: Use
    told: bool
    times_ns: tuple[int, int] | None
    upload: UploadBequest


@dataclass(frozen=True, slots=True)
class Moved:
    """All that an engine has handed over, by handle, and the memory that it lies in."""

    writers: dict[int, MovedWriter] = field(default_factory=dict)
    slots: Mapping[int, Slot] = field(default_factory=dict)

    @property
    def numbers(self) -> set[int]:
        """Inodes whose files go on being written."""
        return {moved.number for moved in self.writers.values() if moved.upload.goes_on}

    @property
    def uploads(self) -> dict[str, str]:
        """Multipart uploads that go on: keys by upload id."""
        going = (moved.upload.state for moved in self.writers.values() if moved.upload.goes_on)
        return {state.upload_id: state.key for state in going if state.upload_id is not None}


_JSON: Final = TypeAdapter(dict[int, MovedWriter])


async def leave(handles: Handles[OpenWriter], uploader: Uploader) -> tuple[int, ...]:
    """Hand over what is open for writing; returns file descriptors for an Arrival, none if there is nothing.

    To be called when no request is being answered any more; nothing of it can be used afterwards.
    """
    moved: dict[int, MovedWriter] = {}
    for handle, writer in list(handles):
        if isinstance(writer.upload, Upload):
            bequest = await uploader.freeze(writer.upload)
            inode = writer.inode
            moved[handle] = MovedWriter(
                inode.number, writer.process, writer.sharer.use, writer.told, inode.times_ns, bequest
            )
    if not moved:
        return ()
    told = os.memfd_create("mountctl-writers", os.MFD_CLOEXEC)
    data = memoryview(_JSON.dump_json(moved))
    while data:
        data = data[os.write(told, data) :]
    return told, os.dup(uploader.arena.fd)


class Arrival:
    """What an engine before has handed over by `leave`; if that can't be read, it is as if it had died.

    Args:
        fds: the descriptors that `leave` returned; owned. Another engine may have taken it, and died: then it is marked
            so, and there is nothing.
    """

    def __init__(self, fds: tuple[int, ...]) -> None:
        self._fds: Final = fds
        self._writers: dict[int, MovedWriter] = {}
        if fds and (data := os.pread(fds[0], os.fstat(fds[0]).st_size, 0)):
            try:
                self._writers = _JSON.validate_json(data)
            except ValidationError as error:
                text = "what the engine before was writing can't be taken over: %s"
                logger.error(text, error, extra=about(UPLOAD_LOST))  # noqa: TRY400

    @property
    def bytes(self) -> int:
        """The memory that it takes."""
        return len(self._slots()) * SLOT_BYTES

    def unpack(self, arena: Arena) -> Moved:
        """All of it, its memory in this arena, which must have room for it. To be called once, before serving.

        From here on it is marked as taken: whoever came after us would go on with what is no longer so.
        """
        try:
            if self._fds:
                os.ftruncate(self._fds[0], 0)
            return Moved(self._writers, arena.inherit(self._fds[1], self._slots()) if self._writers else {})
        finally:
            for fd in self._fds:
                os.close(fd)

    def _slots(self) -> list[int]:
        return [index for each in self._writers.values() for part in each.upload.parts for index in part.slots]


def resume(
    moved: Moved,
    *,
    handles: Handles[OpenWriter],
    table: InodeTable,
    uploader: Uploader,
    opened: Callable[[OpenWriter], None],
) -> None:
    """Go on with it.

    Args:
        moved: what has arrived.
        handles: get the handles.
        table: has the inodes.
        uploader: goes on with the uploads.
        opened: told of each writer whose file goes on.
    """
    for handle, was in moved.writers.items():
        inode = table.find(was.number) or Inode(was.number, was.upload.state.key, None, float("-inf"))
        upload = uploader.resume(was.upload, moved.slots)
        writer = OpenWriter(inode, upload, was.process)
        writer.handle, writer.told = handle, was.told
        writer.sharer.use = was.use
        inode.handles += 1
        handles.inherit(handle, writer)
        if was.upload.goes_on:
            inode.times_ns = was.times_ns
            table.hold(inode)
            opened(writer)
