"""What a supervisor after this one must know of a session, in a memfd that is kept beside it. Called by session.py."""

import json
import os
import struct
import zlib
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from engine.spec import MountSpec

_FRAME: Final = struct.Struct("<II")  # bytes of JSON, their CRC-32
# A spec and a few numbers.
_RECORD_BYTES_MAX: Final = 64 * 1024


class SessionRecord(BaseModel):
    """A session that is attached, in words."""

    model_config = ConfigDict(frozen=True)

    spec: MountSpec
    init_request: str  # hex
    minor: int
    mount_id: int
    generation: int
    made_directory: bool
    # Added later, so each has a default: a supervisor before may not have written it.
    region: str = ""  # where an engine found the bucket, if not where its access says
    transient: bool = False  # no file declares the mount
    uid: int | None = None  # what its engine runs as
    token: str = ""  # by which its uploads are written down
    place: str = ""  # the mountpoint as the kernel has it: links are followed
    namespace: int = 0  # of mounts, in which it has that mount_id


def create() -> int:
    """A memfd without a record."""
    return os.memfd_create("mountctl-session", os.MFD_CLOEXEC)


def write(fd: int, record: SessionRecord) -> None:
    """Replace the record, by one write."""
    data = record.model_dump_json(by_alias=True).encode()
    os.pwrite(fd, _FRAME.pack(len(data), zlib.crc32(data)) + data, 0)


def read(fd: int) -> SessionRecord | None:
    """The record; None if there is no whole, good one that this version understands."""
    head = os.pread(fd, _FRAME.size, 0)
    if len(head) < _FRAME.size:
        return None
    length, check = _FRAME.unpack(head)
    data = os.pread(fd, min(length, _RECORD_BYTES_MAX), _FRAME.size)
    if zlib.crc32(data) != check:
        return None
    try:
        return SessionRecord.model_validate_json(data)
    except ValidationError as error:
        return _without_unknown(data, error)


def _without_unknown(data: bytes, error: ValidationError) -> SessionRecord | None:
    """The record of a younger version, without the options of the mount that this one does not understand."""
    strange = {
        str(each["loc"][1])
        for each in error.errors(include_input=False)
        if len(each["loc"]) > 1 and each["loc"][0] == "spec"
    }
    if not strange:
        return None
    told = json.loads(data)
    told["spec"] = {key: value for key, value in told["spec"].items() if key not in strange}
    try:
        return SessionRecord.model_validate_json(json.dumps(told))
    except ValidationError:
        return None
