"""What an engine leaves its successor of a file that is being written, as plain data beside the memory it lies in.

Made by Upload.freeze, taken by Upload.resume; engine/fs adds whose file it is and carries it over. No I/O.
"""

from dataclasses import dataclass

from engine.write.state import Uploaded, UploadState


@dataclass(frozen=True, slots=True)
class PartBequest:
    """A part that S3 does not have: its number, the bytes it is meant to get and has, and the slots they lie in."""

    number: int
    wanted: int
    size: int
    slots: list[int]


@dataclass(frozen=True, slots=True)
class UploadBequest:
    """A file on its way.

    Args:
        state: what is known of it.
        parts: those that S3 does not have, in order; the last one is being filled. None when the upload is over.
        reserved: the memory that it is sure of, in slots.
        uploaded: the object that it has become.
        failure: why it failed.
    """

    state: UploadState
    parts: list[PartBequest]
    reserved: int
    uploaded: Uploaded | None = None
    failure: str | None = None

    @property
    def goes_on(self) -> bool:
        """It is neither complete nor failed."""
        return self.uploaded is None and self.failure is None
