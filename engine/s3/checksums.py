"""CRC32C and CRC64NVME as S3 knows them: of buffers, running, combined from parts, and as text in a header.

Called by whoever writes (engine/write) and by the clients. Pure. Never touches a file or a socket.

The arithmetic is awscrt's, AWS's own C library with the carry-less multiplications of each processor. Measured, 8 MiB
in memory, one core: CRC32C 13-21 GB/s, CRC64NVME 10-11 GB/s (zlib's crc32: 3.6, SHA-256: 1.5). It lets other threads
run meanwhile. The import takes 50 ms and 6 MiB, 1.6 of them private: the zygote's, which engines share.
"""

import base64
from collections.abc import Iterable, Sequence
from typing import Final

from awscrt.checksums import combine_crc32c, combine_crc64nvme, crc32c, crc64nvme

from engine.s3.interface import Checksum, ChecksumAlgorithm, PartInfo

_OF: Final = {"crc32c": crc32c, "crc64nvme": crc64nvme}
_COMBINE: Final = {"crc32c": combine_crc32c, "crc64nvme": combine_crc64nvme}
_BYTES: Final = {"crc32c": 4, "crc64nvme": 8}


def checksum_of(algorithm: ChecksumAlgorithm, buffers: Iterable[memoryview | bytes]) -> Checksum:
    """The checksum of the buffers' bytes, one behind the other."""
    return extended(Checksum(algorithm, 0), buffers)


def extended(checksum: Checksum, buffers: Iterable[memoryview | bytes]) -> Checksum:
    """The checksum of what `checksum` is of (0: nothing yet), followed by the buffers' bytes."""
    update, value = _OF[checksum.algorithm], checksum.value
    for buffer in buffers:
        value = update(buffer, value)
    return Checksum(checksum.algorithm, value)


def combined(first: Checksum, second: Checksum, second_bytes: int) -> Checksum:
    """The checksum of what `first` is of, followed by what `second`, which has `second_bytes` bytes, is of."""
    assert first.algorithm == second.algorithm
    value = _COMBINE[first.algorithm](first.value, second.value, second_bytes)
    return Checksum(first.algorithm, value)


def checksum_of_parts(algorithm: ChecksumAlgorithm, parts: Sequence[PartInfo]) -> Checksum | None:
    """The checksum of the object that the parts make. None if one of them has none of this algorithm."""
    whole = Checksum(algorithm, 0)
    for part in parts:
        if part.checksum is None or part.checksum.algorithm != algorithm:
            return None
        whole = combined(whole, part.checksum, part.size)
    return whole


def text_of(checksum: Checksum) -> str:
    """A checksum as S3's headers and documents have it: base64 of its bytes, the highest first."""
    return base64.b64encode(checksum.value.to_bytes(_BYTES[checksum.algorithm], "big")).decode()


def composite_text(parts: Sequence[PartInfo]) -> str | None:
    """What S3 keeps of CRC32C of an object in parts: the checksum of their checksums, and how many they are."""
    digests = []
    for part in parts:
        if part.checksum is None or part.checksum.algorithm != "crc32c":
            return None
        digests.append(part.checksum.value.to_bytes(_BYTES["crc32c"], "big"))
    return f"{text_of(checksum_of('crc32c', digests))}-{len(parts)}"
