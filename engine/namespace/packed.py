"""What S3 said of an object, in a third of the memory that an ObjectInfo takes: for all names that the kernel knows.

Used by the inode table. Pure. The key is not in it: whoever keeps it knows where.
"""

import struct
from typing import Final

from engine.s3.interface import ARCHIVED_CLASSES, ObjectInfo

# Size, Last-Modified, flags and storage class, and behind them the ETag, and behind a NUL a storage class that is
# none of those below.
_HEAD: Final = struct.Struct("<qdBB")

_RESTORED: Final = 1
_MD5: Final = 2  # the ETag is 32 hexadecimal digits in quotes, as most are: kept as 16 bytes

_STORAGE_CLASSES: Final = (
    "STANDARD",
    "REDUCED_REDUNDANCY",
    "STANDARD_IA",
    "ONEZONE_IA",
    "INTELLIGENT_TIERING",
    "GLACIER",
    "DEEP_ARCHIVE",
    "GLACIER_IR",
    "OUTPOSTS",
    "SNOW",
    "EXPRESS_ONEZONE",
)
_CLASS_NUMBERS: Final = {name: number for number, name in enumerate(_STORAGE_CLASSES)}
_OTHER_CLASS: Final = 255
_ARCHIVED: Final = tuple(number for name, number in _CLASS_NUMBERS.items() if name in ARCHIVED_CLASSES)

_MD5_DIGITS: Final = 32


def pack(info: ObjectInfo) -> bytes:
    """All but the key."""
    etag, flags = _packed_etag(info.etag)
    if info.restored:
        flags |= _RESTORED
    storage_class = _CLASS_NUMBERS.get(info.storage_class, _OTHER_CLASS)
    head = _HEAD.pack(info.size, info.last_modified, flags, storage_class)
    if storage_class == _OTHER_CLASS:
        return b"%b%b\0%b" % (head, etag, info.storage_class.encode("utf-8", "surrogatepass"))
    return head + etag


def unpack(key: str, packed: bytes) -> ObjectInfo:
    """What was packed, with its key."""
    size, last_modified, flags, number = _HEAD.unpack_from(packed)
    tail = packed[_HEAD.size :]
    if number == _OTHER_CLASS:
        tail, _, name = tail.rpartition(b"\0")
        storage_class = name.decode("utf-8", "surrogatepass")
    else:
        storage_class = _STORAGE_CLASSES[number]
    return ObjectInfo(key, size, _etag(tail, flags), last_modified, storage_class, bool(flags & _RESTORED))


def same_version(one: bytes, other: bytes) -> bool:
    """Whether both are of objects with one ETag."""
    return _version(one) == _version(other)


def size_and_time(packed: bytes) -> tuple[int, float, bool]:
    """What stat shows: size, Last-Modified, and whether it is archived, as ObjectInfo has it."""
    size, last_modified, flags, number = _HEAD.unpack_from(packed)
    return size, last_modified, number in _ARCHIVED and not flags & _RESTORED


def _version(packed: bytes) -> tuple[int, bytes]:
    flags, number = packed[_HEAD.size - 2], packed[_HEAD.size - 1]
    tail = packed[_HEAD.size :]
    return flags & _MD5, tail.rpartition(b"\0")[0] if number == _OTHER_CLASS else tail


def _packed_etag(etag: str) -> tuple[bytes, int]:
    if len(etag) == _MD5_DIGITS + 2 and etag[0] == '"' == etag[-1]:
        digits = etag[1:-1]
        try:
            packed = bytes.fromhex(digits)
        except ValueError:
            packed = b""
        if packed.hex() == digits:  # small letters, and no blanks
            return packed, _MD5
    return etag.encode("utf-8", "surrogatepass"), 0


def _etag(packed: bytes, flags: int) -> str:
    return f'"{packed.hex()}"' if flags & _MD5 else packed.decode("utf-8", "surrogatepass")
