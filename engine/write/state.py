"""What is known of a file on its way to S3, as plain data: enough to go on with it, in this process or in another.

Owned by upload.py. No I/O, no events: whoever has this, the bytes of the part being filled and a client can continue.
"""

from dataclasses import dataclass, field

from engine.errors import BadResponse
from engine.s3.checksums import combined
from engine.s3.interface import Checksum, ChecksumAlgorithm, PartInfo, UploadOptions

# With `upload-checksums = off` S3 is told none, and what was sent is still compared with what was written.
REVIEW_ALGORITHM: ChecksumAlgorithm = "crc32c"


def review_algorithm(options: UploadOptions) -> ChecksumAlgorithm:
    """The algorithm of the checksums that are kept here."""
    return REVIEW_ALGORITHM if options.checksum_algorithm == "off" else options.checksum_algorithm


@dataclass(frozen=True, slots=True)
class Uploaded:
    """The object that an upload has become. `size` is in bytes."""

    key: str
    etag: str
    size: int


@dataclass(slots=True)
class UploadState:
    """A file on its way.

    Args:
        key: the object's key.
        options: how it is to be stored.
        whole: the checksum of everything written.
        offset: where the next write must begin, in bytes.
        expected: the size in bytes that a program gave the file: at its end so much must have been written.
        upload_id: of the multipart upload; None before one was begun.
        parts: what S3 has, by part number.
        sums: size and checksum of each part as it was when it was full, by part number.
    """

    key: str
    options: UploadOptions
    whole: Checksum
    offset: int = 0
    expected: int = 0
    upload_id: str | None = None
    parts: dict[int, PartInfo] = field(default_factory=dict)
    sums: dict[int, tuple[int, Checksum]] = field(default_factory=dict)

    def told(self, checksum: Checksum) -> Checksum | None:
        """A checksum as S3 is told it: None if the mount sends none."""
        return None if self.options.checksum_algorithm == "off" else checksum

    def reviewed(self) -> list[PartInfo]:
        """The parts to complete the upload with, in order: to be asked before the object is published.

        Raises BadResponse unless they are what was written.
        """
        parts = [self.parts[number] for number in sorted(self.parts)]
        if [(part.number, part.size) for part in parts] != [(n, self.sums[n][0]) for n in sorted(self.sums)]:
            raise BadResponse("S3 does not have the parts that were sent", key=self.key)
        self.review_sums()
        return parts

    def review_sums(self) -> None:
        """Raises BadResponse unless the parts, as they were sent, make what came from the program.

        `whole` is of the bytes as they came. So memory that changed since is found here, and bytes that change on
        their way by S3.
        """
        whole, size = Checksum(self.whole.algorithm, 0), 0
        for number in sorted(self.sums):
            part_size, checksum = self.sums[number]
            whole, size = combined(whole, checksum, part_size), size + part_size
        if size != self.offset or whole != self.whole:
            raise BadResponse("what was sent is not what was written", key=self.key)
