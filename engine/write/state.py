"""What is known of a file on its way to S3, as plain data: enough to go on with it, in this process or in another.

Owned by upload.py. No I/O, no events: whoever has this, the bytes of the part being filled and a client can continue.
"""

from dataclasses import dataclass, field

from engine.errors import BadResponse, FileTooBig, OutOfOrderWrite
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
        offset: where the next write must begin, in bytes.
        expected: the size in bytes that a program gave the file: at its end so much must have been written.
        upload_id: of the multipart upload; None before one was begun.
        parts: what S3 has, by part number.
        sums: size and checksum of each full part's bytes as they came from the program, by part number.
    """

    key: str
    options: UploadOptions
    offset: int = 0
    expected: int = 0
    upload_id: str | None = None
    parts: dict[int, PartInfo] = field(default_factory=dict)
    sums: dict[int, tuple[int, Checksum]] = field(default_factory=dict)

    def check_place(self, offset: int, size: int, most: int) -> None:
        """Whether these bytes can follow, in a file of at most so many. Raises OutOfOrderWrite, FileTooBig."""
        if offset != self.offset:
            raise OutOfOrderWrite(
                f"{self.key!r} can only be written in order: byte {self.offset} is next, not {offset}"
            )
        if offset + size > most:
            raise FileTooBig(f"{self.key!r} would have more than {most} bytes")

    @property
    def algorithm(self) -> ChecksumAlgorithm:
        """Of the checksums that are kept here."""
        return review_algorithm(self.options)

    def told(self, checksum: Checksum) -> Checksum | None:
        """A checksum as S3 is told it: None if the mount sends none."""
        return None if self.options.checksum_algorithm == "off" else checksum

    def reviewed(self) -> list[PartInfo]:
        """The parts to complete the upload with, in order: to be asked before the object is published.

        Raises BadResponse unless they are what was written.
        """
        parts = [self.parts[number] for number in sorted(self.parts)]
        sizes = [(number, self.sums[number][0]) for number in sorted(self.sums)]
        if [(part.number, part.size) for part in parts] != sizes or sum(size for _, size in sizes) != self.offset:
            raise BadResponse("S3 does not have the parts that were sent", key=self.key)
        return parts

    def whole(self) -> Checksum:
        """The checksum of all full parts, one behind the other."""
        whole = Checksum(self.algorithm, 0)
        for number in sorted(self.sums):
            size, checksum = self.sums[number]
            whole = combined(whole, checksum, size)
        return whole
