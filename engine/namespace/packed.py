"""What S3 said of an object, in a third of the memory that an ObjectInfo takes: for all names that the kernel knows.

Used by the inode table. Pure. The key is not in it: whoever keeps it knows where.
"""

import struct
from typing import Final

from engine.s3.interface import ARCHIVED_CLASSES, ObjectInfo

# Size (its upper 16 bits, its lower 32), Last-Modified, kind; behind them the ETag, and behind a NUL a storage class
# that is none of those below. With an ETag of 16 bytes that makes 64 of Python's memory.
_HEAD: Final = struct.Struct("<HIdB")
_KIND: Final = _HEAD.size - 1
_EXPONENT: Final = _KIND - 1  # the sign of Last-Modified, and the upper 7 bits of its exponent
_LOW_BITS: Final = 32

# In bytes: fifty times what S3's largest objects have. documents.py lets nothing larger pass.
SIZE_MAX: Final = 2**48 - 1

# 2**49 seconds and more, infinity and what is no number have this or more there; the year 9999 is before 2**38.
_NO_TIME: Final = 0x43

# The kind: a storage class and flags.
_CLASS_MASK: Final = 15
_OTHER_CLASS: Final = 15
_RESTORED: Final = 16
_MD5: Final = 32  # the ETag is 32 hexadecimal digits in quotes, as most are: kept as 16 bytes

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
_ARCHIVED: Final = tuple(number for name, number in _CLASS_NUMBERS.items() if name in ARCHIVED_CLASSES)

_MD5_DIGITS: Final = 32


def pack(info: ObjectInfo) -> bytes:
    """All but the key."""
    etag, kind = _packed_etag(info.etag)
    if info.restored:
        kind |= _RESTORED
    size, number = max(0, min(info.size, SIZE_MAX)), _CLASS_NUMBERS.get(info.storage_class, _OTHER_CLASS)
    head = _HEAD.pack(size >> _LOW_BITS, size & 0xFFFFFFFF, info.last_modified, kind | number)
    if number == _OTHER_CLASS:
        return b"%b%b\0%b" % (head, etag, info.storage_class.encode("utf-8", "surrogatepass"))
    return head + etag


def unpack(key: str, packed: bytes) -> ObjectInfo:
    """What was packed, with its key. Raises ValueError if this can't be."""
    high, low, last_modified, kind = _HEAD.unpack_from(packed)
    tail = packed[_HEAD.size :]
    if kind & _CLASS_MASK == _OTHER_CLASS:
        tail, _, name = tail.rpartition(b"\0")
        storage_class = name.decode("utf-8", "surrogatepass")
    elif kind & _CLASS_MASK < len(_STORAGE_CLASSES):
        storage_class = _STORAGE_CLASSES[kind & _CLASS_MASK]
    else:
        raise ValueError("no storage class has this number")
    etag = _etag(tail, md5=bool(kind & _MD5))
    return ObjectInfo(key, high << _LOW_BITS | low, etag, last_modified, storage_class, bool(kind & _RESTORED))


def checked(packed: bytes) -> bytes:
    """What is said to have been packed, if it can be unpacked. Raises ValueError."""
    if len(packed) < _HEAD.size:
        raise ValueError("too short")
    if packed[_EXPONENT] & 0x7F >= _NO_TIME:
        raise ValueError("no time that stat could show")
    if not packed[_KIND] & _MD5 or packed[_KIND] & _CLASS_MASK >= len(_STORAGE_CLASSES):
        unpack("", packed)
    return packed


def same_version(one: bytes, other: bytes) -> bool:
    """Whether both are of objects with one ETag."""
    return _version(one) == _version(other)


def size_and_time(packed: bytes) -> tuple[int, float, bool]:
    """What stat shows: size, Last-Modified, and whether it is archived, as ObjectInfo has it."""
    high, low, last_modified, kind = _HEAD.unpack_from(packed)
    return high << _LOW_BITS | low, last_modified, kind & _CLASS_MASK in _ARCHIVED and not kind & _RESTORED


def _version(packed: bytes) -> tuple[int, bytes]:
    kind = packed[_KIND]
    tail = packed[_HEAD.size :]
    return kind & _MD5, tail.rpartition(b"\0")[0] if kind & _CLASS_MASK == _OTHER_CLASS else tail


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


def _etag(packed: bytes, *, md5: bool) -> str:
    return f'"{packed.hex()}"' if md5 else packed.decode("utf-8", "surrogatepass")
